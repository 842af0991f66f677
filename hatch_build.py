"""What building nerwin adds to packing it: the engine's loops are compiled, if there is a C
compiler. Without one it is built without them, and NumPy does their work.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sysconfig
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

_FLAGS = ["-O3", "-fPIC", "-std=gnu11"]
# Nothing is contracted or reordered: the bits are to be NumPy's.
_FLAGS += ["-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math"]


class Loops(BuildHookInterface):  # type: ignore[misc]  # hatchling is there to build, not to check
    """One file for all versions of Python from 3.11 on (abi3), beside its source."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile before all is packed, or tell why not."""
        source = Path(self.root) / "nerwin" / "engine" / "loops.c"
        made = source.with_suffix(".abi3.so")
        link = shlex.split(sysconfig.get_config_var("LDSHARED") or "cc -shared")
        link[:1] = shlex.split(os.environ.get("CC", link[0]))  # it may be `ccache gcc`
        include = f"-I{sysconfig.get_path('include')}"
        try:
            subprocess.run([*link, *_FLAGS, include, source, "-o", made], check=True)
        except (OSError, subprocess.CalledProcessError) as error:
            made.unlink(missing_ok=True)
            self.app.display_warning(
                f"nerwin is built without its compiled loops, and slower: {error}"
            )
            return
        system = sysconfig.get_platform().replace("-", "_").replace(".", "_")
        build_data["pure_python"] = False
        build_data["tag"] = f"cp311-abi3-{system}"
        build_data["artifacts"].append(f"/{made.relative_to(self.root).as_posix()}")
