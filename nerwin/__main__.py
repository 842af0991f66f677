"""``python -m nerwin`` is ``nerwin``."""

from nerwin.cli import main

if __name__ == "__main__":
    main(prog_name="python -m nerwin")
