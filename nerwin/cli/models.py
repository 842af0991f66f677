"""Options of the commands that use trained models."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click


def model_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add --with."""
    return click.option(
        "--with",
        "others",
        multiple=True,
        metavar="RUN",
        help="Ask this model too, and take the mean; can be given again.",
    )(command)
