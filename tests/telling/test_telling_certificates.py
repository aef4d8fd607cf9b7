"""Certificates beside attacks: numbers of the table, the figure, and an attack that breaks what is certified."""

import json

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from advntk.foundation import files
from advntk.foundation.certified import BoundOptions, Certificates, CertifiedRadius
from advntk.foundation.errors import InputError
from advntk.foundation.records import read_record
from advntk.foundation.statistics import accuracy_interval
from advntk.telling.kinds.certificates import figure, listings
from advntk.telling.layout import style
from advntk.telling.publishing.publish import publish
from advntk.telling.report import write_table
from advntk.telling.suite_file import read_suite
from tests.telling.conftest import place_of

N = 100
MLP = [{"family": "mlp", "depth": 3}]


def status_of(robust, spare):
    """All that is robust is certified but for the first ``spare`` of them, which are undecided."""
    letters = np.where(robust, "c", "b")
    letters[np.flatnonzero(robust)[:spare]] = "u"
    return "".join(letters)


def point_of(eps255, status):
    counts = {name: status.count(name[0]) for name in ("certified", "broken", "undecided")}
    decided = {"clean": 4, "attack": counts["broken"] - 4, "b": counts["certified"]}
    settings = {"certified_interval": (0, 1), "unbroken_interval": (0, 1), "seconds": 50.0}
    return CertifiedRadius(eps255=eps255, **counts, decided=decided, status=status, **settings)


@pytest.fixture
def certified(build):
    """A suite of two kernel methods under two attacks, certified at 16 and 32/255; and what is robust, by place."""
    builder = build(methods=["ntk", "advntk"], architectures=MLP, attacks=["pgd", "noise"]).fill()
    found, places = {}, []
    for place in builder.paths:
        record = read_record(place)
        if record.attack.name != "pgd":
            continue
        outcomes = files.read_npz(place.removesuffix("json") + "npz")
        for checkpoint in record.evaluations:
            robust = outcomes[f"{checkpoint}.robust"][:N]
            found[record.method, checkpoint, record.threat.eps255, record.seed] = robust
    fits = {(method, None if method == "ntk" else eps255, seed) for method, _, eps255, seed in found}
    for method, at, seed in sorted(fits, key=str):
        record = next(one for one in map(read_record, builder.paths)
                      if (one.method, one.seed) == (method, seed) and at in (None, one.threat.eps255))  # fmt: skip
        points = {
            checkpoint: [
                point_of(eps255, status_of(found[method, checkpoint, eps255, seed], 3))
                for eps255 in ((16.0, 32.0) if at is None else (at,))
            ]
            for checkpoint in record.evaluations
        }
        own = record.model_dump(
            include={"dataset", "architecture", "method", "trained_at", "seed", "split_hash", "attack"}
        )
        one = Certificates(**own, norm="linf", options=BoundOptions(), n_test=N, checkpoints=points, provenance={},
                           timing={"wall_s": 60.0, "peak_mb": 200.0, "attack_s": 3.0})  # fmt: skip
        name = "anyeps" if at is None else f"eps{at:g}"
        where = {"dataset": "digits", "seed": seed, "architecture": "mlp-3", "method": method, "trained_at": name}
        places.append(place_of("certify", root=builder.folder, **where))
        files.write_json(places[-1], one.model_dump(mode="json"))
    path = builder.write()
    files.write_json(path, {**json.loads(path.read_text()), "certificates": places})
    return path, found, places


def test_shares_are_of_the_same_images_as_the_attacks(certified, tmp_path):
    path, found, _ = certified
    suite = read_suite(path)
    write_table("certified", suite, tmp_path / "certified.csv")
    frame = pd.read_csv(tmp_path / "certified.csv")
    assert len(frame) == 2 * 2 * 3  # radii, attacks, methods with their checkpoints
    row = frame[(frame.method == "advntk") & (frame.checkpoint == "last") & (frame.eps255 == 32)]
    assert row.attack.tolist() == ["pgd", "noise"]
    row = row.iloc[0]
    robust = [found["advntk", "last", 32, seed] for seed in (0, 1)]
    images = [np.arange(N) + 400 * seed for seed in (0, 1)]
    expected = accuracy_interval(robust, images)
    assert (row.robust_mean, row.robust_lo, row.robust_hi) == pytest.approx(expected, abs=1e-6)
    assert row.certified_mean == pytest.approx(expected[0] - 0.03)
    assert (row.undecided_mean, row.clean_mean, row.image_s, row.trained_at) == (0.03, 0.96, 0.5, 32)
    assert row.b_mean == row.certified_mean
    assert frame[frame.method == "ntk"].trained_at.isna().all()
    assert (frame.certified_mean <= frame.robust_mean).all()
    (listing,) = listings(suite)
    assert listing.head == ["method", "ε (1/255)", "certified", "undecided", "s/image", "pgd", "noise"]
    assert len(listing.lines) == 6
    assert all(cell != "—" for line in listing.lines for cell in line)


@pytest.mark.parametrize("outside", [False, True])
def test_an_attack_that_breaks_a_certified_image_is_a_fault(certified, outside):
    path, found, places = certified
    place = next(one for one in places if "/ntk/" in one and "seed1" in one)
    content = json.loads(files.Path(place).read_text())
    point = content["checkpoints"]["final"][0]
    broken = int(np.flatnonzero(~found["ntk", "final", 16.0, 1])[0])
    point["status"] = point["status"][:broken] + "c" + point["status"][broken + 1 :]
    files.write_json(place, content)
    if outside:  # its images may leave the ball: no contradiction
        for name in json.loads(path.read_text())["records"]:
            record = json.loads(files.Path(name).read_text())
            record["attack"]["inside_threat_model"] = False
            files.write_json(name, record)
        assert read_suite(path)
        return
    with pytest.raises(InputError, match=rf"breaks test images {400 + broken}, which are certified at 16/255"):
        read_suite(path)


def test_a_band_reaches_from_certified_to_attacked(certified):
    path, _, _ = certified
    with style():
        drawn = figure(read_suite(path))
    (panel,) = (axes for axes in drawn.axes if axes.get_title(loc="left"))
    lines = [line for line in panel.lines if len(line.get_xdata()) == 2]
    assert len(lines) == len(panel.collections) == 3
    for line, band in zip(lines, panel.collections, strict=True):
        inside = band.get_paths()[0].vertices
        assert inside[:, 1].min() == pytest.approx(line.get_ydata().min())
        assert inside[:, 1].max() >= line.get_ydata().max()
    plt.close(drawn)


def test_what_is_published_gives_the_same_table(certified, tmp_path):
    path, _, places = certified
    publish(read_suite(path), tmp_path / "published/quick", command="snakemake")
    again = read_suite(tmp_path / "published/quick/suite.json")
    write_table("certified", again, tmp_path / "again.csv")
    write_table("certified", read_suite(path), tmp_path / "first.csv")
    assert (tmp_path / "again.csv").read_text() == (tmp_path / "first.csv").read_text()
    assert len(json.loads((tmp_path / "published/quick/certificates-digits.json").read_text())) == len(places)
