"""The errors that nerwin raises on purpose.

    NerwinError         anything that a user can mend; its text is one clear line
    ├── ConfigError     an option or a configuration file is wrong (exit code 2)
    ├── DataError       a file is not what it should be; the text starts with path:line
    └── DivergedError   training has run away

Only ``cli/`` turns them into a message and an exit code.
"""

from collections.abc import Iterable
from typing import Any


class NerwinError(Exception):
    """Something is wrong that a user can mend: what, where, and what to do."""


class ConfigError(NerwinError):
    """An option, or a key of a configuration file, has no meaning or no possible value."""


class DataError(NerwinError):
    """A file cannot be used as it is."""

    def __init__(self, message: str, path: object, line: int | None = None) -> None:
        place = f"{path}:{line}" if line is not None else f"{path}"
        super().__init__(f"{place}: {message}")
        self.message = message
        self.path = path
        self.line = line

    def __reduce__(self) -> tuple[Any, ...]:
        return DataError, (self.message, self.path, self.line)  # to another process


class DivergedError(NerwinError):
    """Training has run away, and would again with the same options."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A question for a message, or "" if no known name is close to this one."""
    import difflib

    close = difflib.get_close_matches(name, list(known), n=1)
    return f"did you mean {close[0]!r}?" if close else ""
