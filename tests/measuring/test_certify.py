"""Certificates of fits over radii: counts, what larger radii decide, a killed run, and what is refused."""

from __future__ import annotations

import re

import numpy as np
import pytest

from advntk.attacks.named import NamedAttack
from advntk.certificates.cascade import certify as certificates_of
from advntk.cli import main
from advntk.foundation import files
from advntk.foundation.certified import BoundOptions, read_certificates
from advntk.foundation.options import Compute
from advntk.foundation.threat import ThreatModel
from advntk.learning.fits import read_fit
from advntk.learning.loading import load_fit, split_of
from advntk.measuring import certify
from advntk.measuring.certify import certify_fit
from tests.measuring.small import ntk_fits

RADII, IMAGES = [2.0, 8.0, 24.0], 10
PGD = NamedAttack.of("pgd", {"loss": "margin", "keep": "best"}, where="pgd")


@pytest.fixture(scope="module")
def fit(digits_split, tmp_path_factory):
    return ntk_fits(digits_split, tmp_path_factory.mktemp("fits"), 3)[0]


def certified(fit, out, **changes):
    settings = {"norm": "linf", "radii": RADII, "images": IMAGES, "options": BoundOptions(), "attack": PGD}
    return certify_fit(fit, **(settings | changes), out=out, compute=Compute(device="cpu"), threads=1)


@pytest.fixture(scope="module")
def whole(fit, tmp_path_factory):
    """Path of the certificates of a run that was not killed."""
    out = tmp_path_factory.mktemp("whole") / "anyeps.json"
    certified(fit, out)
    return out


def test_counts_are_those_of_each_radius_by_itself(fit, whole):
    found, outcomes = read_certificates(whole), files.read_npz(whole.with_suffix(".npz"))
    test = split_of(fit, read_fit(fit)[0]).test.first(IMAGES)
    predictor = load_fit(fit)
    assert found.n_test == IMAGES
    assert [point.eps255 for point in found.checkpoints["final"]] == RADII
    alone = np.array(
        [
            certificates_of(predictor, test.images, test.labels, ThreatModel(eps255=eps255)).status == "certified"
            for eps255 in RADII
        ]
    )
    from_larger = np.maximum.accumulate(alone[::-1], axis=0)[::-1]
    for row, point in enumerate(found.checkpoints["final"]):
        status = outcomes["final.status"][row]
        assert point.status == "".join(str(one)[0] for one in status)
        assert (point.certified, point.broken, point.undecided) == tuple(map(point.status.count, "cbu"))
        assert ((status == "certified") == from_larger[row]).all()
        assert ((outcomes["final.margin"][row] > 0) == (status == "certified")).all()
        assert sum(point.decided.values()) == IMAGES - point.undecided
        assert point.certified_interval[0] <= point.certified / IMAGES <= point.unbroken_interval[1]
    certain, open_ = (
        np.array([one == letter for one in outcomes["final.status"]]) for letter in ("certified", "broken")
    )
    assert (certain[:-1] >= certain[1:]).all()
    assert (open_[:-1] <= open_[1:]).all()
    assert {"certified", "broken"} <= set(outcomes["final.status"].ravel())


def test_a_killed_run_resumes_after_its_last_chunk(fit, whole, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(certify, "CHUNK", 4)
    out, seen, real = tmp_path / "anyeps.json", [], certify.over_radii

    def dying(predictor, images, *rest):
        if len(seen) == 1:
            seen.append("died")
            raise KeyboardInterrupt
        seen.append(len(images))
        return real(predictor, images, *rest)

    monkeypatch.setattr(certify, "over_radii", dying)
    with pytest.raises(KeyboardInterrupt):
        certified(fit, out)
    assert not out.exists()
    assert (tmp_path / "anyeps.state.npz").exists()
    found = certified(fit, out)
    assert seen == [4, "died", 4, 2]
    assert "resuming after 4 of 10 images" in capsys.readouterr().err
    expected = read_certificates(whole).checkpoints["final"]
    assert [point.status for point in found.checkpoints["final"]] == [point.status for point in expected]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["anyeps.json", "anyeps.npz"]


def test_a_state_of_other_radii_is_left_aside(fit, tmp_path, monkeypatch):
    out = tmp_path / "anyeps.json"
    monkeypatch.setattr(certify, "_counted", None)  # dies at its end
    with pytest.raises(TypeError):
        certified(fit, out, radii=[1.0], images=2)
    monkeypatch.undo()
    assert len(certified(fit, out, radii=[2.0, 4.0], images=2).checkpoints["final"]) == 2


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--radii", "0"], "must rise and be positive"),
        (["--radii", "-4"], "must rise and be positive"),
        (["--radii", "8", "4"], "must rise and be positive"),
        (["--radii", "300"], "whole pixel range"),
        (["--radii", "0.03", "8"], "unit scale"),
        (["--radii", "8", "--bounds", "bcd", "--norm", "l1"], "unit scale|l1"),
        (["--radii", "8", "--attack", "nope"], "unknown"),
        (["--radii", "8", "--engine", "neural_tangents"], "kernel of neural-tangents is no ReLU MLP"),
    ],
)
def test_bad_input_is_one_line(fit, tmp_path, capsys, words, message):
    given = {"--attack": "pgd"} if "--attack" not in words else {}
    more = [word for pair in given.items() for word in pair]
    out = tmp_path / "c.json"
    assert main(["certify", "--fit", str(fit), "--out", str(out), "--device", "cpu", *words, *more]) == 1
    (line,) = [one for one in capsys.readouterr().err.splitlines() if "error" in one]
    assert re.search(message, line)
    assert not out.exists()


def test_networks_without_a_certificate_and_nan_are_refused(digits_split, fit, tmp_path, capsys):
    (cnn,) = ntk_fits(digits_split, tmp_path, 1, family="cnn")
    words = ["--attack", "pgd", "--radii", "8", "--images", "2", "--device", "cpu", "--out", str(tmp_path / "c.json")]
    assert main(["certify", "--fit", str(cnn), *words]) == 1
    assert "a convolutional network" in capsys.readouterr().err
    arrays = fit / "fit.npz"
    kept = files.read_npz(arrays)
    try:
        files.write_npz(arrays, {name: np.full_like(one, np.nan) for name, one in kept.items()})
        assert main(["certify", "--fit", str(fit), *words]) == 1
    finally:
        files.write_npz(arrays, kept)
    assert "NaN" in capsys.readouterr().err.splitlines()[-1]
