"""What a run tells of its epochs, in its folder:

metrics.jsonl   first {"config", "provenance"}, then one object an epoch:
                epoch, loss (mean over the windows), learning_rate (at its end), seconds,
                tokens_per_second, dev (precision, recall, f1, support, accuracy, types);
                in a first pass, fold too, and no dev
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nerwin.evaluation import Scores
from nerwin.storage import add_line, write_file

_FILE = "metrics.jsonl"


@dataclass(frozen=True)
class Epoch:
    """What one time through the training data came to.

    fold  the number of the model of the first pass that it belongs to, from 1; 0 for the model
    best  no epoch before had its dev F1
    """

    fold: int
    number: int
    loss: float
    learning_rate: float
    seconds: float
    tokens_per_second: float
    dev: Scores | None = None
    best: bool = False

    def as_dict(self) -> dict[str, Any]:
        """A line of metrics.jsonl."""
        return {
            **({"fold": self.fold} if self.fold else {}),
            "epoch": self.number,
            "loss": self.loss,
            "learning_rate": self.learning_rate,
            "seconds": round(self.seconds, 3),
            "tokens_per_second": round(self.tokens_per_second),
            "dev": self.dev.as_dict() if self.dev else None,
        }


def begin(folder: Path, about: Mapping[str, Any], saved: Mapping[int, int]) -> None:
    """Write the first line, and those of the epochs that are saved: a stop may have left others."""
    lines = [about, *read(folder, saved)]
    write_file(folder / _FILE, "".join(json.dumps(line) + "\n" for line in lines))


def add(folder: Path, epoch: Epoch) -> None:
    """Add the line of an epoch."""
    add_line(folder / _FILE, json.dumps(epoch.as_dict()))


def read(folder: Path, saved: Mapping[int, int]) -> list[dict[str, Any]]:
    """The lines of the epochs that are saved: the last one of each fold, 0 for the model."""
    if not (folder / _FILE).exists():
        return []
    found = []
    for text in (folder / _FILE).read_text(encoding="utf-8", errors="replace").split("\n")[1:]:
        with contextlib.suppress(ValueError, LookupError, TypeError):  # cut off by a power cut
            line = json.loads(text)
            if line["epoch"] <= saved.get(line.get("fold", 0), 0):
                found.append(line)
    return found
