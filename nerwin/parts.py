"""What is to be done on many machines: inputs -> blocks -> parts of the output, and what is done.

Each block of the input makes one file of the output, a part. The manifest beside them holds it all.
Names of files may be URLs that fsspec knows, such as s3://bucket/name.

    manifest.json    the inputs, the options, the model; each part's block of the input, and if it
                     is finished, its size and checksum
    part-00000.…     the parts; one after the other, they are what one machine writes
"""

from __future__ import annotations

import contextlib
import json
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, BinaryIO

import fsspec

from nerwin import __version__
from nerwin.errors import ConfigError, DataError
from nerwin.formats import FORMATS
from nerwin.parallel import Task
from nerwin.pieces import LINES, Reading
from nerwin.text.files import BLOCK, is_compressed

MANIFEST = "manifest.json"


@dataclass(frozen=True)
class Done:
    """What is known of a finished part.

    lines, records, skipped  how many there are in its block; the last are malformed
    wrong  what is wrong with the first of those: line, from the block's first on, and message
    """

    size: int
    sha256: str
    lines: int
    records: int
    skipped: int
    wrong: list[tuple[int, str]]


@dataclass
class Part:
    """One file of the output, and the block of the input that it is made from.

    source      the number of the input
    start, end  the block, in bytes; end 0: the file is not cut
    """

    name: str
    source: int
    start: int
    end: int
    done: Done | None = None


@dataclass
class Plan:
    """The contents of the manifest.

    inputs   path, size and time of each
    options  all that the output depends on, the model included
    """

    inputs: list[dict[str, Any]]
    options: dict[str, Any]
    parts: list[Part] = field(default_factory=list)
    nerwin: str = __version__


def plan_parts(task: Task, paths: Sequence[str], block: int) -> Plan:
    """The parts of the output, none done, each of about ``block`` bytes of the input.

    Raises DataError for an input that cannot be read.
    """
    inputs, parts = [], []
    for number, (path, (_, reading)) in enumerate(zip(paths, task.sources, strict=True)):
        fs, place = fsspec.core.url_to_fs(path)
        with unreadable(path):
            about = fs.info(place)
            changed = next((about[k] for k in ("mtime", "ETag", "LastModified") if k in about), "")
            inputs.append({"path": path, "size": about["size"], "changed": str(changed)})
            with fs.open(place, "rb", block_size=BLOCK) as file:
                ends = _ends(file, about["size"], reading, block)
        parts += [Part("", number, a, b) for a, b in zip([0, *ends[:-1]], ends, strict=True)]
    suffix = FORMATS[task.form].suffixes[0]
    width = max(5, len(str(len(parts))))
    for i, part in enumerate(parts):
        part.name = f"part-{i:0{width}}{suffix}"
    readings = [asdict(reading) for _, reading in task.sources]
    for fields in readings:
        del fields["report"]
    options = {
        "model": list(task.runs),
        "identity": task.identity,
        "format": task.form,
        "settings": task.settings,
        "min_score": task.min_score,
        "types": task.types and list(task.types),
        "block": block,
        "readings": readings,
    }
    return Plan(inputs, options, parts)


def _ends(file: BinaryIO, size: int, reading: Reading, block: int) -> list[int]:
    """Where the blocks of a file end; 0 for one that is not cut.

    A block ends where one machine ends a piece, see ``pieces.cut``: so each record is worked on
    with the same others, and the output is the same.
    """
    can_be_cut = reading.kind in (*LINES, "jsonl") and not is_compressed(file.read(10))
    if not can_be_cut or size <= block:
        return [0]
    ends = []
    at = block
    while at < size:
        first = max(at - BLOCK - 2, 0)
        file.seek(first)
        end = first + _last_end(file.read(at - first), by_paragraph=reading.by_paragraph)
        if end > at - BLOCK:
            ends.append(end)
            at += block
        else:  # a record or a paragraph goes through this stretch
            at += BLOCK
    return [*ends, size] if not ends or ends[-1] < size else ends


def _last_end(data: bytes, *, by_paragraph: bool) -> int:
    """Where the last line, or the last paragraph, ends; 0 if none does."""
    if not by_paragraph:
        return data.rfind(b"\n") + 1
    plain, dos = data.rfind(b"\n\n"), data.rfind(b"\n\r\n")
    return max(plain + 2 if plain >= 0 else 0, dos + 3 if dos >= 0 else 0)


def take_over(plan: Plan, fs: Any, root: str, overwrite: bool) -> None:
    """Note what an earlier run of the same has finished, or make room for this one."""
    names = names_in(fs, root)
    if not names:
        return
    if MANIFEST not in names:
        raise ConfigError(f"{root}: not empty, and not made by --cluster: give another folder")
    try:
        stored = json.loads(fs.cat_file(f"{root}/{MANIFEST}"))
        parts = [Part(**part) for part in stored["parts"]]
        for part in parts:
            part.done = part.done and Done(**part.done)  # type: ignore[arg-type]  # a dict yet
        before = Plan(stored["inputs"], stored["options"], parts, stored["nerwin"])
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"damaged: {type(error).__name__}: {error}", f"{root}/{MANIFEST}"
        ) from error
    told = json.loads(json.dumps(plan.options))
    changed = [name for name, value in told.items() if before.options.get(name) != value]
    changed += ["inputs"] * (before.inputs != plan.inputs)
    changed += ["nerwin's version"] * (before.nerwin != plan.nerwin)
    if changed and not overwrite:
        raise ConfigError(
            f"{root}: has parts of another run ({', '.join(changed)} differ): "
            "give another folder, or say --overwrite"
        )
    if changed or overwrite:
        for part in parts:
            if part.name in names:
                fs.rm(f"{root}/{part.name}")
        return
    sizes = {name: fs.size(f"{root}/{name}") for name in names}
    for part, old in zip(plan.parts, before.parts, strict=True):
        if old.done and sizes.get(old.name) == old.done.size:
            part.done = old.done


def names_in(fs: Any, root: str) -> list[str]:
    """The names in a folder, none if it is not there. Raises ConfigError for a file."""
    if not fs.exists(root):
        return []
    if not fs.isdir(root):
        raise ConfigError(f"{root}: a file, not a folder")
    fs.invalidate_cache(root)
    return [path.rstrip("/").rsplit("/", 1)[-1] for path in fs.ls(root, detail=False)]


def save(plan: Plan, fs: Any, root: str) -> None:
    """Replace the manifest, in one step where the store has such a step."""
    with replaced(fs, f"{root}/{MANIFEST}") as file:
        file.write(json.dumps(asdict(plan), indent=1).encode())


@contextlib.contextmanager
def replaced(fs: Any, path: str) -> Iterator[BinaryIO]:
    """A file that appears under its name when it is complete."""
    folder, _, name = path.rpartition("/")
    partial = (
        f"{folder}/.{name}.{uuid.uuid4().hex}.partial"  # two may be at it: one was taken for lost
    )
    try:
        with fs.open(partial, "wb") as file:
            yield file
        fs.mv(partial, path)
    except BaseException as error:
        with contextlib.suppress(OSError):
            fs.rm(partial)
        if isinstance(error, OSError):
            error.filename = path
        raise


@contextlib.contextmanager
def unreadable(path: str) -> Iterator[None]:
    """Tell which file could not be read."""
    try:
        yield
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror or error}", path) from error
