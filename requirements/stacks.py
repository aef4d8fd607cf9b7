"""What the locks and the conda environments of this project are made of: stacks of libraries, and versions.

``environments.py`` writes and checks them.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
BUILD = ["setuptools"]
"""What builds the project inside an environment: part of each, so that no build asks an index for it."""

Pins = dict[str, str]
"""Version by canonical name."""


@dataclass(frozen=True, kw_only=True)
class Lock:
    """One set of versions that were tested together.

    Attributes:
        compute: ``cpu``, ``cuda12`` or ``cuda13``.
        says: what sets it apart, for the head of the file.
        pythons: versions of Python that it serves; conda environments take the first.
        requirements: requirements that stand in place of plain names.
        constraints: limits of versions.
        own: pattern of the packages whose versions differ from those of ``lock.txt``.
        libraries: major versions of the CUDA libraries that JAX and torch have to share.
    """

    compute: str
    says: str
    pythons: tuple[str, ...]
    requirements: Mapping[str, str] = field(default_factory=dict)
    constraints: tuple[str, ...] = ()
    own: str = ""
    libraries: Mapping[str, str] = field(default_factory=dict)

    @property
    def path(self) -> Path:
        """The file."""
        return ROOT / "requirements" / ("lock.txt" if self.compute == "cpu" else f"lock-{self.compute}.txt")

    @property
    def pins(self) -> Pins:
        """Its versions."""
        return pins_in(self.path)

    @property
    def cuda(self) -> str:
        """``CUDA 12`` or ``CUDA 13``; empty for CPUs."""
        return "" if self.compute == "cpu" else f"CUDA {self.compute.removeprefix('cuda')}"

    def is_own(self, name: str) -> bool:
        """Whether a package may have another version than in ``lock.txt``."""
        return bool(self.own and re.match(rf"({self.own})", name))

    def complaints(self, pins: Pins) -> list[str]:
        """What speaks against one CUDA for JAX and torch alike.

        Since every package has one version, two libraries of one kind can only come in under two names: those of
        CUDA 12 end in ``-cu12``, those of CUDA 13 in ``-cu13`` or in nothing.

        Returns:
            One line each; none if all is well, or if there is no CUDA.
        """
        other = {"cuda12": r"nvidia-(?!.*-cu12$)|cuda-toolkit$", "cuda13": r"nvidia-.*-cu12$"}.get(self.compute)
        found = [f"{name}: a part of another CUDA" for name in pins if other and re.match(other, name)]
        return found + [
            f"{name} {pins.get(name, 'is missing')}: wanted major version {major}"
            for name, major in self.libraries.items()
            if pins.get(name, "").partition(".")[0] != major
        ]


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
        lock: of its versions.
    """

    stack: Stack
    lock: Lock

    @property
    def name(self) -> str:
        """Of the file, without its suffix."""
        return self.stack.name if self.lock.compute == "cpu" else f"{self.stack.name}-{self.lock.compute}"

    @property
    def requirements(self) -> list[str]:
        """Named requirements, without versions."""
        return [self.lock.requirements.get(name, name) for name in self.stack.named]


def _table(part: str) -> dict[str, dict]:
    table: dict[str, dict] = tomllib.loads((ROOT / "requirements/stacks.toml").read_text(encoding="utf-8"))[part]
    return {
        name: {key: tuple(value) if isinstance(value, list) else value for key, value in entry.items()}
        for name, entry in table.items()
    }


def locks() -> dict[str, Lock]:
    """All locks by what they compute on, ``lock.txt`` first."""
    return {compute: Lock(compute=compute, **entry) for compute, entry in _table("locks").items()}


def stacks() -> list[Stack]:
    """All stacks."""
    return [Stack(name=name, **entry) for name, entry in _table("stacks").items()]


def variants() -> list[Variant]:
    """All environments: each stack, and those that can compute on a GPU once more for each CUDA."""
    return [
        Variant(stack=stack, lock=lock)
        for lock in locks().values()
        for stack in stacks()
        if lock.compute == "cpu" or set(lock.requirements) & set(stack.named)
    ]


def pins_of(lines: Iterable[str]) -> Pins:
    """Versions that exact requirements name.

    Returns:
        Version by canonical name.

    Raises:
        ValueError: a line is no ``name==version``.
    """
    pins: Pins = {}
    for line in lines:
        requirement = Requirement(line)
        versions = [specifier.version for specifier in requirement.specifier if specifier.operator == "=="]
        if len(versions) != 1 or len(requirement.specifier) != 1 or "*" in versions[0] or requirement.marker:
            raise ValueError(f"'{line}': not an exact version, name==version")
        pins[canonicalize_name(requirement.name)] = versions[0]
    return pins


def pins_in(path: Path) -> Pins:
    """Versions in a lock file."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return pins_of(line for line in lines if line and not line.startswith("#"))


def pip_part(path: Path) -> list[str]:
    """Requirements under ``pip:`` of an environment file."""
    dependencies = yaml.safe_load(path.read_text(encoding="utf-8"))["dependencies"]
    return [line for part in dependencies if isinstance(part, dict) for line in part["pip"]]


def lines_of(pins: Pins) -> list[str]:
    """Exact requirements, sorted by name."""
    return [f"{name}=={version}" for name, version in sorted(pins.items())]


def declared() -> Mapping[str, list[str]]:
    """Requirements that ``pyproject.toml`` declares, by extra; those of the project itself under an empty name."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return {"": project["dependencies"], **project["optional-dependencies"]}


def project_needs(lock: Lock) -> list[str]:
    """What the project declares, for one lock; without what the stacks install bare, with what that needs."""
    bare = {name for stack in stacks() for name in stack.bare}
    needs = {name for stack in stacks() for name in stack.bare_needs}
    lines = [*declared()[""], *declared()["test"], *BUILD]
    return [
        *sorted(needs),
        *(line for line in lines if canonicalize_name(Requirement(line).name) not in bare),
        *lock.requirements.values(),
    ]


def bare_pins() -> Pins:
    """Exact versions that the project declares of what is installed bare."""
    bare = {name for stack in stacks() for name in stack.bare}
    return pins_of(line for line in declared()[""] if canonicalize_name(Requirement(line).name) in bare)
