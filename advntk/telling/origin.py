"""The origin of a result: the chain from it to the prepared data, where each link ran, on which code.

A result names the files that it was computed from, relative to its own folder; the chain ends where one is missing.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from advntk.foundation import files
from advntk.foundation.errors import InputError
from advntk.foundation.provenance import content_digest
from advntk.telling import suite_file
from advntk.telling.kinds import traced
from advntk.telling.mixing import UNKNOWN, current_digest
from advntk.telling.publishing import packed

_SCHEMA = re.compile(r"^advntk-(\w+)-\d+$")
_BEHIND = ("fit", "gram", "split", "prepared")
"""The end of a chain, in its order."""
_OLDER = ("record", *_BEHIND)
"""Results that may be older than provenance."""
_SUITES = (suite_file.SCHEMA, *packed.READ)
_PREPARED = ("x_train", "y_train", "x_test", "y_test", "classes")
_REMEDY = (
    "give a record, sweep, transfer, finding, fit, gram.json, split.json, prepared npz or suite.json; of a published "
    "suite its suite.json"
)
CURRENT = "current"


@dataclass(frozen=True, kw_only=True)
class Link:
    """One result of a chain.

    Attributes:
        kind: ``record``, ``fit``, …, ``prepared`` (a dataset) or ``suite``.
        what: the result in words.
        there: whether the file is there.
        provenance: as it was written; empty where it was not.
        timing: the same.
        code: of each module it was computed with: ``current``, ``differs`` from this checkout, or ``gone``.
        doubts: what does not fit together, in words.
    """

    kind: str
    path: str
    what: str = ""
    there: bool = True
    provenance: Mapping[str, Any] = field(default_factory=dict)
    timing: Mapping[str, float] = field(default_factory=dict)
    code: Mapping[str, str] = field(default_factory=dict)
    doubts: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class _Behind:
    """An input file of a result; ``digest`` when it was read, empty if unknown."""

    path: Path
    kind: str
    digest: str
    user: str


def origin(path: Path) -> list[Link]:
    """Return a result and all its inputs, each file once, the result first.

    Args:
        path: of the result; of a fit the folder will do, of a Gram matrix and of outcomes the arrays beside the JSON.

    Raises:
        InputError: missing, or none of this suite's results.
    """
    start = _file_of(path)
    if start.suffix == ".json" and isinstance(content := files.read_json(start), dict):
        if content.get("schema") in _SUITES:
            return [_suite(start)]
    elif not start.is_file():
        raise InputError("file not found", where=start, remedy=_REMEDY)
    links: dict[Path, Link] = {}
    waiting = [_Behind(path=start, kind="", digest="", user="")]
    while waiting:
        wanted = waiting.pop(0)
        known = wanted.path.resolve()
        if known in links:
            continue
        if wanted.kind and not wanted.path.is_file():
            links[known] = Link(kind=wanted.kind, path=_short(wanted.path), there=False)
            continue
        link, now, behind = _prepared(wanted.path) if wanted.path.suffix == ".npz" else _result(wanted.path)
        if wanted.digest and now and wanted.digest != now:
            doubt = f"is not the one that the {wanted.user} was computed from (digest {wanted.digest} then, {now} now)"
            link = replace(link, doubts=(*link.doubts, doubt))
        links[known] = link
        waiting += behind
    return sorted(links.values(), key=lambda link: _BEHIND.index(link.kind) if link.kind in _BEHIND else -1)


def as_json(links: list[Link]) -> list[dict[str, Any]]:
    """Machine-readable links, the result first."""
    return [asdict(link) for link in links]


def as_text(links: list[Link]) -> str:
    """Links for readers: a paragraph each, facts one below the other."""
    told: set[str] = set()
    return "\n\n".join("\n".join([f"{link.kind}  {link.path}", *_lines(link, told)]) for link in links)


def _lines(link: Link, told: set[str]) -> Iterator[str]:
    facts = _facts(link) if link.there else {"is": "not there any more"}
    if link.provenance.get("environment", UNKNOWN) in told:  # its versions stand further up
        facts.pop("versions", None)
    told.add(link.provenance.get("environment", ""))
    width = max(map(len, facts), default=0)
    yield from (f"  {name.ljust(width)}  {text}" for name, text in facts.items())


def _facts(link: Link) -> dict[str, str]:
    """Reported facts of a result by name, unknown ones among them."""
    made = link.provenance
    if link.kind == "suite":
        return {**made, **({"note": " ".join(link.doubts)} if link.doubts else {})}
    facts = {"what": link.what} if link.what else {}
    if not made:
        return {**facts, "made": f"{UNKNOWN}: the file is older than these fields"}
    took = [f"{link.timing['wall_s']:.1f} s"] if "wall_s" in link.timing else []
    took += [f"{link.timing['peak_mb']:.0f} MiB"] if "peak_mb" in link.timing else []
    facts["finished"] = ", ".join([str(made.get("finished", UNKNOWN)), *took])
    facts["ran on"] = _place_in_words(made)
    for name in ("chunks", "parts"):
        for index, one in enumerate(made.get(name, [])):
            facts[f"{name.removesuffix('s')} {index}"] = f"{one.get('finished', UNKNOWN)}, {_place_in_words(one)}"
    facts["processor"] = str(made.get("processor", UNKNOWN))
    prefix = f" in {made['prefix']}" if made.get("prefix") else ""
    facts["environment"] = f"{made.get('environment', UNKNOWN)} (Python {made.get('python', UNKNOWN)}{prefix})"
    facts["versions"] = ", ".join(f"{name} {version}" for name, version in made.get("versions", {}).items()) or UNKNOWN
    if link.kind != "prepared":
        facts["data"] = str(made.get("data", UNKNOWN))
    facts["code"] = _code_in_words(link)
    for module, digest in made.get("sources", {}).items():
        state = link.code[module]
        facts[f"  {module}"] = digest if state == CURRENT else f"{digest} ({state})"
    if "content" in made:
        facts["digest"] = str(made["content"])
    for doubt in link.doubts:
        facts["doubt"] = doubt
    return facts


def _place_in_words(made: Mapping[str, Any]) -> str:
    """Host, job, device and threads."""
    words = [f"host {made['host']}"] if made.get("host") else []
    if made.get("job"):
        step = f", step {made['step']}" if made.get("step") else ""
        array = f" (array {made['array']})" if made.get("array") else ""
        words.append(f"{made.get('scheduler') or 'scheduler'} job {made['job']}{array}{step}")
    words += [f"device {made['device']}"] if made.get("device") else []
    words += [f"threads {made['threads']}"] if made.get("threads") else []
    return ", ".join(words) or UNKNOWN


def _code_in_words(link: Link) -> str:
    if not link.code:
        return f"{UNKNOWN} by module; package {link.provenance.get('code', UNKNOWN)}"
    changed = [f"{module} ({state})" for module, state in link.code.items() if state != CURRENT]
    return f"not that of this checkout: {', '.join(changed)}" if changed else "current: that of this checkout"


def _file_of(path: Path) -> Path:
    """The file that describes a result: of a fit's folder, of a Gram matrix, of outcomes, of arrays of a split."""
    if path.is_dir():
        return path / "fit.json"
    beside = path.with_suffix(".json")
    return beside if path.suffix in (".npy", ".npz") and beside.is_file() else path


def _short(path: Path) -> str:
    """A path without what leads out of a folder and back into it, relative to here where it is below."""
    whole, here = path.resolve(), Path.cwd()
    return str(whole.relative_to(here) if whole.is_relative_to(here) else whole)


def _result(path: Path) -> tuple[Link, str, list[_Behind]]:
    """A result with a JSON file: its link, its digest now, empty where it is not known, and what is behind it."""
    content = files.read_json(path) if path.suffix == ".json" else None
    schema = str(content.get("schema_version") or content.get("schema")) if isinstance(content, dict) else ""
    kind = "".join(_SCHEMA.findall(schema))
    made = content.get("provenance", {} if kind in _OLDER else None) if isinstance(content, dict) else None
    if not (kind and isinstance(content, dict) and isinstance(made, dict)):
        raise InputError("is not a result with provenance", where=path, remedy=_REMEDY)
    link = Link(
        kind=kind,
        path=_short(path),
        what=_what(kind, content),
        provenance=made,
        timing=content.get("timing", {}),
        code=_states(made),
    )
    inputs, places = made.get("inputs", {}), dict(made.get("places", {}))
    if kind == "fit":
        places.setdefault("split", content["split"])
    digests = {"split": str(content.get("split_hash", "")), "prepared": str(content.get("data", "")), **inputs}
    behind = []
    for name, given in places.items():
        several = isinstance(given, list)
        told = digests.get(name, [""] * len(given) if several else "")
        for one, digest in zip(given, told, strict=True) if several else [(given, told)]:
            below = name.removesuffix("s")
            behind.append(
                _Behind(path=files.leading_to(path.parent, one), kind=below, digest=digest, user=f"{kind} {link.path}")
            )
    now = content.get("hash", "") if kind == "split" else made.get("content", "")
    return link, str(now), behind


def _prepared(path: Path) -> tuple[Link, str, list[_Behind]]:
    """The same of a prepared dataset; what is behind it was downloaded and verified."""
    arrays = files.read_npz(path)
    if not set(_PREPARED) <= arrays.keys():
        raise InputError("holds no prepared dataset", where=path, remedy=_REMEDY)
    made = json.loads(str(arrays["provenance"])) if "provenance" in arrays else {}
    digest = content_digest({name: arrays[name] for name in _PREPARED})
    train, test = len(arrays["x_train"]), len(arrays["x_test"])
    what = f"{train} training and {test} test images, {int(arrays['classes'])} classes; digest {digest}"
    return Link(kind="prepared", path=_short(path), what=what, provenance=made, code=_states(made)), digest, []


def _states(made: Mapping[str, Any]) -> dict[str, str]:
    """Whether each module that made a result is what it is in this checkout."""
    states = {}
    for module, digest in made.get("sources", {}).items():
        current = current_digest(module)
        states[module] = "gone" if current is None else CURRENT if current == digest else "differs"
    return states


def _what(kind: str, content: Mapping[str, Any]) -> str:
    """A result in words."""
    words = []
    if kind == "finding":
        words.append(f"{content.get('experiment')}, unit {content.get('unit')}")
    if "method" in content:
        words.append(str(content["method"]))
    if isinstance(spec := content.get("architecture"), dict):
        words.append(f"{spec.get('family')}-{spec.get('depth')}")
    if content.get("dataset"):
        words += [str(content["dataset"]), f"seed {content.get('seed')}"]
    if kind == "gram":
        words.append(f"of {content.get('n')} images, engine {content.get('engine', UNKNOWN)}")
    if isinstance(attack := content.get("attack"), dict):
        threat = content.get("threat") or {}
        at = f" at {threat['eps255']:g}/255 ({threat.get('norm')})" if threat else ""
        words.append(f"under {attack.get('name')}{at}")
    return ", ".join(words)


def _suite(path: Path) -> Link:
    """All results of a suite in one link: how many, and what made them, in words already."""
    suite = suite_file.read_suite(path, allow_mixed=True)
    found = traced(suite)
    made = [one.provenance for placed in found.values() for _, one in placed]
    facts = {"results": ", ".join(f"{len(placed)} {name}" for name, placed in found.items())}
    for name in ("host", "device", "processor", "environment", "python", "code", "data"):
        values = [str(one.get(name) or UNKNOWN) for one in made]
        facts[name] = ", ".join(f"{value} ({values.count(value)})" for value in dict.fromkeys(values))
    sources: dict[str, Counter[str]] = {}
    for one in made:
        for module, state in _states(one).items():
            told = one["sources"][module] + ("" if state == CURRENT else f" ({state})")
            sources.setdefault(module, Counter())[told] += 1
    facts |= {
        f"  {module}": ", ".join(f"{t}: {count}" for t, count in found.items()) for module, found in sources.items()
    }
    return Link(kind="suite", path=_short(path), provenance=facts, doubts=suite.notes)
