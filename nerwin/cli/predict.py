"""``nerwin predict``."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from nerwin.cli import cluster as on_cluster
from nerwin.cli.console import Skipped, open_output
from nerwin.cli.inputs import Input, Stream, find_inputs, is_folder, is_url, plan_outputs
from nerwin.cli.models import with_others
from nerwin.errors import ConfigError, DataError, NerwinError, did_you_mean

if TYPE_CHECKING:
    from nerwin.parallel import Found, Task

    Results = Iterator[tuple[int, Found | NerwinError | None]]


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
    type=click.Choice(["text", "paragraphs", "tokenized", "jsonl", "csv", "tsv", "conll"]),
    help="What the input is; paragraphs are text whose lines end anywhere.  "
    "[default: by each file's name, else text]",
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
@click.option(
    "--types",
    multiple=True,
    metavar="A,B",
    help="Write only entities of these types; may be given several times.",
)
@click.option("--strict", is_flag=True, help="Stop at the first malformed record.")
@with_others
@click.option(
    "-o",
    "--output",
    default="-",
    metavar="FILE|FOLDER",
    help="Write here instead of standard output; into a folder, a file for each input.",
)
@click.option("--overwrite", is_flag=True, help="Replace output files that exist.")
@click.option(
    "-j",
    "--jobs",
    type=click.IntRange(0),
    metavar="N",
    help="Work with N processes; 0 is one for each core.  [default: 1]",
)
@click.option(
    "--cluster",
    metavar="ADDRESS",
    help="Work on the machines of a Dask scheduler, or of one made here (local); the output is a "
    "folder of parts, and the same command goes on after a stop.",
)
@click.option(
    "--block-size",
    type=click.FloatRange(0.5),
    default=32,
    show_default=True,
    metavar="MIB",
    help="How much of the input is in one part, with --cluster.",
)
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
    types: tuple[str, ...],
    strict: bool,
    others: tuple[str, ...],
    output: str,
    overwrite: bool,
    jobs: int | None,
    cluster: str | None,
    block_size: float,
) -> None:
    """Find the entities in text.

    RUN is the folder of a trained model. FILE is raw text, JSON lines, CSV or TSV with a header,
    or columns as in CoNLL, told by its suffix, compressed (.gz, .bz2, .xz) or not; or a pattern
    such as 'news/**/*.txt'. Of a FOLDER, all such files are read. - is standard input, which is
    also read if nothing is named. A malformed record is reported, and the rest goes on.

    \b
    echo "Paris Hilton flew to Paris." | nerwin predict runs/demo -
    nerwin predict runs/demo news.txt --format html --output news.html
    nerwin predict runs/demo news/ --format jsonl --output found/ --jobs 0
    nerwin predict runs/demo 's3://news/*.jsonl' -o s3://found/ --cluster tcp://host:8786
    """
    inputs = find_inputs(files or ("-",), kind)
    _check_fields(inputs, output_format, text_field, entities_field)
    if cluster:
        on_cluster.check(inputs, output_format, output, block_size)
        if jobs is not None and cluster != "local":
            raise ConfigError("--jobs is for this machine; the cluster has workers of its own")
    elif remote := next((item.path for item in inputs if is_url(item.path)), None):
        raise ConfigError(f"{remote}: only --cluster reads URLs")

    from nerwin.formats import FORMATS
    from nerwin.manifest import read_manifest
    from nerwin.parallel import Task, identity_of, load, work_through
    from nerwin.pieces import Reading, documents_of
    from nerwin.processes import usable_cores

    units = [documents_of(i.kind, documents, stream=i.path == "-") for i in inputs]
    form = FORMATS[output_format]
    plan = None
    if cluster:
        pass
    elif is_folder(output):
        plan = plan_outputs(inputs, Path(output), form.suffixes, overwrite=overwrite)
    elif len(form.suffixes) > 1 and len(inputs) > 1:
        raise ConfigError(f"{output_format} has files for each input: give a folder/ to --output")
    manifest = read_manifest(run)
    data = manifest.config.data
    wanted = _known_types(types, manifest.types)
    runs = (str(run), *others)
    if cluster:
        runs = tuple(os.path.abspath(folder) for folder in runs)
    identity = identity_of(runs)
    if not load(runs, identity).sees_documents:
        units = ["record"] * len(inputs)  # nothing needs to be waited for
    readings = [
        Reading(
            kind=item.kind,
            documents=unit,
            encoding=encoding or (data.encoding if item.kind == "conll" else "utf-8"),
            text_field=text_field or "text",
            entities_field=(entities_field or "entities") if output_format == "jsonl" else None,
            token_column=data.token_column if token_column is None else token_column,
        )
        for item, unit in zip(inputs, units, strict=True)
    ]
    task = Task(
        runs=runs,
        identity=identity,
        sources=[(item.shown, reading) for item, reading in zip(inputs, readings, strict=True)],
        form=output_format,
        settings={"entities_field": entities_field} if entities_field else {},
        min_score=min_score,
        types=wanted,
    )
    skipped = Skipped(strict)
    if cluster:
        on_cluster.predict(
            task,
            inputs,
            cluster,
            output,
            block_size=block_size,
            workers=jobs or usable_cores(),
            strict=strict,
            overwrite=overwrite,
            skipped=skipped,
        )
        skipped.conclude()
        return
    jobs = usable_cores() if jobs == 0 else jobs or 1
    results = work_through(task, Stream(inputs, readings), jobs)
    with contextlib.closing(results):
        if plan is None:
            _write(_chunks(results, task, skipped), [output], overwrite)
            failed = 0
        else:
            failed = _write_each(results, task, skipped, plan, overwrite)
    skipped.conclude()
    if failed:
        what = f"{failed} of {len(inputs)} inputs failed"
        raise NerwinError(f"{what}; {output} has what was found in the others")


def _write_each(
    results: Results, task: Task, skipped: Skipped, plan: list[list[Path]], overwrite: bool
) -> int:
    """Write the outputs of each input; how many inputs failed."""
    failed = 0
    for number, outputs in enumerate(plan):
        outputs[0].parent.mkdir(parents=True, exist_ok=True)
        try:
            _write(_chunks(_of_input(results, number), task, skipped), outputs, overwrite)
        except DataError as error:
            if skipped.strict:
                raise
            failed += 1
            click.echo(f"failed: {error}", err=True)
    return failed


def _of_input(results: Results, number: int) -> Results:
    """The results of one input, without what is left of one before that failed."""
    for at, found in results:
        if at == number:
            yield at, found
            if found is None:
                return


def _chunks(results: Results, task: Task, skipped: Skipped) -> Iterator[tuple[bytes, ...]]:
    """What is to be written into each of a format's files."""
    from nerwin.formats import FORMATS

    form = FORMATS[task.form]
    before = skipped.count
    names: list[str] = []
    empty = True

    def found() -> Iterator[Found]:
        nonlocal empty
        for number, item in results:
            if isinstance(item, NerwinError):
                raise item
            if item is None:
                names.append(task.sources[number][0])
                continue
            for error in item.wrong:
                skipped(error)
            if item.records:
                empty = False
                yield item

    if form.by_blocks:
        yield from (item.chunk for item in found())
    else:
        blocks = (item.block for item in found())
        for texts in form.write(blocks, **task.settings):
            yield tuple(text.encode() for text in texts)
    if empty and skipped.count > before:
        raise DataError("no record could be read", ", ".join(names[:5]))


def _write(
    chunks: Iterator[tuple[bytes, ...]], outputs: Sequence[str | Path], overwrite: bool
) -> None:
    """Write each chunk's parts to the outputs; only the first ones if there are more parts."""
    with contextlib.ExitStack() as stack:
        sinks = [stack.enter_context(open_output(str(o), overwrite)) for o in outputs]
        for chunk in chunks:
            for sink, data in zip(sinks, chunk, strict=False):
                sink.write(data)
                sink.flush()


def _check_fields(
    inputs: Sequence[Input], output_format: str, text_field: str | None, entities_field: str | None
) -> None:
    if text_field is not None and not any(i.kind in {"jsonl", "csv", "tsv"} for i in inputs):
        raise ConfigError("--text-field is for JSON lines, CSV and TSV; see --input-format")
    if entities_field is not None and output_format != "jsonl":
        raise ConfigError("--entities-field is for --format jsonl")


def _known_types(types: Sequence[str], known: list[str]) -> tuple[str, ...] | None:
    if not types:
        return None
    wanted = [name.strip() for name in ",".join(types).split(",") if name.strip()]
    if not wanted:
        raise ConfigError(f"--types: name some of {', '.join(known)}")
    for name in wanted:
        if name not in known:
            hint = f"{did_you_mean(name, known)} the model's are {', '.join(known)}".lstrip()
            raise ConfigError(f"--types: {name!r} is unknown; {hint}")
    return tuple(wanted)
