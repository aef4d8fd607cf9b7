"""What the Snakefile needs beside the suite."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def put_interpreter_first() -> None:
    """Let ``python`` in jobs without a conda environment be the one that runs Snakemake, activated or not."""
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
