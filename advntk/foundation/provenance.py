"""What made a result: code digest, versions, hardware; and what it cost: wall time and peak memory."""

from __future__ import annotations

import ast
import functools
import hashlib
import importlib.metadata
import os
import platform
import resource
import time
from pathlib import Path
from typing import Any

PACKAGE = Path(__file__).resolve().parents[1]
VERSIONED = ("advntk", "jax", "jaxlib", "neural-tangents", "numba", "numpy", "scipy", "torch")


def _module_file(module: str) -> Path | None:
    """Source file of a module of this package, or None."""
    parts = module.split(".")
    if parts[0] != PACKAGE.name:
        return None
    base = PACKAGE.joinpath(*parts[1:])
    for candidate in (base.with_suffix(".py"), base / "__init__.py"):
        if candidate.is_file():
            return candidate
    return None


@functools.cache
def _imports(module: str) -> frozenset[str]:
    """Modules of this package that a module's source imports, at any depth of its code."""
    source = _module_file(module)
    found: set[str] = set()
    if source is None:
        return frozenset()
    for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            found.add(node.module)
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
    return frozenset(name for name in found if _module_file(name) is not None)


def modules_behind(*modules: str) -> list[str]:
    """The modules and all that they import from this package, sorted.

    Returns:
        Module names.

    Raises:
        ModuleNotFoundError: one of ``modules`` is not in this package.
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
def code_digest(*modules: str) -> str:
    """Digest of the sources of modules and of all that they import from this package (12 hexadecimal digits).

    Workflow rules carry it as a parameter, so that editing a module reruns exactly what depends on it.

    Returns:
        The digest.
    """
    digest = hashlib.sha256()
    for module in modules_behind(*modules):
        source = _module_file(module)
        digest.update(module.encode())
        digest.update(source.read_bytes() if source else b"")
    return digest.hexdigest()[:12]


@functools.cache
def package_digest() -> str:
    """Digest of all sources of this package (12 hexadecimal digits)."""
    digest = hashlib.sha256()
    for source in sorted(PACKAGE.rglob("*.py")):
        digest.update(str(source.relative_to(PACKAGE)).encode())
        digest.update(source.read_bytes())
    return digest.hexdigest()[:12]


def environment(device: str, threads: int) -> dict[str, Any]:
    """Versions, hardware and place of this process."""
    versions = {}
    for name in VERSIONED:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = "not installed"
    return {
        "code": package_digest(),
        "versions": versions,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processor": processor(),
        "host": platform.node(),
        "job": os.environ.get("SLURM_JOB_ID", ""),
        "device": device,
        "threads": threads,
        "finished": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


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
