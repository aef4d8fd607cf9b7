"""What made a suite, in words: code, dates, machines and versions, from the provenance of everything it measured."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from advntk.telling.kinds import kinds
from advntk.telling.listing import EMPTY
from advntk.telling.suite_file import Suite

_VERSIONED = ("jax", "neural-tangents", "numba", "numpy", "scipy", "torch")


def made(suite: Suite) -> dict[str, str]:
    """Facts by name; where jobs disagree, all values are listed; a missing fact is a dash."""
    known = list(_provenances(suite))
    finished = sorted(str(one["finished"])[:16].replace("T", " ") for one in known if "finished" in one)
    threads = sorted({int(one["threads"]) for one in known if "threads" in one})
    count = "–".join(map(str, dict.fromkeys((threads[0], threads[-1])))) if threads else EMPTY
    return {
        "finished": " to ".join(dict.fromkeys((finished[0], finished[-1]))) + " UTC" if finished else EMPTY,
        "code": _told(str(one["code"]) for one in known if "code" in one),
        "machine": f"{_told(str(one['processor']) for one in known if 'processor' in one)}; threads of a job: {count}",
        "python": _told(str(one["python"]) for one in known if "python" in one),
        "versions": _told(_versions(one["versions"]) for one in known if "versions" in one),
    }


def _provenances(suite: Suite) -> Iterable[dict[str, Any]]:
    yield from (item.record.provenance for item in suite.measured)
    for kind in kinds().values():
        yield from (result.provenance for _, result in suite.placed(kind.model) if kind.traced)


def _versions(versions: dict[str, str]) -> str:
    return ", ".join(f"{name} {versions[name]}" for name in _VERSIONED if name in versions)


def _told(values: Iterable[str]) -> str:
    return "; ".join(dict.fromkeys(values)) or EMPTY
