"""Snakemake through SLURM as a user starts it, what ``squeue`` shows meanwhile, and records to compare.

    python -m tests.slurm.cluster SUITE_FILE RESULTS

runs a suite of this checkout through the SLURM that is up, into ``RESULTS/through_slurm``, shows ``squeue`` while it
runs, and compares its records with those of the local run in ``RESULTS/SUITE``.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import yaml

PROFILE = ("--workflow-profile", "profiles/slurm", "--slurm-init-seconds-before-status-checks", "1")
ROOT = Path(__file__).parents[2]
COLUMNS = "JobID:7,Partition:5,State:10,NumCPUs:5,MinMemory:8,tres-per-job:13,ReasonList:22,Comment:80"
"""No times: what is shown changes with the jobs' states alone."""


def ask(*command: str) -> str:
    """Output of a SLURM command."""
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout


def queue() -> str:
    """Jobs that wait or run, as squeue shows them."""
    return ask("squeue", f"--Format={COLUMNS}")


def jobs() -> dict[str, dict[str, str]]:
    """All jobs that SLURM remembers: what ``scontrol`` says of each, by id."""
    found = {}
    for line in ask("scontrol", "--oneliner", "--details", "show", "jobs").splitlines():
        facts = dict(re.findall(r"(\w+)=(\S*)", line))
        if "JobId" in facts:
            found[facts["JobId"]] = facts
    return found


def records(folder: Path) -> dict[str, dict]:
    """Everything measured in a suite's results, without provenance and timing, by its path."""
    found = {}
    for part in ("records", "sweeps", "transfers"):
        for path in sorted((folder / part).rglob("*.json")):
            content = json.loads(path.read_text(encoding="utf-8"))
            kept = {key: value for key, value in content.items() if key not in ("provenance", "timing")}
            found[str(path.relative_to(folder))] = kept
    return found


def until(condition: Callable[[], bool], what: str, timeout_s: float = 240) -> None:
    """Wait for a condition."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"no {what} after {timeout_s:g} s\n{queue()}"
        time.sleep(0.3)


def differences(local: Path, cluster: Path) -> list[str]:
    """Paths of records that differ or that one of two suites lacks."""
    one, other = records(local), records(cluster)
    return sorted(path for path in one.keys() | other.keys() if one.get(path) != other.get(path))


def main(suite_file: str, results: str) -> int:
    """Run, show, compare."""
    name = yaml.safe_load(Path(suite_file).read_text(encoding="utf-8"))["suite"]
    command = [sys.executable, "-m", "snakemake", *PROFILE, "--configfile", suite_file]
    command += ["--config", "suite=through_slurm", f"results={results}", "--quiet", "rules"]
    begun = time.monotonic()
    run = subprocess.Popen(command)
    shown = ""
    while run.poll() is None:
        if (now := queue()) != shown and now.count("\n") > 1:
            print(f"squeue after {time.monotonic() - begun:.0f} s\n{now}", flush=True)
            shown = now
        time.sleep(5)
    wall_s = time.monotonic() - begun
    if run.returncode:
        return run.returncode
    wrong = differences(Path(results, name), Path(results, "through_slurm"))
    count = len(records(Path(results, "through_slurm")))
    print(f"{name} through SLURM in {wall_s:.0f} s, {count} records; differing from the local run: {wrong or 'none'}")
    return int(bool(wrong) or count == 0)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
