"""The locks and the conda environments of this project: written, and checked against a package index.

    python requirements/environments.py write              # the CUDA locks and envs/, from lock.txt and stacks.toml
    python requirements/environments.py write --upgrade    # lock.txt and lock-docs.txt too, with the newest versions
    python requirements/environments.py check              # resolve all of them for linux-64; a difference is an error

Nothing is installed and no wheel is loaded: uv reads the metadata of packages from its index (UV_DEFAULT_INDEX; PyPI).
Every lock is resolved for each Python that it names, and one set of versions has to do for all of them.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from stacks import (
    ROOT,
    Lock,
    Pins,
    Variant,
    bare_pins,
    declared,
    lines_of,
    locks,
    pins_in,
    pins_of,
    pip_part,
    project_needs,
    variants,
)

DOCS = ROOT / "requirements/lock-docs.txt"
"""Versions of what the documentation site needs beside ``lock.txt``."""
PLATFORM = "x86_64-manylinux_2_28"


def resolve(
    requirements: Iterable[str], constraints: Iterable[str] = (), *, python: str, sources: bool = False
) -> Pins:
    """What an installer would install for the requirements on linux-64.

    Args:
        requirements: what is asked for.
        constraints: limits of versions, also of what the requirements bring.
        python: version of Python, ``3.11`` for example.
        sources: whether packages without a wheel will do (two in the locks have none); jobs need none such.

    Returns:
        Version by canonical name.

    Raises:
        SystemExit: there is no solution; the resolver's reason.
    """
    command = [sys.executable, "-m", "uv", "pip", "compile", "-", "--quiet", "--no-header", "--no-annotate"]
    command += ["--python-version", python, "--python-platform", PLATFORM]
    command += [] if sources else ["--only-binary", ":all:"]
    with tempfile.NamedTemporaryFile("w", suffix=".txt", encoding="utf-8") as file:
        file.write("\n".join(constraints))
        file.flush()
        command += ["--constraints", file.name]
        done = subprocess.run(command, input="\n".join(requirements), capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"no solution for linux-64, Python {python}:\n{done.stderr}")
    return pins_of(line for line in done.stdout.splitlines() if line)


def resolve_alike(requirements: Iterable[str], constraints: Iterable[str], *, lock: Lock, where: Path) -> Pins:
    """What would be installed for the requirements, the same for every Python that a lock serves.

    Returns:
        Version by canonical name.

    Raises:
        SystemExit: there is no solution, or none that does for all of them.
    """
    requirements, constraints = [*requirements], [*constraints]
    first, *others = lock.pythons
    found = resolve(requirements, constraints, python=first, sources=True)
    for python in others:
        pins = resolve(requirements, [*constraints, *lines_of(found)], python=python, sources=True)
        if apart := differences(pins, found):
            raise SystemExit(f"{where.name}: Python {python} and {first} differ:\n" + "\n".join(apart))
    return found


def resolve_lock(lock: Lock, constraints: Iterable[str]) -> Pins:
    """Versions of a lock."""
    constraints = [*constraints, *lock.constraints]
    return resolve_alike(project_needs(lock), constraints, lock=lock, where=lock.path) | bare_pins()


def resolve_docs(constraints: Iterable[str]) -> Pins:
    """Versions of what the documentation site needs beside ``lock.txt``."""
    lock = locks()["cpu"]
    found = resolve_alike(declared()["docs"], [*lines_of(lock.pins), *constraints], lock=lock, where=DOCS)
    return {name: version for name, version in found.items() if name not in lock.pins}


def lock_text(lock: Lock, pins: Pins) -> str:
    """A lock file."""
    head = f"# {lock.says}. For Python {', '.join(lock.pythons)} on x86-64 Linux.\n"
    head += "# Install with --no-deps: neural-tangents declares TensorFlow, which nothing here uses.\n"
    return head + _pinned(pins)


def docs_text(pins: Pins) -> str:
    """The lock file of the documentation site."""
    return "# What the documentation site needs beside lock.txt. Install with --no-deps.\n" + _pinned(pins)


def _pinned(pins: Pins) -> str:
    return "# Written by requirements/environments.py.\n" + "".join(f"{line}\n" for line in lines_of(pins))


def env_text(variant: Variant) -> str:
    """The environment file of a variant."""
    versions, python = variant.lock.pins, variant.lock.pythons[0]
    found = resolve(variant.requirements, lines_of(versions), python=python)
    named = [f"{line}=={versions[canonicalize_name(Requirement(line).name)]}" for line in variant.requirements]
    brought = [f"{name}=={version}" for name, version in found.items() if name not in pins_of(named)]
    last = " and ".join([*variant.stack.bare, "advntk itself"])
    lines = [
        f"# {variant.stack.says}" + (f"; JAX and torch for {cuda}" if (cuda := variant.lock.cuda) else ""),
        f"# written by requirements/environments.py from stacks.toml and {variant.lock.path.name}",
        f"# {last} go in through {variant.name}.post-deploy.sh".replace("# advntk itself go", "# advntk itself goes"),
        "channels:",
        "  - conda-forge",
        "  - nodefaults",
        "dependencies:",
        f"  - python={python}",
        "  - pip",
        "  - pip:",
        *(f"      - {line}" for line in named),
        "      # what these bring",
        *(f"      - {line}" for line in brought),
    ]
    return "\n".join(lines) + "\n"


def script_text(variant: Variant) -> str:
    """The post-deploy script of a variant: the project from a copy, so that no build leaves files in the checkout."""
    versions = variant.lock.pins
    bare = "".join(
        f"python -I -m pip install --quiet --no-deps {name}=={versions[name]}\n" for name in variant.stack.bare
    )
    return f"""#!/usr/bin/env bash
# Snakemake runs this with the new environment activated. Written by requirements/environments.py.
set -euo pipefail
{bare}checkout=${{ADVNTK_CHECKOUT:-$PWD}}  # the rules set it; Snakemake runs a copy of this script
copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
cp -r "$checkout"/{{pyproject.toml,README.md,LICENSE,advntk}} "$copy"
python -I -m pip install --quiet --no-deps --no-build-isolation "$copy"
"""


def write(*, upgrade: bool) -> None:
    """Write all locks but ``lock.txt`` and the environment files with their scripts; ``upgrade`` moves that first."""
    for lock in locks().values():
        if lock.compute == "cpu":
            if not upgrade:
                continue
            shared = []
        else:
            shared = lines_of({name: pin for name, pin in locks()["cpu"].pins.items() if not lock.is_own(name)})
        lock.path.write_text(lock_text(lock, resolve_lock(lock, shared)), encoding="utf-8")
    known = [] if upgrade else lines_of(pins_in(DOCS))
    DOCS.write_text(docs_text(resolve_docs(known)), encoding="utf-8")
    for variant in variants():
        (ROOT / f"envs/{variant.name}.yaml").write_text(env_text(variant), encoding="utf-8")
        (ROOT / f"envs/{variant.name}.post-deploy.sh").write_text(script_text(variant), encoding="utf-8")


def differences(found: Pins, wanted: Pins) -> list[str]:
    """Packages that differ, one line each."""
    return [
        f"{name}: the index gives {found.get(name, 'none')}, the file says {wanted.get(name, 'none')}"
        for name in sorted({*found, *wanted})
        if found.get(name) != wanted.get(name)
    ]


def check() -> int:
    """Resolve locks and environments as they are, say what was found, and compare.

    Returns:
        0, or 1 if anything differs or JAX and torch disagree.
    """
    complaints = []
    for lock in locks().values():
        found = resolve_lock(lock, lines_of(lock.pins))
        complaints += [f"{lock.path.name}: {line}" for line in differences(found, lock.pins) + lock.complaints(found)]
        print(f"{lock.path.name}: {len(found)} packages for Python {', '.join(lock.pythons)}")
        names = ["jax", "torch", *lock.libraries]
        print("  " + ", ".join(f"{name} {found[name]}" for name in names if name in found))
    docs = resolve_docs(lines_of(pins_in(DOCS)))
    complaints += [f"{DOCS.name}: {line}" for line in differences(docs, pins_in(DOCS))]
    print(f"{DOCS.name}: {len(docs)} packages beside those of lock.txt")
    for variant in variants():
        file = ROOT / f"envs/{variant.name}.yaml"
        found, wanted = resolve(pip_part(file), python=variant.lock.pythons[0]), pins_of(pip_part(file))
        wrong = differences(found, wanted) + variant.lock.complaints(found)
        complaints += [f"envs/{file.name}: {line}" for line in wrong]
        print(f"envs/{file.name}: {len(found)} packages")
    for line in complaints:
        print(f"error: {line}", file=sys.stderr)
    return 1 if complaints else 0


def main() -> int:
    """Run one command.

    Returns:
        The exit status.
    """
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=["write", "check"])
    parser.add_argument("--upgrade", action="store_true", help="with write: move lock.txt to the newest versions first")
    arguments = parser.parse_args()
    if arguments.command == "check":
        return check()
    write(upgrade=arguments.upgrade)
    return 0


if __name__ == "__main__":
    sys.exit(main())
