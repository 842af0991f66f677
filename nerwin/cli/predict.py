"""``nerwin predict``."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from nerwin.cli.console import open_output
from nerwin.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nerwin.prediction import Record

_CONLL_SUFFIXES = (".conll", ".iob", ".bio")


@click.command("predict")
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("files", nargs=-1, metavar="[FILE|-]...")
@click.option(
    "-f",
    "--format",
    "output_format",
    type=click.Choice(["conll", "jsonl", "inline"]),
    default="conll",
    show_default=True,
    help="token and tag in columns; JSON lines with offsets and scores; or [marked](TYPE) text.",
)
@click.option("--text", "kind", flag_value="text", help="Input is raw text, a record a line.")
@click.option(
    "--tokenized", "kind", flag_value="tokenized", help="Input is tokens, a sentence a line."
)
@click.option("--conll", "kind", flag_value="conll", help="Input is a column file, a token a line.")
@click.option(
    "--token-column",
    type=int,
    help="Column of the token in a column file.  [default: as in training]",
)
@click.option(
    "--encoding",
    help="Encoding of the input.  [default: of a column file as in training, else utf-8]",
)
@click.option(
    "-o", "--output", default="-", metavar="FILE", help="Write here instead of standard output."
)
@click.option("--overwrite", is_flag=True, help="Replace the output file if it exists.")
def command(
    run: Path,
    files: tuple[str, ...],
    output_format: str,
    kind: str | None,
    token_column: int | None,
    encoding: str | None,
    output: str,
    overwrite: bool,
) -> None:
    """Find the entities in text.

    RUN is the folder of a trained model. FILE is raw text, UTF-8, .gz or not; - is standard input,
    which is also read if no FILE is given. Files named .conll, .iob or .bio are taken for column
    files unless you say otherwise. The output of several files is one after the other.

    \b
    echo "Paris Hilton flew to Paris." | nerwin predict runs/demo -
    nerwin predict runs/demo news.txt --format jsonl --output news.jsonl
    """
    for name in files:
        if name != "-" and not Path(name).exists():
            raise ConfigError(f"{name}: no such file")
    if sys.stdin is None and "-" in (files or "-"):
        raise ConfigError("standard input is closed; name a FILE")
    from nerwin import prediction
    from nerwin.modeldir import load_model, read_manifest

    data = read_manifest(run).config.data
    if token_column is None:
        token_column = data.token_column
    model = load_model(run)
    write = prediction.FORMATS[output_format]
    with open_output(output, overwrite) as sink:
        for name in files or ("-",):
            kind_of_file = kind or _kind(name)
            code = encoding or (data.encoding if kind_of_file == "conll" else "utf-8")
            for block in prediction.predict(
                model, _batches(name, kind_of_file, code, token_column)
            ):
                sink.write(write(block).encode())
                sink.flush()


def _kind(name: str) -> str:
    return "conll" if name.removesuffix(".gz").endswith(_CONLL_SUFFIXES) else "text"


def _batches(name: str, kind: str, encoding: str, token_column: int) -> Iterator[list[Record]]:
    from nerwin import prediction
    from nerwin.text.files import open_binary

    shown = "standard input" if name == "-" else name
    # Standard input stays open: it may be named twice.
    with contextlib.nullcontext(sys.stdin.buffer) if name == "-" else open_binary(name) as file:
        if kind == "conll":
            yield from prediction.read_conll(file, shown, encoding, token_column)
        elif kind == "tokenized":
            yield from prediction.read_tokenized(file, shown, encoding)
        else:
            yield from prediction.read_text(file, shown, encoding)
