"""Do the tests notice a fault? Plant those of mutants.yaml, one at a time, and run the tests that must fail.

    python -m tests.mutants                      # all of them, about half an hour on two cores
    python -m tests.mutants --only holm-factor-1 no-ridge
    python -m tests.mutants --list

The checkout is not edited: the package and its tests are copied to a temporary folder, and a fault is planted there by
replacing a snippet of code that occurs exactly once, whatever file it is in. The named tests first run without a fault,
where they must pass. Exits with status 1 if they do not, if a fault is not caught, or if its snippet does not occur
exactly once.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import yaml

ROOT = Path(__file__).parents[1]
LIST = Path(__file__).with_suffix(".yaml")
COPIED = ("advntk", "tests", "profiles", "rules", "suites", "results/reference", "config.yaml", "pyproject.toml")
SEARCHED = ("advntk/**/*.py", "profiles/**/*.yaml")
OUTCOMES = {0: "survived", 1: "caught"}
"""By the exit status of pytest; any other means that tests did not run: an error of collection, or no such test."""


class Mutant(NamedTuple):
    """A fault.

    Attributes:
        snippet: of the code as it is.
        becomes: what replaces it.
        tests: node ids of which one must fail.
    """

    snippet: str
    becomes: str
    tests: tuple[str, ...]


def read_mutants(path: Path = LIST) -> dict[str, Mutant]:
    """The faults by name."""
    entries = yaml.safe_load(path.read_text(encoding="utf-8"))
    return {
        name: Mutant(entry["snippet"], entry["becomes"], tuple(f"tests/{test}" for test in entry["tests"].split()))
        for name, entry in entries.items()
    }


def places(folder: Path, snippet: str) -> Counter[Path]:
    """How often a snippet occurs in each file that is searched."""
    files = (path for pattern in SEARCHED for path in folder.glob(pattern))
    return +Counter({path: path.read_text(encoding="utf-8").count(snippet) for path in files})


def copy_of(root: Path, folder: Path) -> None:
    """Copy what tests read, and what is compiled of it."""
    for name in COPIED:
        if (root / name).is_dir():
            shutil.copytree(root / name, folder / name)
        else:
            shutil.copy2(root / name, folder / name)


def run(folder: Path, tests: Iterable[str], timeout_s: float) -> tuple[str, str]:
    """Run tests in a copy.

    Returns:
        ``caught``, ``survived``, ``timed out`` or ``not run``, and what pytest printed.
    """
    # no new bytecode: a fault of the same length that is planted within the same second would not be compiled
    environment = os.environ | {"PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *dict.fromkeys(tests)]
    with tempfile.TemporaryFile("w+", encoding="utf-8") as output:
        try:
            status = subprocess.run(
                command, cwd=folder, env=environment, stdout=output, stderr=subprocess.STDOUT, timeout=timeout_s
            ).returncode
            outcome = OUTCOMES.get(status, "not run")
        except subprocess.TimeoutExpired:
            outcome = "timed out"
        output.seek(0)
        return outcome, output.read()


def plant(folder: Path, mutant: Mutant, timeout_s: float) -> tuple[str, str]:
    """Plant a fault in a copy, run its tests, and take it out again.

    Returns:
        As :func:`run`, or ``snippet missing`` or ``snippet not unique``; and the file, or what pytest printed.
    """
    found = places(folder, mutant.snippet)
    if found.total() != 1:
        return "snippet not unique" if found else "snippet missing", ", ".join(map(str, found))
    (path,) = found
    before = path.read_text(encoding="utf-8")
    path.write_text(before.replace(mutant.snippet, mutant.becomes), encoding="utf-8")
    try:
        outcome, output = run(folder, mutant.tests, timeout_s)
    finally:
        path.write_text(before, encoding="utf-8")
    return outcome, output if outcome == "not run" else str(path.relative_to(folder))


def main(arguments: list[str] | None = None) -> int:
    """Plant all faults, or those that are named.

    Returns:
        0 if all were caught.
    """
    mutants = read_mutants()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=list(mutants), metavar="NAME", help="plant these alone")
    parser.add_argument("--list", action="store_true", help="list the faults and their tests")
    parser.add_argument("--timeout", type=float, default=1800, help="seconds for the tests of a fault (default: 1800)")
    given = parser.parse_args(arguments)
    chosen = {name: mutants[name] for name in given.only or mutants}
    if given.list:
        print("\n".join(f"{name}: {' '.join(mutant.tests)}" for name, mutant in chosen.items()))
        return 0
    counts: Counter[str] = Counter()
    with tempfile.TemporaryDirectory(prefix="mutants.") as temporary:
        folder, start = Path(temporary), time.perf_counter()
        copy_of(ROOT, folder)
        outcome, output = run(folder, [test for mutant in chosen.values() for test in mutant.tests], given.timeout)
        if outcome != "survived":
            print(f"{output}\nwithout a fault, the tests must pass: {outcome}")
            return 1
        print(f"{'no fault':18}  {time.perf_counter() - start:6.1f} s  all tests pass", flush=True)
        for name, mutant in chosen.items():
            start = time.perf_counter()
            outcome, note = plant(folder, mutant, given.timeout)
            counts[outcome] += 1
            print(f"{outcome:18}  {time.perf_counter() - start:6.1f} s  {name} ({note})", flush=True)
    print(", ".join(f"{count} {outcome}" for outcome, count in counts.most_common()))
    return int(counts["caught"] < len(chosen))


if __name__ == "__main__":
    sys.exit(main())
