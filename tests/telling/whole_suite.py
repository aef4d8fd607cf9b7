"""A synthetic suite with every kind of result at the places that the workflow gives them, whole or in parts."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import product
from pathlib import Path

from advntk.foundation import files, paths
from advntk.foundation.findings import write_finding
from advntk.foundation.records import read_record
from advntk.foundation.strength import Shown, Sweep, SweepPoint, Transfer
from tests.telling.conftest import place_of
from tests.theory.test_ark_limit import findings

MADE = {
    "code": "c", "sources": {"advntk.measuring.evaluate": "e1", "advntk.learning.fits": "f1"}, "data": "d1",
    "host": "secret", "processor": "A processor", "finished": "2026-01-02T03:04:05Z",
}  # fmt: skip
CONFIG = {
    "architectures": [{"family": "mlp", "depth": 3}],
    "eps255": [8, 16],
    "attacks": ["pgd", "pgd_margin"],
    "seeds": 3,
    "sweeps": {"radius": {"attack": "pgd", "values": [0, 8]}},
    "transfer": ["pgd"],
    "experiments": {"ark_limit": {}},
}


def fill(builder, made=MADE):
    """Write all results of a builder's suite and its suite file; give the path of the latter.

    Convergence checks are among them where AT's options ask for them.
    """
    builder.provenance = made
    if not builder.config.method_options.get("at", {}).get("convergence_check", False):
        builder.moved["at"] = None
    builder.fill()
    lists = {"sweeps": [], "transfers": [], "findings": []}
    for place in builder.paths:
        record = read_record(place)
        if record.attack.name == "pgd":
            lists["sweeps"].append(_sweep(builder, record))
    config, specs = builder.config, builder.config.specs()
    for eps255, seed in product(config.eps255, range(config.seeds)):
        if config.transfer:
            lists["transfers"].append(_transfer(builder, specs[0], eps255, seed))
    for finding in findings(-0.5).findings if config.experiments else ():
        place = place_of("experiment", root=builder.folder, experiment=finding.experiment, unit=finding.unit)
        write_finding(place, finding.model_copy(update={"provenance": made}))
        lists["findings"].append(place)
    content = json.loads(builder.write().read_text())
    files.write_json(builder.folder / "suite.json", content | (lists if config.sweeps else {}))
    return builder.folder / "suite.json"


def _sweep(builder, record) -> str:
    kept = {"dataset", "architecture", "method", "trained_at", "seed", "split_hash", "attack", "threat", "provenance"}
    points = [
        SweepPoint(value=value, robust_correct=count, robust_accuracy=count / 400, interval=(0.1, 0.9))
        for value, count in ((0, 380), (8, 130 - record.seed))
    ]
    sweep = Sweep(
        **{key: getattr(record, key) for key in kept}, checkpoint="final", kind="radius", n_test=400, clean_correct=380,
        points=points, timing={"wall_s": 7.0, "peak_mb": 90.0},
    )  # fmt: skip
    place = place_of("sweep",
        root=builder.folder, dataset=record.dataset, seed=record.seed, architecture=record.architecture.label,
        method=record.method, eps255=paths.radius_name(record.threat.eps255), sweep="radius",
    )  # fmt: skip
    files.write_json(place, sweep.model_dump(mode="json"))
    return place


def _transfer(builder, spec, eps255, seed) -> str:
    where = {"root": builder.folder, "dataset": "digits", "seed": seed, "eps255": paths.radius_name(eps255)}
    record = read_record(place_of("evaluate", **where, architecture=spec.label, method="at", attack="pgd"))
    own = {"architecture": spec}
    shown = [
        Shown(**own, method="ntk", kind="kernel", checkpoint="final"),
        Shown(**own, method="at", kind="network", checkpoint="last"),
    ]
    transfer = Transfer(
        dataset="digits", seed=seed, split_hash=record.split_hash, attack=record.attack, threat=record.threat,
        n_test=400, predictors=shown, clean_correct=[380, 370], robust_correct=[[90, 200], [210, 300]],
        provenance=builder.provenance, timing={"wall_s": 7.0, "peak_mb": 90.0},
    )  # fmt: skip
    place = place_of("transfer", **where, attack="pgd")
    files.write_json(place, transfer.model_dump(mode="json"))
    return place


def listed(path: Path) -> list[Path]:
    """All files that a suite file lists."""
    content = json.loads(path.read_text())
    lists = [places for places in content.values() if isinstance(places, list)]
    return [Path(one["path"] if isinstance(one, dict) else one) for places in lists for one in places]


def hide(path: Path, wanted: Callable[[str], bool]) -> Callable[[], None]:
    """Move listed files away whose path, within the suite's folder, is wanted; give what brings them back."""
    gone = [place for place in listed(path) if wanted(str(place.relative_to(path.parent)))]
    assert gone
    for place in gone:
        place.rename(place.with_name(f"{place.name}.gone"))

    def bring_back() -> None:
        for place in gone:
            place.with_name(f"{place.name}.gone").rename(place)

    return bring_back


def change(path: Path, part: str, update: Callable[[dict], dict]) -> int:
    """Change the content of every listed JSON file whose path has a part; give how many there are."""
    places = [place for place in listed(path) if part in str(place) and place.suffix == ".json"]
    for place in places:
        files.write_json(place, update(json.loads(place.read_text())))
    return len(places)


def contents(folder: Path) -> dict[str, bytes]:
    """All files of a folder."""
    return {place.name: place.read_bytes() for place in folder.iterdir()}
