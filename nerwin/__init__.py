"""nerwin: named entity recognition with a window classifier and hand-written backpropagation."""

__version__ = "0.1.0"
