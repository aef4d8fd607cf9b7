"""What made a result: digests of code, data and environment, versions, where it ran; and wall time and peak memory.

All digests here have 12 hexadecimal digits (``DIGITS``).
"""

from __future__ import annotations

import ast
import functools
import hashlib
import importlib.metadata
import os
import platform
import re
import resource
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from advntk.foundation import files, registry
from advntk.foundation.gpus import device_name

if TYPE_CHECKING:
    import numpy as np

PACKAGE = Path(__file__).resolve().parents[1]
VERSIONED = ("advntk", "jax", "jaxlib", "neural-tangents", "numba", "numpy", "scipy", "torch")
VERSIONED_IF_THERE = ("pyautoattack",)
"""Named only where it is installed: one attack runs it, and only that attack's environment has it."""
MISSING = "not installed"
DIGITS = 12
PLACE = (
    "host",
    "scheduler",
    "job",
    "array",
    "step",
    "prefix",
    "device",
    "device_name",
    "threads",
    "environment",
    "finished",
)
"""Of a provenance, where and when a process ran."""
PRIVATE = ("host", "job", "array", "step", "prefix", "places")
"""Of a provenance, what says on whose machine: left out of what is published."""
_STEPS_OF_ITS_OWN = 2**32 - 16
"""SLURM's numbers from here on are not steps that a user started: the batch script itself, for example."""


@functools.cache
def _module_file(module: str) -> Path | None:
    """Source file of a module of this package, of a plugin, or beside a plugin; None for all others."""
    own, parts = module.partition(".")[0] == PACKAGE.name, module.split(".")
    for folder in [PACKAGE.parent] if own else [plugin.parent for plugin in registry.plugins()]:
        base = folder.joinpath(*parts)
        for candidate in (base.with_suffix(".py"), base / "__init__.py"):
            if candidate.is_file():
                return candidate
    return None


def _statements(node: ast.AST) -> Iterator[ast.AST]:
    """All statements in a piece of code, at any depth; expressions hold no imports and are most of a tree."""
    for block in ("body", "orelse", "finalbody", "handlers", "cases"):
        for inner in getattr(node, block, ()):
            yield inner
            yield from _statements(inner)


@functools.cache
def _imports(module: str) -> frozenset[str]:
    """Modules of this package and of plugins that a module's source imports, at any depth of its code."""
    file = _module_file(module)
    found: set[str] = set()
    if file is None:
        return frozenset()
    within = module.split(".") if file.name == "__init__.py" else module.split(".")[:-1]
    if within[:1] != [PACKAGE.name]:  # the packages of a plugin may hold code too
        found.update(".".join(within[:depth]) for depth in range(1, len(within) + 1))
    for node in _statements(ast.parse(_source(module))):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = within[: len(within) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            found.add(base)
            found.update(f"{base}.{alias.name}" for alias in node.names)
    return frozenset(name for name in found if _module_file(name) is not None)


def modules_behind(*modules: str) -> list[str]:
    """The modules and all that they import from this package and from plugins, sorted.

    Returns:
        Module names.

    Raises:
        ModuleNotFoundError: one of ``modules`` is neither in this package nor in a plugin.
    """
    for module in modules:
        if _module_file(module) is None:
            raise ModuleNotFoundError(module)
    seen: set[str] = set()
    waiting = list(modules)
    while waiting:
        module = waiting.pop()
        if module not in seen:
            seen.add(module)
            waiting.extend(_imports(module))
    return sorted(seen)


@functools.cache
def _source(module: str) -> bytes:
    """Source of a module of this package or of a plugin."""
    file = _module_file(module)
    return file.read_bytes() if file else b""


@functools.cache
def code_digest(*modules: str) -> str:
    """Digest of the sources of modules and of all that they import from this package and from plugins.

    Workflow rules carry it as a parameter, so that editing a module reruns exactly what depends on it.

    Returns:
        The digest.
    """
    digest = hashlib.sha256()
    for module in modules_behind(*modules):
        digest.update(module.encode())
        digest.update(_source(module))
    return digest.hexdigest()[:DIGITS]


@functools.cache
def package_digest() -> str:
    """Digest of all sources of this package (12 hexadecimal digits)."""
    digest = hashlib.sha256()
    for source in sorted(PACKAGE.rglob("*.py")):
        digest.update(str(source.relative_to(PACKAGE)).encode())
        digest.update(source.read_bytes())
    return digest.hexdigest()[:DIGITS]


def sources(*modules: str) -> dict[str, str]:
    """The code digest of each of some modules, as it is now.

    A job asks before it computes: the checkout may be edited while it runs.

    Args:
        modules: those whose edit makes the job run again.

    Returns:
        Digests by module.
    """
    package_digest()  # is remembered: the digest of this moment too
    return {module: code_digest(module) for module in sorted(modules)}


def content_digest(arrays: Mapping[str, np.ndarray]) -> str:
    """Digest of named arrays; an array ``provenance`` among them says what made the others and is left out."""
    return files.sha256_of_arrays({name: array for name, array in arrays.items() if name != "provenance"})[:DIGITS]


def told_content(path: Path) -> str:
    """The digest of a result's numbers that its JSON file tells; empty where it tells none."""
    return str(files.read_json(path).get("provenance", {}).get("content", ""))


@functools.cache
def environment_digest() -> str:
    """Digest of Python's version and of all installed distributions with theirs.

    This package is left out: its code has digests of its own, and it need not be installed.

    Returns:
        The digest.
    """
    installed: dict[str, str] = {}
    for folder in sys.path:
        # names of folders say enough and cost nothing: reading all metadata takes longer than many a job
        for found in sorted(Path(folder).glob("*.dist-info")):
            name, _, version = found.name.removesuffix(".dist-info").partition("-")
            # of two with one name, the first on the path is the one that is imported
            installed.setdefault(re.sub(r"[-_.]+", "-", name).lower(), version)
    installed.pop(PACKAGE.name, None)
    return files.sha256_of_json([platform.python_version(), sorted(installed.items())])[:DIGITS]


def versions(*names: str) -> dict[str, str]:
    """Versions of distributions, those that are not installed too."""
    found = {}
    for name in names:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = MISSING
    return found


def environment(
    device: str,
    threads: int,
    *,
    sources: Mapping[str, str] | None = None,
    data: str = "",
    inputs: Mapping[str, Any] | None = None,
    places: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Versions, hardware and place of this process, and the inputs of its result.

    Args:
        device: where it computed.
        threads: that it could use.
        sources: digests of the code, by module: see :func:`sources`.
        data: digest of the prepared dataset.
        inputs: digests of other results that it was made from, by what they are.
        places: paths of these, relative to the folder of the result.

    Returns:
        All of it, ready for JSON; what is not given is not in it.
    """
    others = {name: told for name, told in versions(*VERSIONED_IF_THERE).items() if told != MISSING}
    made_from = {"sources": sources, "data": data, "inputs": inputs, "places": places}
    return {
        "code": package_digest(),
        "environment": environment_digest(),
        "versions": versions(*VERSIONED) | others,
        "python": platform.python_version(),
        "prefix": Path(sys.prefix).name,
        "platform": platform.platform(),
        "processor": processor(),
        "host": platform.node(),
        **_job(),
        "device": device,
        "device_name": device_name(),
        "threads": threads,
        "finished": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        **{key: value if isinstance(value, str) else dict(value) for key, value in made_from.items() if value},
    }


def place(provenance: Mapping[str, Any]) -> dict[str, Any]:
    """Where and when a process ran, without the inputs of its result."""
    return {key: provenance[key] for key in PLACE if key in provenance}


def public(provenance: Mapping[str, Any]) -> dict[str, Any]:
    """A provenance that names no machine, job or folder, nor do the processes that it lists."""
    return {
        key: [public(one) if isinstance(one, dict) else one for one in value] if isinstance(value, list) else value
        for key, value in provenance.items()
        if key not in PRIVATE
    }


def _job() -> dict[str, str]:
    """The job of a scheduler that this process is, as its variables tell; ``array`` and ``step`` where it is in one."""
    told = os.environ
    found = {"scheduler": "", "job": ""}
    if job := told.get("SLURM_JOB_ID"):
        found = {"scheduler": "slurm", "job": job}
        if "SLURM_ARRAY_JOB_ID" in told and "SLURM_ARRAY_TASK_ID" in told:
            found["array"] = f"{told['SLURM_ARRAY_JOB_ID']}_{told['SLURM_ARRAY_TASK_ID']}"
        step = told.get("SLURM_STEP_ID", "")
        if step.isdigit() and int(step) < _STEPS_OF_ITS_OWN:
            found["step"] = step
    elif job := told.get("PBS_JOBID"):  # of an array, with its index
        found = {"scheduler": "pbs", "job": job}
    elif job := told.get("LSB_JOBID"):
        found = {"scheduler": "lsf", "job": job}
        if told.get("LSB_JOBINDEX", "0") != "0":
            found["array"] = f"{job}[{told['LSB_JOBINDEX']}]"
    elif "SGE_TASK_ID" in told and (job := told.get("JOB_ID")):
        found = {"scheduler": "sge", "job": job}
        if told["SGE_TASK_ID"] != "undefined":
            found["array"] = f"{job}.{told['SGE_TASK_ID']}"
    return found


def processor() -> str:
    """Model name of the processor, as the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def peak_mb() -> float:
    """Largest resident memory of this process so far, MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024.0
