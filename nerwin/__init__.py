"""nerwin: named entity recognition with a window classifier and hand-written backpropagation."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nerwin.tagger import Doc, Tagger, load, train

__version__ = "0.1.0"
__all__ = ["Doc", "Tagger", "__version__", "load", "train"]


def __getattr__(name: str) -> Any:
    """Import the tagger, and with it NumPy, when it is first asked for."""
    if name not in __all__:
        raise AttributeError(f"module 'nerwin' has no attribute {name!r}")
    from nerwin import tagger

    return getattr(tagger, name)
