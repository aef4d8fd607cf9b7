"""The zoo: published predictors that ``advntk.load`` finds by name, with their images and their records.

A folder of the zoo has the layout of a suite's results. Fits are as they were trained, so an attack on a predictor of
the zoo gives its record again. ``zoo.json`` lists them all, with the SHA-256 of each file.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from advntk.foundation import files
from advntk.foundation.errors import InputError, nearest
from advntk.foundation.options import Closed, Compute
from advntk.foundation.provenance import public
from advntk.foundation.records import Record, as_model, read_record

if TYPE_CHECKING:
    import numpy as np

SCHEMA = "advntk-zoo-1"
ZOO = Path(__file__).parent / "predictors"
"""The zoo that is installed with the package."""
LIST = "zoo.json"
LIMIT = 2**20
"""Bytes that a file may have."""
_APART = "build from suites of different datasets"


class Entry(Closed):
    """A predictor.

    Attributes:
        name: path of its fit below ``fits``.
        suite: that trained it, and whose attacks its records are of.
        predictor: SHA-256 of the files that it is loaded from, by their paths in the zoo.
        records: the same of its records.
    """

    name: str
    suite: str
    predictor: dict[str, str]
    records: dict[str, str]


class _Zoo(Closed):
    """The content of ``zoo.json``, without its schema's name."""

    entries: list[Entry] = Field(default_factory=list)


def entries(folder: Path = ZOO) -> list[Entry]:
    """All predictors of a zoo.

    Args:
        folder: of the zoo.

    Returns:
        Its entries, in the order in which suites list them.

    Raises:
        InputError: the folder holds no zoo.
    """
    path = folder / LIST
    content = files.read_json(path)
    if not isinstance(content, dict) or content.get("schema") != SCHEMA:
        raise InputError(f"not a list of schema {SCHEMA}", where=path, remedy="reinstall, or run 'advntk zoo build'")
    own = {key: value for key, value in content.items() if key != "schema"}
    return as_model(own, _Zoo, f"list of schema {SCHEMA}", where=path).entries


def entry_of(name: str, folder: Path = ZOO) -> Entry:
    """The entry of a name.

    Args:
        name: such as ``digits/seed0/mlp-3/advntk/eps16``.
        folder: of the zoo.

    Returns:
        The entry.

    Raises:
        InputError: the zoo has none of this name.
    """
    known = {entry.name: entry for entry in entries(folder)}
    if name not in known:
        what = f"no folder, and no predictor of the zoo{nearest(name, known)}"
        raise InputError(what, where=name, remedy="'advntk zoo list' shows all names")
    return known[name]


def folder_of(name: str, folder: Path = ZOO) -> Path:
    """The fit of a predictor, once all that it is loaded from is as it was published.

    Args:
        name: such as ``digits/seed0/mlp-3/advntk/eps16``.
        folder: of the zoo.

    Returns:
        The folder of its fit.
    """
    entry = entry_of(name, folder)
    _require_unchanged(folder, entry.predictor)
    return folder / "fits" / name


def images_and_labels(name: str, folder: Path = ZOO) -> tuple[np.ndarray, np.ndarray]:
    """The test images that the records of a predictor are of.

    Args:
        name: such as ``digits/seed0/mlp-3/advntk/eps16``.
        folder: of the zoo.

    Returns:
        Images, floats (m, H, W, C) in [0, 1], and labels (m,).
    """
    from advntk.learning.fits import read_fit
    from advntk.learning.loading import split_of

    fit = folder_of(name, folder)
    test = split_of(fit, read_fit(fit)[0]).test
    return test.images, test.labels


def records_of(entry: Entry, folder: Path = ZOO) -> dict[str, Record]:
    """The records of a predictor, by their paths in the zoo; files that changed raise ``InputError``."""
    _require_unchanged(folder, entry.records)
    return {path: read_record(folder / path) for path in entry.records}


def _require_unchanged(folder: Path, digests: Mapping[str, str]) -> None:
    for name, digest in digests.items():
        path = folder / name
        if not path.is_file() or files.sha256_of_file(path) != digest:
            raise InputError("is missing or not as it was published", where=path, remedy="reinstall the package")


def rows(folder: Path = ZOO) -> list[dict[str, Any]]:
    """What each predictor is, and what it withstood under the attack that left the fewest images robust.

    Args:
        folder: of the zoo.

    Returns:
        A row for each entry, as a table shows it; accuracies are of the checkpoint that ``advntk.load`` gives.
    """
    found = []
    for entry in entries(folder):
        records = reversed(records_of(entry, folder).values())  # of equals the one that is listed last
        judged = [(record, next(iter(record.evaluations.values()))) for record in records]
        record, worst = min(judged, key=lambda pair: pair[1].robust_accuracy)
        low, high = (100 * end for end in worst.robust_interval)
        size = sum((folder / "fits" / entry.name / name).stat().st_size for name in ("fit.json", "fit.npz"))
        found.append(
            {
                "name": entry.name,
                "dataset": record.dataset,
                "network": record.architecture.label,
                "method": record.method,
                "clean": f"{100 * worst.clean_accuracy:.1f}%",
                "robust": f"{100 * worst.robust_accuracy:.1f}% [{low:.1f}, {high:.1f}]",
                "attack": f"{record.attack.name}, {record.threat.norm} {record.threat.eps255:g}/255",
                "size": f"{size / 1024:.0f} kB",
            }
        )
    return found


def replay(entry: Entry, *, attacks: Sequence[str] = (), slack: int = 0, folder: Path = ZOO) -> list[str]:
    """Attack a predictor anew, and compare with its records.

    Args:
        entry: of the zoo.
        attacks: names of those to run; none: all that it has records of.
        slack: images by which a count may differ. On the machine that computed the records none does; on others
            rounding may move an image.
        folder: of the zoo.

    Returns:
        Differences, one a line: of the counts and of the warnings of each checkpoint.

    Raises:
        InputError: the predictor has no record of an attack that is named.
    """
    from advntk.attacks.named import NamedAttack
    from advntk.measuring.evaluate import evaluate_fit

    found, records = [], records_of(entry, folder)
    known = [record.attack.name for record in records.values()]
    if unknown := [name for name in attacks if name not in known]:
        raise InputError(f"no record of attack '{unknown[0]}'", where=entry.name, remedy=f"give {', '.join(known)}")
    for path, record in records.items():
        attack = record.attack
        if attacks and attack.name not in attacks:
            continue
        with tempfile.TemporaryDirectory() as place:
            again = evaluate_fit(
                folder_of(entry.name, folder),
                attack=NamedAttack.of(attack.name, attack.options, kind=attack.kind, where=path),
                threat=record.threat,
                out=Path(place, "record.json"),
                compute=Compute(),
                threads=1,
            )
        for checkpoint, published in record.evaluations.items():
            now = again.evaluations[checkpoint]
            for key in ("clean_correct", "robust_correct", "attacked_correct"):
                if abs(getattr(now, key) - getattr(published, key)) > slack:
                    found.append(
                        f"{path}, {checkpoint}: {key} {getattr(now, key)}, published {getattr(published, key)}"
                    )
            if now.flags != published.flags:
                found.append(f"{path}, {checkpoint}: warnings {now.flags}, published {published.flags}")
    return found


def build(suites: Sequence[Path], out: Path) -> list[Entry]:
    """Make a zoo from finished suites: their fits as they are, their records under attacks inside the threat model.

    Args:
        suites: ``suite.json`` of each.
        out: folder of the zoo; the files that it had before are deleted.

    Returns:
        Its entries.

    Raises:
        InputError: a suite is not finished, two suites have the same fit or different files of one name, a file is
            larger than ``LIMIT``, or the folder holds something else.
    """
    from advntk.learning.fits import read_fit
    from advntk.telling.suite_file import read_suite

    if out.exists() and any(out.iterdir()) and not (out / LIST).is_file():
        raise InputError("holds something else than a zoo", where=out, remedy="give an empty folder, or that of a zoo")
    found: list[Entry] = []
    with tempfile.TemporaryDirectory(dir=_parent(out)) as place:
        zoo = Path(place, out.name)
        for path in suites:
            suite, listing = read_suite(path), files.read_json(path)
            if "root" not in listing:
                raise InputError(
                    "a published suite has no predictors", where=path, remedy="give results/NAME/suite.json"
                )
            root = Path(listing["root"])
            for fit in map(Path, listing["fits"]):
                content, _ = read_fit(fit.parent)
                name = fit.parent.relative_to(root / "fits").as_posix()
                if name in (entry.name for entry in found):
                    raise InputError("an earlier suite has a fit of this name", where=fit.parent, remedy=_APART)
                split = files.leading_to(fit.parent, content.split)
                own = [
                    Path(item.path)
                    for item in suite.measured
                    if _what(item.record) == _what(content) and item.record.attack.inside_threat_model
                ]
                found.append(
                    Entry(
                        name=name,
                        suite=suite.config.suite,
                        predictor=_copied(_with_arrays(fit, split), root, zoo),
                        records=_copied(own, root, zoo),
                    )
                )
        listing = {"schema": SCHEMA, **_Zoo(entries=found).model_dump(mode="json")}
        files.write_json(zoo / LIST, listing)
        if out.exists():
            shutil.rmtree(out)
        zoo.rename(out)
    return found


def _parent(out: Path) -> Path:
    out.parent.mkdir(parents=True, exist_ok=True)
    return out.parent


def _what(one: Any) -> tuple[Any, ...]:
    """What a fit and its records have in common."""
    return one.dataset, one.seed, one.architecture, one.method, one.trained_at


def _with_arrays(*paths: Path) -> Iterable[Path]:
    """JSON files, each with the npz beside it."""
    for path in paths:
        yield from (path, path.with_suffix(".npz"))


def _copied(paths: Iterable[Path], root: Path, zoo: Path) -> dict[str, str]:
    """Copy files from results into a zoo, JSON without the names of hosts and folders; their digests by path."""
    digests = {}
    for path in paths:
        name, copy = path.relative_to(root).as_posix(), zoo / path.relative_to(root)
        copy.parent.mkdir(parents=True, exist_ok=True)
        before = files.sha256_of_file(copy) if copy.exists() else ""
        if path.suffix == ".json":
            content = files.read_json(path)
            files.write_json(copy, {**content, "provenance": public(content["provenance"])})
        else:
            shutil.copyfile(path, copy)
        if (size := copy.stat().st_size) > LIMIT:
            what = f"takes {size / 2**20:.1f} MiB, the limit is {LIMIT / 2**20:.0f}"
            raise InputError(what, where=path, remedy="train a smaller network, or on fewer images")
        digests[name] = files.sha256_of_file(copy)
        if before and before != digests[name]:
            raise InputError("an earlier suite has another file of this name", where=path, remedy=_APART)
    return digests
