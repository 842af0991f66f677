"""``nerwin train``."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nerwin import __version__
from nerwin.cli.console import INTERRUPTED, scores_table, show_log
from nerwin.config import find_config, load_config, parse_setting
from nerwin.errors import ConfigError, DivergedError, NerwinError
from nerwin.options import SECTIONS

if TYPE_CHECKING:
    from nerwin.metrics import Epoch
    from nerwin.training import Run

_HEADER = "epoch      loss    dev P   dev R  dev F1   tokens/s"


class _Grouped(click.Command):
    """A command whose help lists its options by section of the configuration."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        sections: dict[str, list[tuple[str, str]]] = {}
        for option in self.get_params(ctx):
            record = option.get_help_record(ctx) if isinstance(option, click.Option) else None
            if record:
                name = getattr(option, "section", None)
                sections.setdefault(f"Options of [{name}]" if name else "Options", []).append(
                    record
                )
        for name, records in sorted(sections.items(), key=lambda item: item[0] != "Options"):
            with formatter.section(name):
                formatter.write_dl(records)


class _ConfigOption(click.Option):
    """The flag of one option of the configuration."""

    def __init__(self, section: str, option: dataclasses.Field[Any]) -> None:
        flag = "--" + option.name.replace("_", "-")
        kind = str(option.type)
        if kind == "bool":
            flag += f"/--no-{flag[2:]}"
        choices, named = option.metadata.get("choices"), option.metadata.get("named", False)
        super().__init__(
            [option.name, flag],
            help=option.metadata["help"] + _default(option.default),
            type=click.Choice(choices) if choices else None,
            is_flag=kind == "bool",
            default=None,
            metavar=None if choices or kind == "bool" else _METAVARS["named" if named else kind],
            multiple=named,
        )
        self.section = section


_METAVARS = {
    "str": "TEXT",
    "int": "N",
    "float": "X",
    "tuple[int, ...]": "N,…",
    "tuple[str, ...]": "NAME,…",
    "named": "NAME=FILE",
}


def _default(value: Any) -> str:
    if value in ("", ()):
        return ""
    if isinstance(value, bool):
        text = "yes" if value else "no"
    else:
        text = ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
    return f"  [default: {text}]"


def _config_options(command: click.Command) -> click.Command:
    for section, cls in SECTIONS.items():
        command.params += [_ConfigOption(section, option) for option in dataclasses.fields(cls)]
    return command


@_config_options
@click.command("train", cls=_Grouped)
@click.argument("config", required=False)
@click.option("-o", "--output", metavar="RUN", help="Folder of the run.  [default: runs/NAME]")
@click.option(
    "--overwrite", is_flag=True, help="Replace the run in the folder, once an epoch is finished."
)
@click.option(
    "--resume", metavar="RUN", help="Go on with a run; only --epochs and --jobs can change."
)
@click.option(
    "-j",
    "--jobs",
    type=click.IntRange(0),
    metavar="N",
    help="Train on N cores: N models of a first pass at once, see --folds, then one model by N "
    "threads; 0 is all cores.  [default: 1]",
)
@click.option(
    "--set", "settings", multiple=True, metavar="SECTION.KEY=VALUE", help="Set any option."
)
def command(
    config: str | None,
    output: str | None,
    overwrite: bool,
    resume: str | None,
    jobs: int | None,
    settings: tuple[str, ...],
    **flags: Any,
) -> None:
    """Train a model, by default on the demo data.

    CONFIG is a TOML file, or the name of a configuration that comes with nerwin: demo, lecture,
    conll2003. Its options can be overridden by the flags below and by --set. A run is a folder
    with the model, its checkpoints and its metrics; it is never overwritten unless you say so.

    \b
    nerwin train
    nerwin train --train train.conll --dev dev.conll --vectors glove.6B.100d.txt
    nerwin train lecture --train eng.train --dev eng.testa --vectors glove.6B.50d.txt --seed 1
    nerwin train --resume runs/demo --epochs 50
    """
    if "" in (resume, output):
        raise ConfigError("--resume and --output need the name of a folder")
    show_log()
    given = {name: value for name, value in flags.items() if value not in {None, ()}}
    if resume:
        run = _resume(resume, config or output or overwrite or settings, given)
        introduction = f"going on with {resume} after {_place(run)}"
    else:
        run = _start(config, output, overwrite, [parse_setting(s) for s in settings], given)
        introduction = _introduction(run)
    _train(run, introduction, _processes(jobs))


def _start(
    config: str | None,
    output: str | None,
    overwrite: bool,
    settings: list[tuple[str, str, Any]],
    flags: dict[str, Any],
) -> Run:
    from nerwin.training import Run

    has_data = "train" in flags or any((s, k) == ("data", "train") for s, k, _ in settings)
    path = find_config(config or "demo") if config or not has_data else None
    sections = {option.name: s for s, cls in SECTIONS.items() for option in dataclasses.fields(cls)}
    overrides = [*settings, *((sections[name], name, value) for name, value in flags.items())]
    options = load_config(path, overrides)
    name = path.stem if path else Path(options.data.train).name.split(".")[0] or "model"
    folder = Path(output) if output else Path("runs") / name
    if not output and not overwrite:
        folder = _reserve(folder)
    try:
        run = Run.start(options, folder, overwrite=overwrite)
    except BaseException:
        with contextlib.suppress(OSError):
            folder.rmdir()  # if it is empty
        raise
    return run


def _resume(folder: str, others: object, flags: dict[str, Any]) -> Run:
    from nerwin.training import Run

    if others or flags.keys() - {"epochs"}:
        raise ConfigError(
            "--resume goes on with the run's own options; only --epochs and --jobs can be given"
        )
    epochs = flags.get("epochs")
    if epochs is not None:
        epochs = load_config(overrides=[("training", "epochs", epochs)]).training.epochs
    return Run.resume(Path(folder), epochs)


def _reserve(folder: Path) -> Path:
    """Make the folder, or the first of folder-2, folder-3 … that does not exist."""
    for number in itertools.count(1):
        candidate = folder if number == 1 else folder.with_name(f"{folder.name}-{number}")
        with contextlib.suppress(FileExistsError):
            candidate.mkdir(parents=True)
            break
    return candidate


def _introduction(run: Run) -> str:
    from nerwin.engine import kernels

    about = run.manifest.provenance
    found = {how: f"{100 * share:.1f}%" for how, share in about["coverage"].items()}
    lines = [
        f"nerwin {__version__}",
        f"train    {_corpus(about['train'])}",
        f"types    {', '.join(run.model.types)}",
        f"vectors  {_short(about['vectors']['source'])}: {about['vectors']['words']:,} words",
        f"         training tokens: {found['exact']} found as they are, {found['lower']} in lower "
        f"case, {found['digits']} by digits; {found['unknown']} unknown",
        f"run      {run.folder}",
    ]
    if lists := run.model.lexicon.gazetteers.groups.get("lists"):
        counts = ", ".join(f"{one.name}: {len(one.entries):,} entities" for one in lists)
        lines.insert(-1, f"lists    {counts}")
    if "dev" in about:
        lines.insert(2, f"dev      {_corpus(about['dev'])}")
    if not kernels.compiled():
        why = "no C compiler at installation, or NERWIN_COMPILED=0"
        lines.append(f"engine   NumPy alone, which is slower: {why}")
    return "\n".join(lines) + "\n"


def _corpus(about: dict[str, Any]) -> str:
    counts = (f"{about[what]:,} {what}" for what in ("sentences", "tokens", "entities"))
    return f"{_short(about['path'])}: {', '.join(counts)}"


def _short(path: str) -> str:
    """The path as it is best read from here."""
    try:
        return min(os.path.relpath(path), path, key=len)
    except ValueError:  # Windows: on another drive
        return path


def _processes(jobs: int | None) -> int:
    from nerwin.processes import usable_cores

    return usable_cores() if jobs == 0 else jobs or 1


def _train(run: Run, introduction: str, jobs: int) -> None:
    folds = run.config.features.folds
    try:
        click.echo(introduction)
        if not run.done:
            click.echo(_HEADER)
        first = bool(folds) and not run.manifest.missing and not run.last_epoch
        with _Bar(run) as bar, contextlib.closing(run.epochs(bar.show, jobs)) as epochs:
            for epoch in epochs:
                bar.clear()
                if first != bool(epoch.fold):
                    first = not first
                    click.echo("first pass" if first else "second pass")
                click.echo(_epoch_line(epoch, folds))
        metrics = run.finish()
    except BaseException as error:
        as_before = run.discard()
        if isinstance(error, KeyboardInterrupt | BrokenPipeError):
            _say_how_to_go_on(run, as_before)
        elif as_before:
            click.echo(f"{run.folder} is as it was before", err=True)
        if isinstance(error, KeyboardInterrupt):
            sys.exit(INTERRUPTED)
        if isinstance(error, NerwinError) and run.manifest.saved:
            told = f"{error}; {run.folder} holds {_place(run)}"
            if not isinstance(error, DivergedError):
                told += f": nerwin train --resume {run.folder}"
            raise NerwinError(told) from error
        raise
    _conclude(run, metrics)


def _epoch_line(epoch: Epoch, folds: int) -> str:
    dev = [""] * 3
    mark = "best" if epoch.best and epoch.dev else ""
    if epoch.dev:
        overall = epoch.dev.overall
        dev = [f"{100 * x:.2f}" for x in (overall.precision, overall.recall, overall.f1)]
    if epoch.fold:
        mark = f"without fold {epoch.fold} of {folds}" if epoch.fold <= folds else "all documents"
    columns = f"{epoch.number:5}  {epoch.loss:8.5f}  {dev[0]:>7} {dev[1]:>7} {dev[2]:>7}"
    return f"{columns} {epoch.tokens_per_second:10,.0f}  {mark}".rstrip()


def _conclude(run: Run, metrics: dict[str, Any]) -> None:
    options = run.config.training
    early = (
        "" if run.last_epoch >= options.epochs else f"; dev F1 rose no more for {options.patience}"
    )
    click.echo(f"\nbest epoch {metrics['best_epoch']} of {metrics['epochs']}{early}\n")
    if run.config.model.tune and metrics["dev"]:
        click.echo(_tuned(run, metrics))
    for split in ("dev", "test"):
        if metrics[split] and (split == "test" or not metrics["test"]):
            click.echo(f"{split}\n{scores_table(metrics[split])}\n")
    click.echo(f"the model and its metrics are in {run.folder}; next:\n")
    click.echo(f'  echo "Paris Hilton flew to Paris." | nerwin predict {run.folder} -')
    click.echo(f"  nerwin gradcheck {run.folder}")


def _tuned(run: Run, metrics: dict[str, Any]) -> str:
    decision = run.manifest.checkpoints[run.manifest.best]["decision"]
    before, after = (100 * metrics[key]["f1"] for key in ("dev_as_trained", "dev"))
    thresholds = ", ".join(f"{name} {value:g}" for name, value in decision["thresholds"].items())
    weight = f"; weight of transitions {decision['transitions']:g}"
    weight = "" if run.config.model.loss == "crf" else weight  # it has learned its own
    return f"tuned on dev: F1 {before:.2f} → {after:.2f}; thresholds {thresholds}{weight}\n"


def _say_how_to_go_on(run: Run, as_before: bool) -> None:
    click.echo("\n", err=True, nl=False)
    if run.manifest.saved:
        click.echo(f"stopped; {run.folder} holds {_place(run)}. To go on:", err=True)
        click.echo(f"  nerwin train --resume {run.folder}", err=True)
    else:
        kept = f"{run.folder} is as it was before" if as_before else "nothing was saved"
        click.echo(f"stopped before the first epoch was finished; {kept}", err=True)


def _place(run: Run) -> str:
    """How far the run has come."""
    saved, missing = run.manifest.saved, run.manifest.missing
    if not missing:
        return f"epoch {run.last_epoch}" if run.last_epoch else "the first pass"
    latest = [f"epoch {saved[number]} of model {number}" for number in missing if number in saved]
    latest = latest or [f"model {max(saved)}"]
    return f"{' and '.join(latest)} of the first pass"


class _Bar:
    """A progress bar over all epochs on standard error, if a person is looking."""

    def __init__(self, run: Run) -> None:
        self.done, total = run.windows
        self.visible = sys.stderr.isatty() and not run.done
        self.bar = click.progressbar(
            length=total, label="training", file=sys.stderr, update_min_steps=total // 500 or 1
        )

    def __enter__(self) -> _Bar:
        if self.visible:
            self.bar.__enter__()
            self.bar.update(self.done)
        return self

    def show(self, windows: int) -> None:
        """Show that so many windows more are trained."""
        if self.visible:
            self.bar.update(windows)

    def clear(self) -> None:
        """Make place for a line."""
        if self.visible:
            click.echo("\r\x1b[K", nl=False, err=True)

    def __exit__(self, *_: object) -> None:
        self.clear()
        if self.visible:
            click.echo("\x1b[?25h", nl=False, err=True)  # the bar has hidden the cursor
