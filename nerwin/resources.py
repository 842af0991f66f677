"""Files that travel with nerwin: the demo data and the shipped configurations."""

from pathlib import Path


def shipped(relative: str) -> Path:
    """The path of a shipped file: inside the installed package, or beside it in a checkout."""
    package = Path(__file__).parent
    inside = package / relative
    return inside if inside.exists() else package.parent / relative
