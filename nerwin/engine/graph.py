"""Backpropagation on a graph of ops (CS224N 2021 L3, 0:48 to 1:17).

``apply`` computes a node from others, forward, at once. ``backward`` visits the nodes that lead
to one scalar in reverse topological order, multiplies upstream by local, and sums where a value
has several consumers. Each edge is used once, so backward costs as much as forward, in order.
"""

from __future__ import annotations

import itertools
from operator import attrgetter
from typing import Any

import numpy as np

from nerwin.engine.ops import Gradient, Gradients, Op
from nerwin.engine.types import Array

_made = itertools.count()
_number, _value, _depends = map(attrgetter, ("number", "value", "depends"))


class Node:
    """A value in the graph: a source (parameter or constant), or what an op made of others."""

    __slots__ = ("depends", "gradients", "inputs", "name", "number", "value")

    def __init__(
        self,
        value: Array,
        name: str = "",
        depends: bool = False,
        inputs: tuple[Node, ...] = (),
        gradients: Gradients = (),
    ) -> None:
        self.number = next(_made)
        self.value = value
        self.name = name
        self.depends = depends  # on a parameter: only then is its gradient of use
        self.inputs = inputs
        self.gradients = gradients

    def __repr__(self) -> str:
        return f"<{self.name or 'node'} {np.shape(self.value)}>"


def parameter(value: Array, name: str = "") -> Node:
    """A source whose gradient is wanted."""
    return Node(value, name, depends=True)


def constant(value: Array, name: str = "") -> Node:
    """A source whose gradient is not wanted."""
    return Node(value, name)


def apply(op: Op, *inputs: Node, **constants: Any) -> Node:
    """The node that ``op`` makes of ``inputs``; ``constants`` go to the op as keywords."""
    value, gradients = op(*map(_value, inputs), **constants)
    depends = True in map(_depends, inputs)
    return Node(value, op.__name__, depends, inputs, gradients)


def topological_order(root: Node) -> list[Node]:
    """All nodes between the parameters and ``root``, inputs before the nodes they feed.

    A node is made after its inputs: the order in which they were made is a topological one.
    """
    found = {root}
    stack = [root]
    while stack:
        for node in stack.pop().inputs:
            if node.depends and node not in found:
                found.add(node)
                stack.append(node)
    return sorted(found, key=_number)


def backward(root: Node) -> dict[Node, Gradient]:
    """The gradient of the scalar ``root`` for each node it depends on, parameters included.

    Raises ValueError if ``root`` is not a scalar. The gradients live in the returned dict
    alone: there is nothing on the nodes to set to zero between two calls.
    """
    if np.shape(root.value) != ():
        raise ValueError(f"backward starts at a scalar, not at shape {np.shape(root.value)}")
    gradients: dict[Node, Gradient] = {root: np.asarray(1, root.value.dtype)}
    for node in reversed(topological_order(root)):
        upstream = gradients[node]
        for source, local in zip(node.inputs, node.gradients, strict=True):
            if source.depends:
                downstream = local(upstream)
                if source in gradients:
                    downstream = gradients[source] + downstream
                gradients[source] = downstream
    return gradients
