"""Options of the commands that use trained models, and the models they name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from nerwin.ensemble import Ensemble
    from nerwin.model import Model


def model_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add --with and --first-pass."""
    command = click.option(
        "--first-pass",
        type=click.IntRange(1),
        metavar="N",
        help="Of a model with two passes, ask only N models of the first.  [default: all]",
    )(command)
    return click.option(
        "--with",
        "others",
        multiple=True,
        metavar="RUN",
        help="Ask this model too, and take the mean; can be given again.",
    )(command)


def load(run: str | Path, others: Sequence[str], first_pass: int | None) -> Model | Ensemble:
    """The model of a run, or several as one."""
    from nerwin.modeldir import load_model

    models = [load_model(Path(folder), first_pass=first_pass) for folder in (run, *others)]
    if len(models) == 1:
        return models[0]
    from nerwin.ensemble import Ensemble

    return Ensemble(models)
