"""Write docs/options.md from the dataclasses in nerwin/options.py.

python docs/make_options.py
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

from nerwin.options import SECTIONS

TARGET = Path(__file__).with_name("options.md")

OPENING = """\
# Options of training

<!-- Made by docs/make_options.py from nerwin/options.py: change that file, not this one. -->

Every option is a key of a TOML file and a flag of `nerwin train`: `hidden` in `[model]` is
`--hidden`, `share_hidden = false` is `--no-share-hidden`, and `--set model.hidden=50` sets any of
them. Flags win over the file, the file over the defaults. Paths in a file count from its folder.
"""


def options_page() -> str:
    """The page as text."""
    parts = [OPENING]
    for name, cls in SECTIONS.items():
        parts += [
            f"\n## [{name}]\n",
            f"{cls.__doc__}\n",
            "| key | default | meaning |",
            "|---|---|---|",
        ]
        parts += [_row(option) for option in dataclasses.fields(cls)]
    return "\n".join(parts) + "\n"


def _row(option: dataclasses.Field[Any]) -> str:
    value: Any = option.default
    single = isinstance(value, tuple) and len(value) == 1
    default = "" if value in ("", ()) else f"`{json.dumps(value[0] if single else value)}`"
    meaning = option.metadata["help"]
    if choices := option.metadata.get("choices"):
        meaning += f": {', '.join(choices)}"
    return f"| `{option.name}` | {default} | {meaning} |"


if __name__ == "__main__":
    TARGET.write_text(options_page(), encoding="utf-8", newline="\n")
