"""What the commands that use trained models have in common."""

from __future__ import annotations

import click

with_others = click.option(
    "--with",
    "others",
    multiple=True,
    metavar="RUN",
    help="Ask this model too, and take the mean; can be given again.",
)
