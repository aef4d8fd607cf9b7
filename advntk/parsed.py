"""Arguments of the command line as the objects that they stand for."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING, Any

from advntk.foundation.errors import ConfigError

if TYPE_CHECKING:
    from advntk.foundation.architecture import Architecture
    from advntk.foundation.options import Compute
    from advntk.foundation.threat import Norm, ThreatModel


def mapping(text: str) -> dict[str, Any]:
    """A JSON object from the command line.

    Returns:
        Its content.

    Raises:
        ConfigError: not a JSON object.
    """
    try:
        content = json.loads(text)
    except json.JSONDecodeError as error:
        raise ConfigError(f"not JSON ({error})", where=text, remedy="""quote it, like '{"depth": 3}'""") from error
    if not isinstance(content, dict):
        raise ConfigError("not a JSON object", where=text, remedy="""give an object, like '{"depth": 3}'""")
    return content


def architecture(text: str) -> Architecture:
    """An architecture from JSON."""
    from advntk.foundation.architecture import Architecture
    from advntk.foundation.options import validated

    return validated(Architecture, mapping(text), "architecture")


def compute(args: argparse.Namespace) -> Compute:
    """Where and how to compute."""
    from advntk.foundation.options import Compute

    return Compute(device=args.device, kernel_engine=args.engine, memory_mb=args.memory_mb)


def threat(args: argparse.Namespace) -> ThreatModel:
    """The threat model; radius 0 where none is given."""
    from advntk.foundation.options import validated
    from advntk.foundation.threat import ThreatModel

    require_unit(args.norm, args.eps255 or 0.0, "--eps255")
    return validated(ThreatModel, {"norm": args.norm, "eps255": args.eps255 or 0.0}, "threat")


def require_unit(norm: Norm, eps255: float, where: str) -> None:
    """Refuse a radius that is surely given in another unit."""
    from advntk.foundation.threat import unit_problem

    if problem := unit_problem(norm, eps255):
        raise ConfigError(problem, where=where)


def entry(package: str, name: str, options: dict[str, Any]) -> tuple[Any, Any]:
    """A registry entry and its options, checked."""
    from advntk.foundation import registry
    from advntk.foundation.options import validated

    entry = registry.get(package, name)
    return entry, validated(entry.options, options, name)
