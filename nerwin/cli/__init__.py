"""The command line: options in, one function called, results and errors out. Nothing else prints.

What takes time to import (NumPy above all) is imported inside the commands, so that ``--help``
answers at once.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib
import io
import os
import signal
import sys
from typing import Any

import click

from nerwin import __version__
from nerwin.cli.console import INTERRUPTED
from nerwin.errors import ConfigError, NerwinError, did_you_mean

_CLOSED_PIPE = 141  # what shells give for it
_UNCOLLECTED = 100_000  # objects that are new before cycles of garbage are looked for

_COMMANDS = {
    "train": "Train a model, by default on the demo data.",
    "predict": "Find the entities in text.",
    "evaluate": "Measure precision, recall and F1 against gold entities.",
    "gradcheck": "Verify every derivative numerically.",
}


class _Commands(click.Group):
    """Commands, each imported when it is used; nerwin's errors as one line and an exit code."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            hint = did_you_mean(cmd_name, _COMMANDS)
            if hint and not ctx.resilient_parsing:  # that is for a line still being typed
                ctx.fail(f"no such command {cmd_name!r}; {hint}")
            return None
        command: click.Command = importlib.import_module(f"nerwin.cli.{cmd_name}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(_COMMANDS.items()))

    def main(self, *args: Any, **kwargs: Any) -> Any:
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):  # − and θ are more than some terminals have
                stream.reconfigure(errors="replace")
        return super().main(*args, **kwargs)

    def invoke(self, ctx: click.Context) -> Any:
        # What ends a command in good order should do so for `kill` too.
        with contextlib.suppress(ValueError):  # not in the main thread: not ours to set
            signal.signal(signal.SIGTERM, signal.default_int_handler)
        # Sentences come by the thousand, and none is in a cycle that had to be looked for.
        gc.set_threshold(_UNCOLLECTED)
        # BLAS works on one thread here; others, which it starts for each core, would only wait, and
        # they wait awake.
        os.environ["OPENBLAS_NUM_THREADS"] = "1"
        try:
            return super().invoke(ctx)
        except NerwinError as error:
            raise _Failure(str(error), 2 if isinstance(error, ConfigError) else 1) from error
        except KeyboardInterrupt:
            click.echo("\nstopped", err=True)
            sys.exit(INTERRUPTED)
        except BrokenPipeError:  # whoever read the output has had enough
            nowhere = os.open(os.devnull, os.O_WRONLY)
            for stream in filter(None, (sys.stdout, sys.stderr)):
                os.dup2(nowhere, stream.fileno())  # what is left in its buffer
            sys.exit(_CLOSED_PIPE)
        except MemoryError as error:
            raise _Failure("not enough memory", 1) from error
        except OSError as error:
            place = f"{error.filename}: " if error.filename else ""
            raise _Failure(f"{place}{error.strerror or error}", 1) from error


atexit.register(gc.freeze)  # at the end all is given back anyway, without a look for garbage


class _Failure(click.ClickException):
    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code  # type: ignore[misc]  # click reads it from the instance


@click.group(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, prog_name="nerwin", message="%(prog)s %(version)s")
def main() -> None:
    """Named entity recognition with a window classifier.

    \b
    nerwin train                                        learn from the demo data
    echo "Paris Hilton flew to Paris." | nerwin predict runs/demo -
    """
