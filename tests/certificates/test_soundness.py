"""Bounds against attacks: no point of a threat set has a smaller margin or leaves an enclosure."""

from __future__ import annotations

import numpy as np
import pytest

from advntk.certificates.bounds import Bounds
from advntk.certificates.enclosures import central_jets, economised, enclosure
from advntk.certificates.geometry import Scene, threat_set
from advntk.certificates.numba_jets import POWERS
from advntk.foundation.threat import ThreatModel
from tests.certificates.problems import box, digits, extremes, least_found, network_of, theta_and_slopes

CLOSE = 6e-4
"""Most that bounds lose of a margin, over the square of the radius in 1/255."""

pytestmark = pytest.mark.usefixtures("one_thread")


def image_at(kind: str) -> tuple[np.ndarray, int]:
    images, labels = digits()
    if kind == "training":
        return images[3], int(labels[3])
    if kind == "beside":
        return np.clip(images[3] + 0.002, 0.0, 1.0), int(labels[3])
    return images[1000], int(labels[1000])


def coordinates(scene, points):
    """x and y of points minus 0.5, as t and q define them."""
    rows, q = scene.network.rows.astype(np.float64), (points**2).sum(1)
    t = points @ rows.T - q[:, None] * scene.kappa
    return (t - scene.t_mid) / scene.h, ((q - scene.q_mid) / scene.g)[:, None] * np.ones_like(t)


@pytest.mark.parametrize("kind", ["test", "training", "beside"])
@pytest.mark.parametrize(("depth", "eps255"), [(2, 0.05), (3, 8.0), (4, 32.0), (5, 2.0)])
def test_every_kernel_value_lies_in_its_enclosure(depth, eps255, kind, rng):
    network, image = network_of(depth), image_at(kind)[0]
    scene = Scene(network, threat_set(image.ravel(), ThreatModel(eps255=eps255)))
    points = extremes(network, *box(image, eps255), rng)
    x, y = coordinates(scene, points)
    assert max(np.abs(x).max(), np.abs(y).max()) <= 1 + 1e-9
    theta = theta_and_slopes(network, points)[0]
    jets = central_jets(scene)
    for cells in ((1, 1), (4, 2)):
        whole = enclosure(scene, cells)
        for degree in (1, 2, 3):
            p = economised(jets, degree)
            kept = sum(p[:, m] * x**i * y**j for m, (i, j) in enumerate(POWERS[:10]))
            ranges = whole.remainders(p)
            rounding = 1e-11 * (1 + np.abs(theta))
            assert (theta - kept >= ranges[:, 0] - rounding).all()
            assert (theta - kept <= ranges[:, 1] + rounding).all()


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_coordinates_reach_the_ends_of_their_ranges(norm, rng):
    """Sampled ranges are inside, and the closed forms are attained: no coordinate is wider than it must be."""
    network, image = network_of(3), image_at("test")[0].ravel()
    place = threat_set(image, ThreatModel(norm=norm, eps255=8.0 if norm == "linf" else 60.0))
    scene = Scene(network, place)
    slope = network.rows.astype(np.float64) - 2 * scene.kappa[:, None] * place.centre
    for sign in (1, -1):
        if norm == "linf":
            delta = sign * np.sign(slope) * place.radii
        else:
            delta = sign * slope / np.linalg.norm(slope, axis=1, keepdims=True) * np.sqrt(place.reach)
        x, _ = coordinates(scene, place.centre + delta)
        ends = np.diag(x) * sign
        assert ends.max() <= 1 + 1e-9
        assert np.median(ends) > 0.9
    if norm == "linf":
        outwards = np.sign(place.centre) * place.radii
        inwards = -np.sign(place.centre) * np.minimum(np.abs(place.centre), place.radii)
        ends = coordinates(scene, place.centre + np.array([outwards, inwards]))[1][:, 0]
    else:
        length = np.linalg.norm(place.centre) / np.sqrt(place.reach)
        ends = coordinates(scene, place.centre * np.array([[1 + 1 / length], [1 - 1 / length]]))[1][:, 0]
    np.testing.assert_allclose(ends, [1, -1], atol=1e-6)


@pytest.mark.parametrize("stop", [np.inf, 1.0])
@pytest.mark.parametrize(("depth", "eps255"), [(2, 16.0), (3, 8.0), (3, 32.0), (5, 8.0), (4, 0.05)])
def test_no_attack_goes_below_a_bound(depth, eps255, stop, rng):
    """The three bounds also rise from b to d."""
    network = network_of(depth, stop=stop)
    for kind in ("test", "training", "beside"):
        image, label = image_at(kind)
        low, high = box(image, eps255)
        bounds = Bounds(network, threat_set(image.ravel(), ThreatModel(eps255=eps255)), label)
        affine = bounds.affine()
        starts = extremes(network, low, high, rng, count=4)
        for other in {(label + 1) % 10, int(np.argsort(affine)[0])}:
            least = least_found(network, bounds.weights[:, [other]], starts, low, high, steps=12)[0]
            quadratic, cubic = bounds.quadratic(other), bounds.cubic(other)
            assert affine[other] <= quadratic + 1e-6
            assert max(affine[other], quadratic, cubic) <= least
            assert kind != "test" or max(quadratic, cubic) > least - 1e-2 - CLOSE * eps255**2


def test_bounds_in_l2_hold_and_are_close(rng):
    network = network_of(3)
    image, label = image_at("test")
    radius = 40.0
    bounds = Bounds(network, threat_set(image.ravel(), ThreatModel(norm="l2", eps255=radius)), label)
    other = int(np.argsort(bounds.affine())[0])
    beta, centre = bounds.weights[:, other], image.ravel().astype(np.float64) - 0.5
    delta = rng.standard_normal((200, 64))
    points = centre + delta / np.linalg.norm(delta, axis=1, keepdims=True) * radius / 255
    rows = network.rows.astype(np.float64)
    least = np.inf
    for _ in range(40):
        theta, by_s, by_q = theta_and_slopes(network, points)
        least = min(least, float((theta @ beta).min()))
        gradient = (by_s * beta) @ rows + 2 * (by_q @ beta)[:, None] * points
        step = points - centre - 0.2 * radius / 255 * gradient / np.linalg.norm(gradient, axis=1, keepdims=True)
        points = centre + step * np.minimum(1, radius / 255 / np.linalg.norm(step, axis=1, keepdims=True))
    found = [bounds.affine()[other], bounds.quadratic(other), bounds.cubic(other)]
    assert max(found) <= least
    assert found[0] < found[1] < found[2]
    assert found[2] > least - 0.1


@pytest.mark.slow
def test_twenty_thousand_pairs_of_image_and_class(rng, capsys):
    """PGD-100 with restarts, and corners, on each pair against all three bounds."""
    images, labels = digits()
    checks, slack = 0, {"b": np.inf, "c": np.inf, "d": np.inf}
    settings = [(d, e, s) for d in (2, 3, 4, 5) for e in (0.05, 1.0, 4.0, 8.0, 16.0, 32.0) for s in (np.inf, 1.0)]
    per_setting = -(-20_000 // (9 * len(settings)))
    for depth, eps255, stop in settings:
        network = network_of(depth, stop=stop)
        for k in range(per_setting):
            index = k // 3 if k % 3 else 500 + k
            image, label = images[index], int(labels[index])
            image = np.clip(image + 0.003, 0, 1) if k % 3 == 2 else image
            low, high = box(image, eps255)
            bounds = Bounds(network, threat_set(image.ravel(), ThreatModel(eps255=eps255)), label)
            affine = bounds.affine()
            special = theta_and_slopes(network, extremes(network, low, high, rng, count=30))[0]
            starts = np.concatenate([[(low + high) / 2], rng.uniform(low, high, (2, 64))])
            others = np.flatnonzero(np.arange(10) != label)
            beta = bounds.weights[:, others]
            least = np.minimum(least_found(network, beta, starts, low, high, steps=100), (special @ beta).min(axis=0))
            found = {
                "b": affine[others],
                "c": np.array([bounds.quadratic(int(other)) for other in others]),
                "d": np.array([bounds.cubic(int(other)) for other in others]),
            }
            slack = {name: min(slack[name], float((least - bound).min())) for name, bound in found.items()}
            checks += len(others)
    with capsys.disabled():
        print(f"\n{checks} pairs; smallest slack {slack}")
    assert checks >= 20_000
    assert min(slack.values()) >= 0
