"""What was measured, as a table in Markdown, as JSON with every figure, and as a picture."""

from __future__ import annotations

import json
import os
import platform
import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from importlib import metadata
from itertools import groupby
from pathlib import Path
from typing import Any

from measuring import Measure

Found = Mapping[str, Sequence[Measure]]  # subject -> what was measured

_LIBRARIES = ("nerwin", "numpy", "scipy", "gensim", "torch", "spacy", "python-crfsuite")


def machine() -> dict[str, Any]:
    """What it was measured on: processor, cores, system, the version of everything, for which
    processor NumPy's BLAS has chosen its products, how fast they are, and what the environment
    tells BLAS. A virtual machine's name for its processor hides which one it is; the speed tells.
    """
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "load": os.getloadavg(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "libraries": {name: _version(name) for name in _LIBRARIES},
        "blas": _blas(),
        "gflops": _gflops(),
        "settings": {
            name: value
            for name, value in sorted(os.environ.items())
            if name.startswith(("OPENBLAS_", "MKL_", "OMP_", "ATEN_"))
        },
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    found: dict[str, str] = {}
    for key, _, value in (line.partition(":") for line in lines if line):
        found.setdefault(key.strip(), value.strip())
    name = found.get("model name", platform.machine())
    if "cpu family" in found:
        name += f" (family {found['cpu family']}, model {found['model']})"
    return name


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "not installed"


def _blas() -> list[str]:
    import numpy as np  # noqa: F401  # loads its BLAS
    from threadpoolctl import threadpool_info

    pools = threadpool_info()
    return [
        f"{p['internal_api']} {p['version']} for {p.get('architecture', 'any processor')}"
        for p in pools
        if p["user_api"] == "blas"
    ]


def _gflops() -> float:
    """Thousand million operations a second, in float32, of one thread that multiplies matrices."""
    import numpy as np
    from threadpoolctl import threadpool_limits

    n = 1024
    A, product = np.ones((n, n), np.float32), np.empty((n, n), np.float32)
    took = []
    with threadpool_limits(1, "blas"):
        for _ in range(20):
            began = time.perf_counter()
            np.matmul(A, A, out=product)
            took.append(time.perf_counter() - began)
    return 2 * n**3 / min(took) / 1e9


def write(stem: Path, found: Found, about: Mapping[str, Any], titles: Mapping[str, str]) -> None:
    """Write stem.md, stem.json, stem.png and stem.svg; the pictures only if Matplotlib is there.

    titles  subject -> its heading
    """
    stem.parent.mkdir(parents=True, exist_ok=True)
    stem.with_suffix(".md").write_text("\n".join(markdown(found, about, titles)), encoding="utf-8")
    results = [
        {
            "subject": subject,
            **{name: getattr(measure, name) for name in ("task", "who", "unit", "at", "values")},
        }
        for subject, measures in found.items()
        for measure in measures
    ]
    text = json.dumps({**about, "results": results}, indent=2, ensure_ascii=False)
    stem.with_suffix(".json").write_text(text + "\n", encoding="utf-8")
    picture(stem, found, titles)


# --- Markdown ---------------------------------------------------------------------------------


def markdown(found: Found, about: Mapping[str, Any], titles: Mapping[str, str]) -> Iterator[str]:
    """Lines: what it was measured on, then a table for each subject."""
    on = about["machine"]
    versions = ", ".join(f"{name} {v}" for name, v in on["libraries"].items())
    settings = ", ".join(f"{name}={value}" for name, value in on["settings"].items())
    yield (
        f"{on['processor']}, {on['cores']} cores; Python {on['python']}, {versions}; "
        f"{', '.join(on['blas'])}, {on['gflops']:.0f} GFLOP/s a thread"
        f"{'; ' if settings else ''}{settings}"
    )
    for subject, measures in found.items():
        if not measures:
            continue
        rounds = len(measures[0].values)
        yield f"\n## {titles[subject]}\n"
        yield f"| | | median of {rounds} | lowest to highest | of the first |"
        yield "|---|---|---|---|---|"
        for task, group in groupby(measures, key=lambda measure: measure.task):
            first, *others = group
            yield _row(task, first, "")
            for measure in others:
                same = measure.unit == first.unit != ""
                yield _row("", measure, f"{_share(measure, first):.2f}" if same else "")
    yield ""


def _row(task: str, measure: Measure, share: str) -> str:
    low, high = form(min(measure.values)), form(max(measure.values))
    middle = f"{form(measure.median)} {measure.unit}".rstrip()
    return f"| {task} | {measure.who} | {middle} | {low} to {high} | {share} |"


def _share(measure: Measure, first: Measure) -> float:
    """The median over the rounds: what disturbs a whole round disturbs both."""
    pairs = zip(measure.values, first.values, strict=True)
    return statistics.median(value / other if other else 1.0 for value, other in pairs)


def form(value: float) -> str:
    """A figure in three digits at least."""
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


# --- the picture ------------------------------------------------------------------------------


def picture(stem: Path, found: Found, titles: Mapping[str, str]) -> None:
    """A panel for each subject: bars from 0, with the lowest and the highest, or lines where the
    task has a size.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return
    panels = {s: m for s, m in found.items() if m and m[0].unit}
    if not panels:
        return
    heights = [3.0 if m[0].at else 0.6 + 0.22 * len(m) for m in panels.values()]
    figure = Figure(figsize=(9, sum(heights) + len(heights)), layout="constrained")
    axes = figure.subplots(len(panels), squeeze=False, height_ratios=heights)[:, 0]
    for ax, (subject, measures) in zip(axes, panels.items(), strict=True):
        ax.set_title(titles[subject], loc="left", fontsize=10)
        (_lines if measures[0].at else _bars)(ax, measures)
        ax.spines[["top", "right"]].set_visible(False)
        ax.tick_params(labelsize=7)
    figure.savefig(stem.with_suffix(".png"), dpi=150)
    figure.savefig(stem.with_suffix(".svg"))


def _bars(ax: Any, measures: Sequence[Measure]) -> None:
    places = range(len(measures))
    middle = [m.median for m in measures]
    spread = [
        [m.median - min(m.values) for m in measures],
        [max(m.values) - m.median for m in measures],
    ]
    colours = ["tab:blue" if m.who.startswith("nerwin") else "tab:grey" for m in measures]
    ax.barh(places, middle, xerr=spread, color=colours, error_kw={"lw": 0.8})
    ax.set_yticks(places, [f"{m.task}: {m.who}" for m in measures])
    ax.set_ylim(len(measures) - 0.5, -0.5)
    ax.locator_params(axis="x", nbins=6)
    ax.xaxis.set_major_formatter("{x:,.9g}")
    ax.set_xlabel(measures[0].unit, fontsize=8)


def _lines(ax: Any, measures: Sequence[Measure]) -> None:
    for who in dict.fromkeys(m.who for m in measures):
        ours = [m for m in measures if m.who == who]
        at, middle = [m.at for m in ours], [m.median for m in ours]
        (line,) = ax.plot(at, middle, marker="o", label=f"{who}, {ours[0].unit}")
        low, high = [min(m.values) for m in ours], [max(m.values) for m in ours]
        ax.fill_between(at, low, high, color=line.get_color(), alpha=0.2)
    ax.set_xscale("log")
    ax.yaxis.set_major_formatter("{x:,.9g}")
    ax.set_ylim(0)
    ax.set_xlabel("tokens", fontsize=8)
    ax.legend(fontsize=8)
