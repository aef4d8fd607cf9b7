"""The locks and the conda environments of this project: written, and checked against a package index.

    python requirements/environments.py write    # lock-cuda12.txt and envs/, from lock.txt and stacks.toml
    python requirements/environments.py check    # resolve all of them for linux-64; what differs is an error

Nothing is installed and no wheel is loaded: uv reads the metadata of packages from its index (UV_DEFAULT_INDEX; PyPI).
``lock.txt`` itself is ``pip freeze --all``, without pip and the project, of a new environment where the tests passed.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
PYTHON, PLATFORM = "3.11", "x86_64-manylinux_2_28"
LOCKS = {"cpu": "lock.txt", "cuda12": "lock-cuda12.txt"}
BUILD = ["setuptools"]
"""What builds the project inside an environment: part of each, so that no build asks an index for it."""

Pins = dict[str, str]
"""Version by canonical name."""


@dataclass(frozen=True, kw_only=True)
class Stack:
    """What one environment names itself.

    Attributes:
        name: of the stack, ``kernels`` for example.
        says: what it is for, one line.
        requirements: packages that the code imports, without versions.
        bare: packages that are installed without what they declare.
        bare_needs: what those need all the same.
    """

    name: str
    says: str
    requirements: tuple[str, ...]
    bare: tuple[str, ...] = ()
    bare_needs: tuple[str, ...] = ()

    @property
    def named(self) -> list[str]:
        """All that stands by name in the ``pip:`` part."""
        return sorted([*self.requirements, *self.bare_needs, *BUILD])


@dataclass(frozen=True, kw_only=True)
class Variant:
    """One environment file.

    Attributes:
        stack: what it holds.
        compute: ``cpu`` or ``cuda12``.
        extras: requirements that stand in place of plain names.
    """

    stack: Stack
    compute: str
    extras: Mapping[str, str]

    @property
    def name(self) -> str:
        """Of the file, without its suffix."""
        return self.stack.name if self.compute == "cpu" else f"{self.stack.name}-{self.compute}"

    @property
    def requirements(self) -> list[str]:
        """Named requirements, without versions."""
        return [self.extras.get(name, name) for name in self.stack.named]


def _table() -> dict[str, dict]:
    return tomllib.loads((ROOT / "requirements/stacks.toml").read_text(encoding="utf-8"))


def variants() -> list[Variant]:
    """All environments: each stack, and those that can compute on a GPU once more for CUDA 12."""
    table = _table()
    extras = table.pop("cuda12")["requirements"]
    stacks = [
        Stack(name=name, says=entry["says"], **{key: tuple(value) for key, value in entry.items() if key != "says"})
        for name, entry in table.items()
    ]
    plain = [Variant(stack=stack, compute="cpu", extras={}) for stack in stacks]
    cuda = [Variant(stack=stack, compute="cuda12", extras=extras) for stack in stacks if set(extras) & set(stack.named)]
    return plain + cuda


def pins_of(lines: Iterable[str]) -> Pins:
    """Versions that exact requirements name.

    Returns:
        Version by canonical name.

    Raises:
        ValueError: a line is no ``name==version``.
    """
    pins = {}
    for line in lines:
        requirement = Requirement(line)
        versions = [specifier.version for specifier in requirement.specifier if specifier.operator == "=="]
        if len(versions) != 1 or len(requirement.specifier) != 1 or "*" in versions[0] or requirement.marker:
            raise ValueError(f"'{line}': not an exact version, name==version")
        pins[canonicalize_name(requirement.name)] = versions[0]
    return pins


def lock(compute: str) -> Pins:
    """Versions of a lock."""
    lines = (ROOT / "requirements" / LOCKS[compute]).read_text(encoding="utf-8").splitlines()
    return pins_of(line for line in lines if line and not line.startswith("#"))


def pip_part(path: Path) -> list[str]:
    """Requirements under ``pip:`` of an environment file."""
    dependencies = yaml.safe_load(path.read_text(encoding="utf-8"))["dependencies"]
    return [line for part in dependencies if isinstance(part, dict) for line in part["pip"]]


def resolve(requirements: Iterable[str], constraints: Iterable[str] = (), *, sources: bool = False) -> Pins:
    """What an installer would install for the requirements, for this project's Python on linux-64.

    Args:
        requirements: what is asked for.
        constraints: limits of versions, also of what the requirements bring.
        sources: whether packages without a wheel will do (one that Snakemake needs has none); jobs need none such.

    Returns:
        Version by canonical name.

    Raises:
        SystemExit: there is no solution; the resolver's reason.
    """
    command = [sys.executable, "-m", "uv", "pip", "compile", "-", "--quiet", "--no-header", "--no-annotate"]
    command += ["--python-version", PYTHON, "--python-platform", PLATFORM]
    command += [] if sources else ["--only-binary", ":all:"]
    with tempfile.NamedTemporaryFile("w", suffix=".txt", encoding="utf-8") as file:
        file.write("\n".join(constraints))
        file.flush()
        command += ["--constraints", file.name]
        done = subprocess.run(command, input="\n".join(requirements), capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"no solution for linux-64, Python {PYTHON}:\n{done.stderr}")
    return pins_of(line for line in done.stdout.splitlines() if line)


def is_cuda(name: str) -> bool:
    """Whether a package is a part of CUDA, or is built for one release of it."""
    return bool(re.match(r"(nvidia-|cuda-|jax-cuda|torch$|torchvision$|triton$)", name))


def cuda_complaints(pins: Pins) -> list[str]:
    """What speaks against one CUDA 12 for JAX and torch alike.

    Since every package has one version, two libraries of one kind can only come in under two names: those of CUDA 12
    end in ``-cu12``, those of CUDA 13 in ``-cu13`` or in nothing.

    Returns:
        One line each; none if all is well.
    """
    found = [f"{name}: a part of another CUDA" for name in pins if name.startswith("nvidia-") and name[-5:] != "-cu12"]
    found += [f"{name}: only CUDA 13 comes with it" for name in pins if name == "cuda-toolkit"]
    majors = {"nvidia-cublas-cu12": "12", "nvidia-cuda-runtime-cu12": "12", "nvidia-cudnn-cu12": "9"}
    return found + [
        f"{name} {pins.get(name, 'is missing')}: wanted major version {major}"
        for name, major in majors.items()
        if pins.get(name, "").partition(".")[0] != major
    ]


def lock_lines(compute: str) -> list[str]:
    """The lock as lines."""
    return [f"{name}=={version}" for name, version in lock(compute).items()]


def cuda12_lock() -> str:
    """The lock with JAX and torch for CUDA 12: every other package as in ``lock.txt``."""
    table = _table()["cuda12"]
    shared = [f"{name}=={version}" for name, version in lock("cpu").items() if not is_cuda(name)]
    found = resolve([*shared, *table["requirements"].values()], table["constraints"], sources=True)
    head = f"# lock.txt with JAX and torch for CUDA 12 (Python {PYTHON}, x86-64 Linux).\n"
    head += "# Written by requirements/environments.py.\n"
    return head + "".join(f"{name}=={version}\n" for name, version in found.items())


def env_text(variant: Variant) -> str:
    """The environment file of a variant."""
    versions = lock(variant.compute)
    found = resolve(variant.requirements, lock_lines(variant.compute))
    named = [f"{line}=={versions[canonicalize_name(Requirement(line).name)]}" for line in variant.requirements]
    brought = [f"{name}=={version}" for name, version in found.items() if name not in pins_of(named)]
    last = " and ".join([*variant.stack.bare, "advntk itself"])
    lines = [
        f"# {variant.stack.says}" + ("" if variant.compute == "cpu" else "; JAX and torch for CUDA 12"),
        f"# written by requirements/environments.py from stacks.toml and {LOCKS[variant.compute]}",
        f"# {last} go in through {variant.name}.post-deploy.sh".replace("# advntk itself go", "# advntk itself goes"),
        "channels:",
        "  - conda-forge",
        "  - nodefaults",
        "dependencies:",
        f"  - python={PYTHON}",
        "  - pip",
        "  - pip:",
        *(f"      - {line}" for line in named),
        "      # what these bring",
        *(f"      - {line}" for line in brought),
    ]
    return "\n".join(lines) + "\n"


def script_text(variant: Variant) -> str:
    """The post-deploy script of a variant: the project from a copy, so that no build leaves files in the checkout."""
    versions = lock(variant.compute)
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


def write() -> None:
    """Write the CUDA lock, the environment files and their scripts."""
    (ROOT / "requirements" / LOCKS["cuda12"]).write_text(cuda12_lock(), encoding="utf-8")
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
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    needs = [*project["dependencies"], *project["optional-dependencies"]["test"], *BUILD]
    complaints = []
    for compute, file in LOCKS.items():
        extras = _table()["cuda12"]["requirements"].values() if compute == "cuda12" else ()
        found = resolve([*needs, *extras], lock_lines(compute), sources=True)
        complaints += [f"requirements/{file}: {line}" for line in differences(found, lock(compute))]
        print(f"requirements/{file}: {len(found)} packages")
    for variant in variants():
        file = ROOT / f"envs/{variant.name}.yaml"
        found, wanted = resolve(pip_part(file)), pins_of(pip_part(file))
        wrong = differences(found, wanted) + (cuda_complaints(found) if variant.compute == "cuda12" else [])
        complaints += [f"envs/{file.name}: {line}" for line in wrong]
        print(f"envs/{file.name}: {len(found)} packages")
        if variant.compute == "cuda12":
            shown = ("jax", "jax-cuda12-plugin", "torch", "nvidia-cuda-runtime-cu12", "nvidia-cublas-cu12")
            shown += ("nvidia-cudnn-cu12", "nvidia-nccl-cu12")
            print("  " + ", ".join(f"{name} {found[name]}" for name in shown if name in found))
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
    if parser.parse_args().command == "check":
        return check()
    write()
    return 0


if __name__ == "__main__":
    sys.exit(main())
