"""The cascade: what is certified, broken and undecided, what it refuses, and the predictor's own float32 arithmetic."""

from __future__ import annotations

import mpmath
import numpy as np
import pytest

from advntk.attacks.entries import pgd
from advntk.certificates.bounds import Bounds
from advntk.certificates.cascade import certified_radius, certify, margin_pgd
from advntk.certificates.geometry import PIXEL, threat_set
from advntk.certificates.network import SINGLE, infinite_mlp
from advntk.foundation.architecture import Architecture
from advntk.foundation.errors import ConfigError, InputError
from advntk.foundation.threat import ThreatModel
from advntk.ingredients.kernels.engine import make_engine
from advntk.learning.kernel_predictor import KernelPredictor
from tests.certificates.problems import digits, mlp_predictor, trained

pytestmark = pytest.mark.usefixtures("one_thread")

EIGHT = ThreatModel(eps255=8.0)


@pytest.fixture(scope="module")
def some():
    images, labels = digits()
    return images[1000:1020], labels[1000:1020]


def test_certified_and_broken_images_agree_with_an_attack(some):
    """At radii where some are certified, some are broken and some may be neither."""
    images, labels = some
    predictor = trained(3)
    for eps255 in (8.0, 24.0):
        threat = ThreatModel(eps255=eps255)
        found = certify(predictor, images, labels, threat, attack=margin_pgd())
        alone = certify(predictor, images, labels, threat)
        assert not ((alone.status == "certified") & (found.status == "broken")).any()
        assert found.certified <= found.unbroken
        assert ((found.margin > 0) == (found.status == "certified")).all()
        assert (found.seconds[found.status == "certified"] > 0).all()
        options = pgd.Options(loss="margin", steps=50, restarts=3, keep="best")
        attacked = pgd.run(predictor, images, labels, options=options, threat=threat, seed=5).images
        right = predictor.logits(attacked).argmax(axis=1) == labels
        assert right[found.status == "certified"].all()
    assert {"certified", "broken"} <= set(found.status)


def test_later_bounds_decide_what_earlier_ones_leave(some):
    images, labels = some
    predictor, threat = trained(3), ThreatModel(eps255=16.0)
    shares = [certify(predictor, images, labels, threat, bounds=bounds).certified for bounds in ("b", "bc", "bcd")]
    assert shares[0] < shares[1] <= shares[2]
    only = certify(predictor, images, labels, threat, bounds="d")
    assert only.certified == shares[2]
    assert set(only.decided_by) <= {"d", "clean", ""}


def test_the_margin_of_the_predictor_stays_above_its_bound(some):
    """Of the float32 predictor itself, at float32 images."""
    images, labels = some
    predictor = trained(3)
    found = certify(predictor, images, labels, EIGHT)
    rng = np.random.default_rng(0)
    for _ in range(20):
        offsets = rng.choice([-8.0, 8.0], images.shape).astype(np.float32) / 255
        logits = predictor.logits(EIGHT.project(images + offsets, images))
        own = logits[np.arange(len(labels)), labels]
        logits[np.arange(len(labels)), labels] = -np.inf
        assert (own - logits.max(axis=1) >= found.margin).all()


def test_the_threat_set_holds_the_images_that_float32_makes_of_it(some):
    images, _ = some
    rng = np.random.default_rng(0)
    for norm, eps255 in (("linf", 8.0), ("l2", 50.0)):
        threat = ThreatModel(norm=norm, eps255=eps255)
        points = threat.project(images + rng.uniform(-1, 1, images.shape).astype(np.float32), images)
        shown = (points - np.float32(0.5)).reshape(len(points), -1).astype(np.float64)
        for image, point in zip(images, shown, strict=True):
            place = threat_set(image.ravel(), threat)
            y = (point - place.centre) / place.radii
            assert (np.linalg.norm(y) if place.ball else np.abs(y).max()) <= 1
    edges = threat_set(images[0].ravel(), EIGHT)
    assert (edges.centre - edges.radii).min() >= -0.5 - PIXEL
    assert (edges.centre + edges.radii).max() <= 0.5 + PIXEL


def test_at_radius_0_exactly_what_is_classified_right_is_certified(some):
    images, labels = some
    labels = np.where(np.arange(len(labels)) == 3, (labels + 1) % 10, labels)
    found = certify(trained(3), images, labels, ThreatModel(eps255=0))
    right = trained(3).logits(images).argmax(axis=1) == labels
    assert ((found.status == "certified") == right).all()
    assert found.status[3] == "broken"
    assert found.decided_by[3] == "clean"
    assert ((found.margin > 0) == right).all()


def test_certified_radii_are_bracketed(some):
    images, labels = some[0][:3], some[1][:3].copy()
    labels[2] = (labels[2] + 1) % 10
    radii = certified_radius(trained(3), images, labels, most255=40.0, within255=1.0)
    assert radii[2] == 0
    for i in (0, 1):
        assert 0 < radii[i] < 40
        at, above = (ThreatModel(eps255=radii[i] + more) for more in (0.0, 1.0))
        assert certify(trained(3), images[i : i + 1], labels[i : i + 1], at).certified == 1
        assert certify(trained(3), images[i : i + 1], labels[i : i + 1], above).certified == 0
    assert certified_radius(trained(3), images[:1], labels[:1], most255=0.5).tolist() == [0.5]
    with pytest.raises(ConfigError, match="positive radii"):
        certified_radius(trained(3), images, labels, most255=0.0)


def test_a_spent_budget_leaves_images_undecided(some, capsys):
    found = certify(trained(3), *some, EIGHT, budget_s=0.0)
    assert set(found.status) <= {"undecided", "broken"}
    assert np.isneginf(found.margin).all()
    shown = certify(trained(3), *some, EIGHT, bounds="b", progress=True)
    left = int((shown.decided_by != "clean").sum())
    assert f"{left}/{left} images" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"images": np.full((1, 8, 8, 1), np.nan)}, "NaN"),
        ({"images": np.full((1, 8, 8, 1), 1.2)}, "not in \\[0, 1\\]"),
        ({"images": np.zeros((1, 4, 4, 1))}, "shape"),
        ({"labels": np.array([10])}, "classes"),
        ({"labels": np.array([-1])}, "classes"),
        ({"bounds": ()}, "take some of b, c and d"),
        ({"bounds": ("e",)}, "take some of b, c and d"),
        ({"threat": ThreatModel(norm="l1", eps255=16.0)}, "linf or l2"),
        ({"attack": lambda predictor, images, labels, threat: 1 - images}, "outside the radius"),
        ({"predictor": mlp_predictor(np.full((2, 8, 8, 1), 0.3), np.full((2, 10), np.nan), 3)}, "NaN"),
        ({"predictor": mlp_predictor(np.full((2, 8, 8, 1), 0.5), np.zeros((2, 10)), 3, sigma_b=0.0)}, "σ_b > 0"),
        ({"predictor": mlp_predictor(np.full((2, 8, 8, 1), 0.3), np.zeros((2, 10)), 3, sigma_w=0.0)}, "σ_w > 0"),
        ({"predictor": "a finite network"}, "no kernel predictor"),
    ],
)
def test_what_cannot_be_certified_is_refused_in_one_line(change, message, some):
    predictor = trained(3)
    images = some[0][:1]
    arguments = {
        "predictor": predictor,
        "images": images,
        "labels": predictor.logits(images).argmax(axis=1),
        "threat": EIGHT,
        **change,
    }
    with pytest.raises((InputError, ConfigError), match=message) as caught:
        certify(**arguments)
    assert "\n" not in caught.value.line()


@pytest.mark.parametrize(
    ("spec", "what"),
    [
        (Architecture(family="cnn", depth=2), "convolutional"),
        (Architecture(family="mlp", depth=3, activation="erf"), "neural-tangents"),
        (Architecture(family="cnn", depth=1, pooling="average"), "neural-tangents"),
    ],
)
def test_other_networks_are_refused(spec, what):
    images = np.full((2, 4, 4, 1), 0.25, np.float32)
    kernel = make_engine(spec, (4, 4, 1), device="cpu").bind(images, memory_mb=50)
    with pytest.raises(InputError, match=what):
        infinite_mlp(KernelPredictor(kernel, np.ones((2, 3)), (4, 4, 1)))


def test_predictors_that_change_what_the_kernel_gives_are_refused(some):
    """Their logits are not those that a bound is of."""

    class Rounding(KernelPredictor):
        def logits(self, images):
            return super().logits(np.round(images * 4) / 4)

    class Wrapping:
        def __init__(self, inner):
            self.__dict__.update(inner.__dict__)
            self.logits = lambda images: np.tanh(inner.logits(images))

    plain = trained(3)
    for predictor in (Rounding(plain.kernel, plain.coef, plain.input_shape), Wrapping(plain)):
        with pytest.raises(InputError, match="is no kernel predictor"):
            certify(predictor, *some, EIGHT)


def test_an_image_of_no_variance_is_undecided():
    """σ_b = 0 and a ball that holds mid-grey: cosines have no limit there."""
    images = np.random.default_rng(0).random((4, 2, 2, 1))
    predictor = mlp_predictor(images, np.eye(4), 3, sigma_b=0.0)
    grey = np.full((1, 2, 2, 1), 0.501)
    label = predictor.logits(grey).argmax(axis=1)
    found = certify(predictor, grey, label, EIGHT)
    assert found.status.tolist() == ["undecided"]


@pytest.mark.parametrize("depth", [1, 3])
def test_a_network_without_bias_and_one_without_activations_have_bounds(depth):
    images, labels = digits()
    coef = np.linalg.lstsq(np.eye(60), np.eye(10)[labels[:60]], rcond=None)[0]
    predictor = mlp_predictor(images[:60], coef, depth, sigma_b=0.0 if depth == 3 else 0.18)
    label = predictor.logits(images[:5]).argmax(axis=1)
    found = certify(predictor, images[:5], label, ThreatModel(eps255=0.05))
    assert (found.status == "certified").all()


def theta_in_40_digits(first, second, depth, w2, b2):
    with mpmath.workdps(40):
        a_row, b_row = ([mpmath.mpf(float(v)) for v in row] for row in (first, second))
        alpha = mpmath.mpf(w2) / len(a_row)
        b2 = mpmath.mpf(b2)
        cov = alpha * mpmath.fdot(a_row, b_row) + b2
        a, b = alpha * mpmath.fdot(a_row, a_row) + b2, alpha * mpmath.fdot(b_row, b_row) + b2
        theta = cov
        for _ in range(depth - 1):
            scale = mpmath.sqrt(a * b)
            cosine = min(max(cov / scale, mpmath.mpf(-1)), mpmath.mpf(1))
            zeroth = (mpmath.pi - mpmath.acos(cosine)) / (2 * mpmath.pi)
            cov = w2 * scale * (mpmath.sqrt(1 - cosine**2) / (2 * mpmath.pi) + cosine * zeroth) + b2
            theta = w2 * zeroth * theta + cov
            a, b = w2 * a / 2 + b2, w2 * b / 2 + b2
        return theta


@pytest.mark.parametrize("depth", [2, 5])
@pytest.mark.parametrize("kind", ["digits", "near", "flat", "noise"])
def test_the_allowance_covers_the_float32_kernel(depth, kind, rng):
    """Against 40 digits; images of one grey are the worst, as all roundings of a product then have one sign."""
    images = digits()[0][:12].reshape(12, -1)
    if kind == "near":
        images = np.clip(images[:1] + 10.0 ** -np.arange(12)[:, None] * rng.uniform(-1, 1, (12, 64)), 0, 1)
    elif kind == "flat":
        images = np.broadcast_to(rng.random((12, 1)), (12, 1024))
    elif kind == "noise":
        images = rng.random((12, 1024))
    images = np.ascontiguousarray(images.reshape(12, 1, -1, 1), dtype=np.float32)
    network = infinite_mlp(predictor := mlp_predictor(images, np.zeros((12, 2)), depth))
    found = predictor.kernel.rows(images)
    for i in range(0, 12, 3):
        allowance = network.float32_error(float(network.squares[i]))
        for j in range(12):
            exact = theta_in_40_digits(network.rows[i], network.rows[j], depth, network.w2, network.b2)
            assert abs(exact - float(found[i, j])) <= allowance[j]
    assert allowance.max() < 1500 * SINGLE * network.diagonal(network.squares).max() ** 2


def test_bounds_of_a_large_coefficient_take_rounding_off():
    """Two equal training images with opposite coefficients of 1e8 cancel, up to rounding of the terms."""
    images, labels = digits()
    pair = np.concatenate([images[:20], images[:1]])
    coef = np.concatenate([trained(3, n=20).coef, np.zeros((1, 10))])
    plain = Bounds(
        infinite_mlp(mlp_predictor(pair, coef, 3)), threat_set(images[1000].ravel(), EIGHT), int(labels[1000])
    )
    large = coef.copy()
    large[0, 0] += 1e8
    large[-1, 0] -= 1e8
    network = infinite_mlp(mlp_predictor(pair, large, 3))
    bounds = Bounds(network, threat_set(images[1000].ravel(), EIGHT), int(labels[1000]))
    assert bounds.affine()[0] < plain.affine()[0]
    assert bounds.allowance[0] > 1e8 * SINGLE
