"""Run a Python program, and write the most memory that it held at once, in KiB, to a file.

python benchmarks/peak.py FILE SCRIPT [ARGUMENT]...
python benchmarks/peak.py FILE -m MODULE [ARGUMENT]...
"""

from __future__ import annotations

import runpy
import sys
from pathlib import Path


def main() -> None:
    """Run it as if it had been started itself."""
    report, *sys.argv = sys.argv[1:]
    try:
        if sys.argv[0] == "-m":
            del sys.argv[0]
            runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
        else:
            runpy.run_path(sys.argv[0], run_name="__main__")
    finally:
        status = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
        (line,) = (line for line in status if line.startswith("VmHWM"))
        Path(report).write_text(line.split()[1], encoding="utf-8")


if __name__ == "__main__":
    main()
