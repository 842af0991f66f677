"""The lecture's window classifier in PyTorch, as its users write it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import nn, optim
from torch.nn import functional

from nerwin.engine.types import Array, Indices

SGD, SPARSE_ADAM, ADAM = "sgd", "sparse adam", "adam"


class Training:
    """A network that begins with nerwin's first values; ``step`` trains it on a batch.

    rows, Y  see ``Problem``
    kind     SGD and SPARSE_ADAM with a sparse gradient of the embeddings, or ADAM with a dense one
    """

    def __init__(
        self, parameters: Mapping[str, Array], rows: Indices, Y: Array, kind: str, rate: float
    ) -> None:
        E, W, b, U = (torch.tensor(parameters[name]) for name in ("E", "W", "b", "U"))
        self.network = nn.Sequential(
            nn.Embedding.from_pretrained(E, freeze=False, sparse=kind != ADAM),
            nn.Flatten(),
            nn.Linear(*W.shape, dtype=W.dtype),
            nn.Sigmoid(),
            nn.Linear(*U.shape, bias=False, dtype=U.dtype),
        )
        with torch.no_grad():
            self.network[2].weight.copy_(W.T)
            self.network[2].bias.copy_(b)
            self.network[4].weight.copy_(U.T)
        self.rows = torch.tensor(rows.astype(np.int64))
        self.Y = torch.tensor(Y)
        table, *others = self.network.parameters()
        self.optimizers = {
            SGD: lambda: [optim.SGD([table, *others], rate)],
            SPARSE_ADAM: lambda: [
                optim.SparseAdam([table], rate),
                optim.Adam(others, rate, fused=True),
            ],
            ADAM: lambda: [optim.Adam([table, *others], rate)],
        }[kind]()

    def step(self, batch: Indices) -> float:
        """One batch of these tokens: forward, backward, and a step of every parameter."""
        tokens = torch.from_numpy(batch)
        S = self.network(self.rows[tokens])
        loss = summed(S, self.Y[tokens])
        for optimizer in self.optimizers:
            optimizer.zero_grad()
        loss.backward()
        for optimizer in self.optimizers:
            optimizer.step()
        return float(loss.detach())

    def parameters(self) -> dict[str, Array]:
        """E, W, b and U under nerwin's names and in its shapes."""
        E, W, b, U = (value.detach().numpy() for value in self.network.parameters())
        return {"E": E, "W": W.T, "b": b, "U": U.T}


def summed(S: Any, Y: Any) -> Any:
    """The loss of all scorers together, a mean over the batch alone: as nerwin has it."""
    return functional.binary_cross_entropy_with_logits(S, Y, reduction="sum") / len(S)


def adam_by_rows(
    parameters: Mapping[str, Array],
    rows: Indices,
    Y: Array,
    orders: Iterator[Indices],
    steps: int,
    rate: float,
) -> tuple[list[float], dict[str, Array]]:
    """The loss of each step, and the parameters after them, of Adam that counts the steps of each
    row.

    ``SparseAdam`` counts one number of steps for the whole table, nerwin one for each row. Here
    each row is a parameter of its own, whose steps PyTorch's own Adam counts: a row that is not
    in the batch has no gradient, and Adam passes it by.
    """
    table = [torch.tensor(row, requires_grad=True) for row in parameters["E"]]
    W, b, U = others = [
        torch.tensor(parameters[name], requires_grad=True) for name in ("W", "b", "U")
    ]
    optimizer = optim.Adam([*table, *others], rate, foreach=True)  # else slow: so many
    losses = []
    for _ in range(steps):
        batch = next(orders)
        used, local = np.unique(rows[batch], return_inverse=True)
        E = torch.stack([table[row] for row in used.tolist()])
        X = E[torch.from_numpy(local.reshape(len(batch), -1))].flatten(1)
        loss = summed(torch.sigmoid(X @ W + b) @ U, torch.from_numpy(Y[batch]))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    found = {"E": torch.stack(table), "W": W, "b": b, "U": U}
    return losses, {name: value.detach().numpy() for name, value in found.items()}
