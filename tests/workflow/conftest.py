"""The workflow tested as a program: a copy of the checkout, run by Snakemake in a subprocess."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
COSTS = "results/reference/costs"  # what times on a cluster are asked for by
PARTS = ("Snakefile", "config.yaml", "rules", "envs", "profiles", "suites", "report", "advntk", "pyproject.toml", COSTS)

TINY = {
    "suite": "tiny",
    "seeds": 1,
    "datasets": ["digits"],
    "architectures": [{"family": "mlp", "depth": 2}],
    "methods": ["ntk", "early_stopped_ntk", "advntk", "at"],
    "eps255": [16],
    "attacks": ["pgd"],
    "network": {"width": {"mlp": 32}},
    "dataset_options": {"digits": {"n_opt": 60, "n_val": 30, "n_test": 40}},
    "method_options": {
        "early_stopped_ntk": {"decades": 1, "halvings": 0},
        "advntk": {"steps": 4, "batch": 16, "report_every": 2},
        "at": {
            **{"steps": 20, "batch": 16, "report_every": 10, "warmup": 0},
            "search": [{"network": "reference", "learning_rate": 0.05}, {"learning_rate_fraction": 1.0}],
        },
    },
}
"""Every rule once, in seconds."""


class Checkout:
    """A copy of the project that Snakemake runs in; what else is in its folder stays."""

    printed = ""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        for part in PARTS:
            source = ROOT / part
            if source.is_dir():
                shutil.copytree(source, folder / part, dirs_exist_ok=True)  # compiled kernels in __pycache__ come along
            else:
                shutil.copy2(source, folder / part)

    def suite(self, **changes) -> Path:
        """An overlay of the tiny suite."""
        path = self.folder / "tiny.yaml"
        path.write_text(yaml.safe_dump(TINY | changes))
        return path

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "snakemake", *arguments]

    def run(self, *arguments: str, expect: int = 0) -> str:
        done = subprocess.run(
            self.command(*arguments), cwd=self.folder, env=self.environment(), capture_output=True, text=True
        )
        output = done.stdout + done.stderr
        assert done.returncode == expect, output[-6000:]
        return output

    def advntk(self, *arguments: str, expect: int = 0) -> subprocess.CompletedProcess:
        """A verb of the command line, run in the checkout."""
        words = [sys.executable, "-m", "advntk", *arguments]
        done = subprocess.run(words, cwd=self.folder, env=self.environment(), capture_output=True, text=True)
        assert done.returncode == expect, done.stdout + done.stderr
        return done

    def environment(self) -> dict[str, str]:
        unoptimised = "--xla_backend_optimization_level=0"  # compiling takes longer than the work of tiny jobs
        return {**os.environ, "PYTHONPATH": str(self.folder), "COVERAGE_PROCESS_START": "", "XLA_FLAGS": unoptimised}

    def jobs(self, *arguments: str) -> dict[str, int]:
        """Number of jobs by rule that a dry run would start."""
        lines = self.run("--dry-run", *arguments).splitlines()
        if "job" not in " ".join(lines) or not any(line.startswith("Job stats") for line in lines):
            return {}
        start = next(i for i, line in enumerate(lines) if line.startswith("Job stats")) + 3
        counts = {}
        for line in lines[start:]:
            words = line.split()
            if len(words) != 2:
                break
            counts[words[0]] = int(words[1])
        return {rule: count for rule, count in counts.items() if rule not in ("all", "total")}

    def records(self) -> dict[str, dict]:
        """All records of the tiny suite, without provenance and timing."""
        found = {}
        for path in sorted((self.folder / "results/tiny/records").rglob("*.json")):
            content = json.loads(path.read_text())
            found[str(path.relative_to(self.folder))] = {
                key: value for key, value in content.items() if key not in ("provenance", "timing")
            }
        return found


@pytest.fixture
def checkout(tmp_path) -> Checkout:
    return Checkout(tmp_path)


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Checkout:
    """A checkout in which the tiny suite ran, and what the run printed."""
    checkout = Checkout(tmp_path_factory.mktemp("finished"))
    checkout.printed = checkout.run("--cores", "2", "--configfile", str(checkout.suite()))
    return checkout
