"""Are the results of two folders the same, but for when and where they were made?

    python -m tests.same_results OLD NEW [--tolerance 1e-6]

OLD and NEW are folders of results of one suite, such as results/smoke, made before and after a change. All JSON files
(records, fits, splits, sweeps, transfers, findings, …) are compared without ``provenance`` and ``timing``, the arrays
beside them, and every table and curve by its columns and values. The table ``cost`` holds times and is left out, and
so are Markdown, LaTeX and figures. Prints what differs, a line each, and exits with status 1 if anything does.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

NOT_RESULTS = {"provenance", "timing"}
"""Keys of JSON files, at any depth: where and when it was made, by which code and how fast."""
ALSO_NOT = {"grams": {"code", "parts"}, "attacks": {"code", "sources", "environment", "versions", "hardware"}}
"""Further such keys of a Gram matrix, whole or in parts, and of each attack of a file in ``robustbench``."""
FREE = {"config", "found", "method_options", "options", "settings"}
"""Keys of mappings whose keys are names that somebody chose: nothing in them is left out."""
NOT_OUTCOMES = {"provenance", "digest", "seconds"}
"""The same in chunks of an attack: last part of the dotted name of an array."""
ROUGH = {"condition", "relative_residual"}
"""Arrays of an ``ntk`` fit that say how large rounding was: equal within a factor of 10."""
LEFT_OUT = ("logs", "benchmarks", "figures")
ELSEWHERE = ("results", "data", "compute", "allow_mixed")
"""Keys of a configuration that change no result."""


def differences(old: Path, new: Path, tolerance: float = 0.0) -> list[str]:
    """What differs between two folders, a line each.

    Args:
        old: folder of one run.
        new: of the other.
        tolerance: up to which numbers count as equal, relative to the larger one and to 1.
    """
    return _compared(old, new, tolerance)[0]


def _compared(old: Path, new: Path, tolerance: float) -> tuple[list[str], int]:
    """What differs between two folders, and how many files both have."""
    before, after = _contents(old), _contents(new)
    shared = sorted(before.keys() & after.keys())
    lines = [f"{name}: only in {old}" for name in sorted(before.keys() - after.keys())]
    lines += [f"{name}: only in {new}" for name in sorted(after.keys() - before.keys())]
    for name in shared:
        lines += [f"{name}{line}" for line in _differing(before[name], after[name], tolerance)]
    return lines, len(shared)


def _contents(folder: Path) -> dict[str, Any]:
    """Everything that is compared, by its path in the folder."""
    found: dict[str, Any] = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder)
        if name.parts[0] in LEFT_OUT or name.stem == "cost" or name.name.startswith("."):
            continue
        if path.suffix == ".json":
            content = json.loads(path.read_text(encoding="utf-8"))
            root = content.pop("root", "") if name.name == "suite.json" else ""
            found[str(name)] = _of_json(content, name.parts[0], root)
        elif path.suffix == ".csv":
            with path.open(encoding="utf-8", newline="") as handle:
                found[str(name)] = [{key: _number(text) for key, text in row.items()} for row in csv.DictReader(handle)]
        elif path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as arrays:
                left_out = NOT_OUTCOMES if name.parent.suffix == ".chunks" else set()
                names = [key for key in arrays.files if key.rpartition(".")[2] not in left_out]
                found[str(name)] = {key: arrays[key] for key in names}
        elif path.suffix == ".npy":
            found[str(name)] = np.load(path, mmap_mode="r", allow_pickle=False)
    return found


def _of_json(content: Any, place: str, root: str) -> Any:
    """What is compared of a file; paths are relative to the folder of results, ``root``.

    Args:
        content: of the file, or a part of it.
        place: the folder that the file is in, or the key of the part.
        root: empty except in a suite's file.
    """
    if isinstance(content, str):
        return content.removeprefix(f"{root}/") if root else content
    if isinstance(content, list):
        return [_of_json(entry, place, root) for entry in content]
    if not isinstance(content, dict):
        return content
    if place in FREE:
        return {key: value for key, value in content.items() if not (place == "config" and key in ELSEWHERE)}
    left_out = NOT_RESULTS | ALSO_NOT.get(place, set())
    return {key: _of_json(value, key, root) for key, value in content.items() if key not in left_out}


def _number(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text


def _differing(old: Any, new: Any, tolerance: float) -> Iterator[str]:
    """Where two values differ, and how; of arrays how many entries, and by how much at most."""
    if isinstance(old, np.ndarray) and isinstance(new, np.ndarray):
        if (old.shape, old.dtype) != (new.shape, new.dtype):
            yield f": {old.dtype} {old.shape}, now {new.dtype} {new.shape}"
        elif old.dtype.kind in "fc":
            apart = np.abs(np.asarray(old, np.float64) - new)
            allowed = tolerance * np.maximum(1.0, np.maximum(np.abs(old), np.abs(new)))
            wrong = ~((apart <= allowed) | (np.isnan(old) & np.isnan(new)) | (old == new))
            if wrong.any():
                yield f": {int(wrong.sum())} of {old.size} entries, by up to {np.max(apart[wrong]):.3g}"
        elif wrong := int(np.sum(old != new)):
            yield f": {wrong} of {old.size} entries"
    elif isinstance(old, dict) and isinstance(new, dict):
        for key in [*old, *(key for key in new if key not in old)]:
            if (key in old) != (key in new):
                yield f" › {key}: {'gone' if key in old else 'new'}"
            elif not (key in ROUGH and _alike(old[key], new[key])):
                yield from (f" › {key}{line}" for line in _differing(old[key], new[key], tolerance))
    elif isinstance(old, list) and isinstance(new, list):
        if len(old) != len(new):
            yield f": {len(old)} entries, now {len(new)}"
        for index, pair in enumerate(zip(old, new, strict=False)):
            yield from (f"[{index}]{line}" for line in _differing(*pair, tolerance))
    elif not _equal(old, new, tolerance):
        yield f": {old!r}, now {new!r}"


def _alike(old: Any, new: Any) -> bool:
    """Whether two arrays of numbers are equal within a factor of 10; NaN is like nothing."""
    if not (isinstance(old, np.ndarray) and isinstance(new, np.ndarray) and old.shape == new.shape):
        return False
    return bool((np.maximum(old, new) <= 10 * np.minimum(old, new)).all())


def _equal(old: Any, new: Any, tolerance: float) -> bool:
    numbers = all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in (old, new))
    if not numbers:
        return type(old) is type(new) and bool(old == new)
    both_nan = math.isnan(old) and math.isnan(new)
    return both_nan or old == new or abs(old - new) <= tolerance * max(1.0, abs(old), abs(new))


def main(arguments: list[str] | None = None) -> int:
    """Compare, and print.

    Returns:
        0 if nothing differs, 1 otherwise.
    """
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("old", type=Path)
    parser.add_argument("new", type=Path)
    parser.add_argument("--tolerance", type=float, default=0.0, help="up to which numbers count as equal (default: 0)")
    parser.add_argument("--lines", type=int, default=40, help="how many differences are printed (default: 40)")
    given = parser.parse_args(arguments)
    lines, count = _compared(given.old, given.new, given.tolerance)
    print("\n".join(lines[: given.lines]))
    print(f"{count} files compared, {len(lines)} difference(s)")
    return int(bool(lines) or not count)


if __name__ == "__main__":
    sys.exit(main())
