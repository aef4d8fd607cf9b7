"""The workflow is read with what Snakemake brings: a head node needs nothing else."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
OF_JOBS = [
    "array_api_compat",
    "jax",
    "jaxtyping",
    "matplotlib",
    "numba",
    "numpy",
    "pandas",
    "scipy",
    "sklearn",
    "torch",
]
WITHOUT_THEM = f"""
import builtins, sys
imported = builtins.__import__

def blocked(name, where=None, *rest, **named):
    # plugins of Snakemake may import what they like
    if name.partition(".")[0] in {OF_JOBS} and (where or {{}}).get("__name__", "").startswith("advntk."):
        raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
    return imported(name, where, *rest, **named)

builtins.__import__ = blocked
from snakemake.cli import main
sys.exit(main(sys.argv[1:]))
"""


def dry_run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", WITHOUT_THEM, "--dry-run", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)


def test_a_users_file_cannot_be_read_without_numpy_and_the_error_says_so(tmp_path):
    (tmp_path / "mine.npz").write_bytes(b"")
    mine = f"dataset_options={{npz: {{path: {tmp_path}/mine.npz, n_opt: 600, n_val: 200}}}}"
    done = dry_run("--config", "datasets=[npz]", mine)
    assert done.returncode != 0
    assert "mine.npz" in done.stdout
    assert "reading it needs numpy" in done.stdout
    assert "Traceback" not in done.stdout
