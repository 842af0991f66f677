"""``nerwin gradcheck``."""

from __future__ import annotations

import dataclasses
import json
import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nerwin.cli.console import table
from nerwin.errors import ConfigError

if TYPE_CHECKING:
    from nerwin.engine.gradcheck import Check
    from nerwin.verification import Case

_SMALLEST, _LARGEST = 1e-9, 1e-1  # below, J's rounding is all that is left
_STEPS = [10.0**-k for k in range(1, 10)]


@click.command("gradcheck")
@click.argument("run", required=False, type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option(
    "--h",
    "h",
    type=float,
    help="Step of the numeric derivative.  [default: 1e-4]",
)
@click.option(
    "--one-sided",
    is_flag=True,
    help="Compare with (J(θ+h) − J(θ)) / h, to see why two sides are better.",
)
@click.option(
    "--data", metavar="FILE", help="Column file for the batch.  [default: the run's training data]"
)
def command(
    run: Path | None, as_json: bool, h: float | None, one_sided: bool, data: str | None
) -> None:
    """Verify every derivative numerically.

    Each entry of each parameter is moved by h to both sides, and (J(θ+h) − J(θ−h)) / 2h is
    compared with what backpropagation says. Without RUN: every operation, random graphs, and
    the model in all its forms. With RUN: a trained model's own parameters, on a real batch.
    With --h or --one-sided, a table of the error against h follows. The exit code is 0 if all
    errors are within the tolerance, 1 if not.

    \b
    nerwin gradcheck
    nerwin gradcheck runs/demo
    nerwin gradcheck --one-sided
    """
    from nerwin.engine.gradcheck import STEP, TOLERANCE
    from nerwin.verification import plain_case

    if data and not run:
        raise ConfigError("--data is for a trained model: say RUN too")
    cases = _of_run(run, data) if run else _of_everything()
    step = STEP if h is None else h
    if not _SMALLEST <= step <= _LARGEST:
        raise ConfigError(f"--h: expected {_SMALLEST:g} to {_LARGEST:g}, not {step:g}")
    checks = []
    for case in cases:
        checks += [(case.name, check) for check in case.check(step, one_sided)]
    worst = max(check.error for _, check in checks)
    passed = all(check.passed for _, check in checks)
    plain = cases[0] if run else plain_case()
    steps = _by_step(plain) if h is not None or one_sided else None
    if as_json:
        found = {
            "passed": passed,
            "worst": worst if math.isfinite(worst) else None,
            "tolerance": TOLERANCE,
            "h": step,
            "one_sided": one_sided,
            "checks": [_as_dict(case, check) for case, check in checks],
        }
        click.echo(json.dumps(found | ({"steps": steps} if steps else {}), indent=2))
    else:
        _print(checks)
        if steps:
            _print_steps(plain.name, steps)
        entries = sum(check.entries for _, check in checks)
        kinks = sum(check.kinks for _, check in checks)
        left_out = f" ({kinks} at kinks, where none exists, left out)" if kinks else ""
        sides = "one-sided" if one_sided else "two-sided"
        verdict = "passed" if passed else "FAILED"
        click.echo(
            f"{verdict}: {entries:,} derivatives{left_out}, {sides}, h = {step:g}: "
            f"worst relative error {worst:.1e}, tolerance {TOLERANCE:g}"
        )
    sys.exit(0 if passed else 1)


def _of_everything() -> list[Case]:
    from nerwin.verification import all_cases

    return list(all_cases())


def _of_run(run: Path, data: str | None) -> list[Case]:
    from nerwin.gold import read_gold
    from nerwin.manifest import read_manifest
    from nerwin.modeldir import load_model
    from nerwin.verification import trained_case

    options = read_manifest(run).config.data
    file = data or options.train
    if not Path(file).exists():
        raise ConfigError(f"{file}: no such file; say --data FILE for a batch of other data")
    return [trained_case(load_model(run), read_gold(file, options))]


def _by_step(case: Case) -> list[dict[str, float]]:
    errors = case.error_by_step(_STEPS)
    return [{"h": h, "one_sided": one, "two_sided": two} for h, one, two in errors]


def _as_dict(case: str, check: Check) -> dict[str, Any]:
    fields = {"case": case, **dataclasses.asdict(check), "passed": check.passed}
    return {
        k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in fields.items()
    }


def _print(checks: list[tuple[str, Check]]) -> None:
    rows = []
    previous = ""
    for case, check in checks:
        verdict = "ok" if check.passed else "FAILED"
        kinks = f", {check.kinks} kinks" if check.kinks else ""
        rows.append(
            [
                case if case != previous else "",
                check.parameter,
                "×".join(map(str, check.shape)) or "scalar",
                f"{check.entries}",
                f"{check.error:.1e}",
                verdict + kinks,
                ",".join(map(str, check.index)),
                f"{check.analytic:.8f}",
                f"{check.numeric:.8f}",
            ]
        )
        previous = case
    header = [
        "case",
        "parameter",
        "shape",
        "entries",
        "error",
        "",
        "worst at",
        "analytic",
        "numeric",
    ]
    click.echo(table(header, rows, left=3) + "\n")


def _print_steps(case: str, steps: list[dict[str, float]]) -> None:
    """The order is how many powers of ten the error fell when h fell by one."""
    rows = []
    for i, step in enumerate(steps):
        row = [f"{step['h']:.0e}"]
        for sides in ("one_sided", "two_sided"):
            before = steps[i - 1][sides] if i else 0
            order = f"{math.log10(before / step[sides]):+.1f}" if before and step[sides] else ""
            row += [f"{step[sides]:.1e}", order]
        rows.append(row)
    click.echo(f"worst error against h: {case}")
    click.echo(table(["h", "one-sided", "order", "two-sided", "order"], rows, left=0) + "\n")
