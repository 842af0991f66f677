"""``nerwin predict``."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import click

from nerwin.cli.console import open_output
from nerwin.cli.inputs import Input, find_inputs, is_folder, plan_outputs
from nerwin.cli.models import load, model_options
from nerwin.errors import ConfigError, DataError, NerwinError, did_you_mean

if TYPE_CHECKING:
    from nerwin.prediction import Block
    from nerwin.records import Reading

_REPORTED = 10  # malformed records; more are only counted


@click.command("predict")
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("files", nargs=-1, metavar="[FILE|FOLDER|-]...")
@click.option(
    "-f",
    "--format",
    "output_format",
    type=click.Choice(["conll", "jsonl", "inline", "brat", "html"]),
    default="conll",
    show_default=True,
    help="token and tag in columns; JSON lines with offsets and scores; [marked](TYPE) text; "
    "brat's standoff; or a page to look at.",
)
@click.option(
    "-i",
    "--input-format",
    "kind",
    type=click.Choice(["text", "tokenized", "jsonl", "csv", "tsv", "conll"]),
    help="What the input is.  [default: by each file's name, else text]",
)
@click.option(
    "--text-field",
    metavar="NAME",
    help="Where the text is in JSON objects (a.b is b in a), or in the columns of a table.  "
    "[default: text]",
)
@click.option(
    "--entities-field",
    metavar="NAME",
    help="Where the entities are put in JSON objects.  [default: entities]",
)
@click.option(
    "--documents",
    type=click.Choice(["auto", "record", "paragraph", "docstart", "file"]),
    default="auto",
    show_default=True,
    help="What one document is, for a model with document features.",
)
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
    "--min-score",
    type=click.FloatRange(0, 1),
    default=0,
    metavar="X",
    help="Write only entities that score as much, from 0 to 1.",
)
@click.option("--types", metavar="A,B", help="Write only entities of these types.")
@click.option("--strict", is_flag=True, help="Stop at the first malformed record.")
@model_options
@click.option(
    "-o",
    "--output",
    default="-",
    metavar="FILE|FOLDER",
    help="Write here instead of standard output; into a folder, a file for each input.",
)
@click.option("--overwrite", is_flag=True, help="Replace output files that exist.")
def command(
    run: Path,
    files: tuple[str, ...],
    output_format: str,
    kind: str | None,
    text_field: str | None,
    entities_field: str | None,
    documents: str,
    token_column: int | None,
    encoding: str | None,
    min_score: float,
    types: str | None,
    strict: bool,
    others: tuple[str, ...],
    first_pass: int | None,
    output: str,
    overwrite: bool,
) -> None:
    """Find the entities in text.

    RUN is the folder of a trained model. FILE is raw text, JSON lines, CSV or TSV with a header,
    or columns as in CoNLL, told by its suffix, compressed (.gz, .bz2, .xz) or not; or a pattern
    such as 'news/**/*.txt'. Of a FOLDER, all such files are read. - is standard input, which is
    also read if nothing is named. A malformed record is reported, and the rest goes on.

    \b
    echo "Paris Hilton flew to Paris." | nerwin predict runs/demo -
    nerwin predict runs/demo news.txt --format html --output news.html
    nerwin predict runs/demo news/ --format jsonl --output found/
    """
    inputs = find_inputs(files or ("-",), kind)
    _check_fields(inputs, output_format, text_field, entities_field)

    from nerwin.formats import FORMATS
    from nerwin.modeldir import read_manifest
    from nerwin.prediction import predict
    from nerwin.records import Reading, documents_of, read_records

    units = [documents_of(i.kind, documents, stream=i.path == "-") for i in inputs]
    form = FORMATS[output_format]
    plan = None
    if is_folder(output):
        plan = plan_outputs(inputs, Path(output), form.suffixes, overwrite=overwrite)
    elif len(form.suffixes) > 1 and len(inputs) > 1:
        raise ConfigError(f"{output_format} has files for each input: give a folder/ to --output")
    manifest = read_manifest(run)
    data = manifest.config.data
    wanted = _known_types(types, manifest.types)
    model = load(run, others, first_pass)
    if not model.sees_documents:
        units = ["record"] * len(inputs)  # nothing needs to be waited for
    skipped = _Skipped(strict)
    readings = [
        Reading(
            kind=item.kind,
            documents=unit,
            encoding=encoding or (data.encoding if item.kind == "conll" else "utf-8"),
            text_field=text_field or "text",
            entities_field=(entities_field or "entities") if output_format == "jsonl" else None,
            token_column=data.token_column if token_column is None else token_column,
            report=skipped,
        )
        for item, unit in zip(inputs, units, strict=True)
    ]

    def found(jobs: Sequence[tuple[Input, Reading]]) -> Iterator[Block]:
        none = True
        before = skipped.count
        for item, reading in jobs:
            with _open(item) as file:
                for block in predict(model, read_records(file, item.shown, reading), item.shown):
                    none = False
                    yield block.only(min_score, wanted) if min_score or types else block
        if none and skipped.count > before:
            raise DataError("no record could be read", ", ".join(i.shown for i, _ in jobs[:5]))

    settings = {"entities_field": entities_field} if entities_field else {}
    write = partial(form.write, **settings)
    jobs = list(zip(inputs, readings, strict=True))
    failed = 0
    if plan is None:
        _write(write(found(jobs)), [output], overwrite)
    else:
        for job, outputs in zip(jobs, plan, strict=True):
            outputs[0].parent.mkdir(parents=True, exist_ok=True)
            try:
                _write(write(found([job])), outputs, overwrite)
            except NerwinError as error:
                if strict:
                    raise
                failed += 1
                click.echo(f"failed: {error}", err=True)
    skipped.conclude()
    if failed:
        what = f"{failed} of {len(jobs)} inputs failed"
        raise NerwinError(f"{what}; {output} has what was found in the others")


def _open(item: Input) -> contextlib.AbstractContextManager[BinaryIO]:
    from nerwin.text.files import open_binary, uncompressed

    # Standard input stays open: it may be named twice.
    return uncompressed(sys.stdin.buffer) if item.path == "-" else open_binary(item.path)


def _write(
    chunks: Iterator[tuple[str, ...]], outputs: Sequence[str | Path], overwrite: bool
) -> None:
    """Write each chunk's strings to the outputs; only the first ones if there are more strings."""
    with contextlib.ExitStack() as stack:
        sinks = [stack.enter_context(open_output(str(o), overwrite)) for o in outputs]
        for chunk in chunks:
            for sink, text in zip(sinks, chunk, strict=False):
                sink.write(text.encode())
                sink.flush()


def _check_fields(
    inputs: Sequence[Input], output_format: str, text_field: str | None, entities_field: str | None
) -> None:
    if text_field is not None and not any(i.kind in {"jsonl", "csv", "tsv"} for i in inputs):
        raise ConfigError("--text-field is for JSON lines, CSV and TSV; see --input-format")
    if entities_field is not None and output_format != "jsonl":
        raise ConfigError("--entities-field is for --format jsonl")


def _known_types(types: str | None, known: list[str]) -> list[str]:
    if types is None:
        return known
    wanted = [name.strip() for name in types.split(",") if name.strip()]
    if not wanted:
        raise ConfigError(f"--types: name some of {', '.join(known)}")
    for name in wanted:
        if name not in known:
            hint = f"{did_you_mean(name, known)} the model's are {', '.join(known)}".lstrip()
            raise ConfigError(f"--types: {name!r} is unknown; {hint}")
    return wanted


class _Skipped:
    """Tells of malformed records, of the first ones in full."""

    def __init__(self, strict: bool) -> None:
        self.strict = strict
        self.count = 0

    def __call__(self, error: DataError) -> None:
        if self.strict:
            raise error
        self.count += 1
        if self.count <= _REPORTED:
            click.echo(f"skipped: {error}", err=True)
        elif self.count == _REPORTED + 1:
            click.echo("skipped: more, which are only counted", err=True)

    def conclude(self) -> None:
        if self.count:
            were = "record was" if self.count == 1 else "records were"
            click.echo(f"{self.count:,} {were} skipped", err=True)
