"""Each lemma of docs/certificates.md by itself: against mpmath, exact fractions, sampling and exhaustive search."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction
from types import SimpleNamespace

import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from advntk.certificates import numba_jets
from advntk.certificates.bounds import PLACES, Bounds
from advntk.certificates.cubic import cubic_terms
from advntk.certificates.enclosures import central_jets, economised, enclosure, shifts
from advntk.certificates.geometry import Scene, ThreatSet, threat_set
from advntk.certificates.numba_cosines import ARCCOS_ERROR, arc_cosine_kernels, first_cosine, one_minus_square
from advntk.certificates.numba_enclosures import TAYLOR, polynomial_range, quadratic_range
from advntk.certificates.numba_intervals import add, inverse, mul, root
from advntk.certificates.quadratic import convexified, minimiser, quadratic_minimum, separable_minimum
from advntk.foundation.threat import ThreatModel
from tests.certificates.problems import box, digits, extremes, network_of

pytestmark = pytest.mark.usefixtures("one_thread")

finite = st.floats(-1e6, 1e6)
positive = st.floats(1e-6, 1e6)
cosines = st.floats(-1.0, 1.0)
POWERS = numba_jets.POWERS


# rounding: exact fractions


@given(finite, finite, finite, finite)
def test_sums_and_products_hold_the_exact_ones(a, b, c, d):
    (a, b), (c, d) = sorted((a, b)), sorted((c, d))
    exact = [Fraction(x) * Fraction(y) for x in (a, b) for y in (c, d)]
    lo, hi = mul(a, b, c, d)
    assert Fraction(lo) < min(exact)
    assert Fraction(hi) > max(exact)
    lo, hi = add(a, b, c, d)
    assert Fraction(lo) < Fraction(a) + Fraction(c)
    assert Fraction(hi) > Fraction(b) + Fraction(d)


@given(positive, positive)
def test_roots_and_inverses_hold_the_exact_ones(a, b):
    a, b = sorted((a, b))
    lo, hi = inverse(a, b)
    assert Fraction(lo) * Fraction(b) < 1 < Fraction(hi) * Fraction(a)
    lo, hi = root(a, b)
    assert Fraction(lo) ** 2 < Fraction(a)
    assert Fraction(hi) ** 2 > Fraction(b)


def sharp_cosines(rng):
    near = 1 - 10.0 ** -rng.uniform(0, 16, 200)
    return np.concatenate([rng.uniform(-1, 1, 200), near, -near, [-1.0, 0.0, 1.0]])


def test_the_arccos_of_this_machine_is_as_exact_as_the_proofs_take_it(rng):
    for c in sharp_cosines(rng):
        with mpmath.workdps(40):
            assert abs(mpmath.acos(mpmath.mpf(float(c))) - math.acos(c)) <= ARCCOS_ERROR


def test_arc_cosine_kernels_lie_between_their_bounds(rng):
    for c in sharp_cosines(rng):
        first_lo, first_hi, zeroth_lo, zeroth_hi = arc_cosine_kernels(c)
        with mpmath.workdps(40):
            x = mpmath.mpf(float(c))
            angle = mpmath.pi - mpmath.acos(x)
            first = (mpmath.sqrt(1 - x * x) + angle * x) / (2 * mpmath.pi)
            assert first_lo <= first <= first_hi
            assert zeroth_lo <= angle / (2 * mpmath.pi) <= zeroth_hi
            assert one_minus_square(c)[0] <= 1 - x * x <= one_minus_square(c)[1]
        assert max(first_hi - first_lo, zeroth_hi - zeroth_lo) < 3e-15


# lemma 2: cosines, the recursion and its derivatives


@given(st.floats(-0.8, 0.8), st.floats(-2, 3), st.floats(0, 0.5), positive, st.floats(0, 3), st.floats(0, 1))
def test_the_first_cosine_is_extreme_where_the_lemma_says(kappa, s, width, a, spread, where):
    a = min(max(a, 0.01), 10.0)
    lo, hi = first_cosine(a, a * (1 + spread), s, s + width, kappa, 1.0, 1.0)
    at = a * (1 + spread * where)
    for slope in (s, s + width):
        assert lo <= (slope + kappa * at) / math.sqrt(at) + 1e-12
        assert hi >= (slope + kappa * at) / math.sqrt(at) - 1e-12
        if kappa and a <= slope / kappa <= a * (1 + spread):
            stationary = 2 * slope / math.sqrt(slope / kappa)
            assert lo - 1e-12 <= stationary <= hi + 1e-12


def exact_theta(network, i, kappa, t, q):
    """Θ as a function of t and q in mpmath's precision."""
    w2, b2 = mpmath.mpf(network.w2), mpmath.mpf(network.b2)
    alpha = w2 / network.pixels
    square = sum(mpmath.mpf(float(x)) ** 2 for x in network.rows[i])
    cov, a, b = alpha * (t + mpmath.mpf(float(kappa)) * q) + b2, alpha * q + b2, alpha * square + b2
    theta = cov
    for _ in range(network.hidden):
        scale = mpmath.sqrt(a * b)
        angle = mpmath.acos(cov / scale)
        zeroth = (mpmath.pi - angle) / (2 * mpmath.pi)
        cov = w2 * scale * (mpmath.sin(angle) / (2 * mpmath.pi) + mpmath.cos(angle) * zeroth) + b2
        theta = w2 * zeroth * theta + cov
        a, b = w2 * a / 2 + b2, w2 * b / 2 + b2
    return theta


@pytest.mark.parametrize("depth", [1, 2, 3, 5])
def test_jets_hold_the_exact_taylor_coefficients(depth, rng):
    """In 40 digits, at the centres of cells and, of order 4, anywhere in them."""
    network = network_of(depth, n=20)
    scene = Scene(network, threat_set(digits()[0][1000].ravel(), ThreatModel(eps255=16.0)))
    cells = (2, 2)
    whole = enclosure(scene, cells)
    for i in (0, 7):
        for cell in range(4):
            assert whole.kinds[i, cell] == TAYLOR
            centre = -0.5 + cell % 2, -0.5 + cell // 2
            within = rng.uniform(-0.5, 0.5, 2)
            with mpmath.workdps(40):
                h, g = (mpmath.mpf(float(unit)) / 2 for unit in (scene.h[i], scene.g))

                def theta(u, v, i=i, h=h, g=g):
                    t = mpmath.mpf(float(scene.t_mid[i])) + h * u
                    return exact_theta(network, i, scene.kappa[i], t, mpmath.mpf(float(scene.q_mid)) + g * v)

                for m, (a, b) in enumerate(POWERS):
                    x, y = centre if a + b < 4 else (centre[0] + within[0], centre[1] + within[1])
                    at = mpmath.mpf(2 * x), mpmath.mpf(2 * y)
                    exact = mpmath.diff(theta, at, (a, b)) if a + b else theta(*at)
                    exact /= math.factorial(a) * math.factorial(b)
                    lo, hi = whole.jets[i, cell, :, m]
                    assert lo - 1e-18 <= exact <= hi + 1e-18
                    assert a + b == 4 or hi - lo < 1e-11


# lemma 3: derivatives of the arc-cosine kernels


@given(st.floats(-0.999, 0.999), st.floats(-0.999, 0.999), st.floats(0, 1))
def test_derivatives_lie_in_their_ranges_and_reach_the_ends(a, b, where):
    lo, hi = sorted((a, b))
    w = np.zeros((numba_jets.ROWS, 2, numba_jets.SIZE))
    numba_jets.derivatives(w, lo, hi)
    ranges = w[numba_jets.DERIVATIVE]
    reached = [[], []]
    with mpmath.workdps(30):
        inner = [0.0] if lo <= 0 <= hi else []
        for c in [lo, hi, lo + where * (hi - lo), *inner]:
            x = mpmath.mpf(c)
            angle, rest = mpmath.pi - mpmath.acos(x), 1 - x * x
            values = [
                mpmath.sqrt(rest) + angle * x,
                angle,
                rest**-0.5,
                x * rest**-1.5,
                (1 + 2 * x**2) * rest**-2.5,
                (9 * x + 6 * x**3) * rest**-3.5,
            ]
            values = [float(v / (2 * mpmath.pi)) for v in values]
            for m, value in enumerate(values):
                assert ranges[0, m] <= value * (1 + 1e-14 * np.sign(value)) + 1e-30
                assert ranges[1, m] >= value * (1 - 1e-14 * np.sign(value)) - 1e-30
            reached[0].append(values)
    ends = np.array(reached[0])
    for m in range(6):
        np.testing.assert_allclose(ranges[0, m], ends[:, m].min(), rtol=1e-11, atol=1e-15)
        np.testing.assert_allclose(ranges[1, m], ends[:, m].max(), rtol=1e-11, atol=1e-15)


# lemma 4: Taylor enclosures


@given(arrays(float, 3, elements=st.floats(-2, 2)))
def test_ranges_of_quadratics_are_exact(coefficients):
    c, linear, square = coefficients
    x = np.linspace(-1, 1, 2001)
    values = c + linear * x + square * x * x
    lo, hi = quadratic_range(c, linear, square)
    assert lo <= values.min() + 1e-12
    assert hi >= values.max() - 1e-12
    assert lo == pytest.approx(values.min(), abs=2e-6)
    assert hi == pytest.approx(values.max(), abs=2e-6)


def evaluate(coefficients, x, y):
    return sum(c * x**i * y**j for c, (i, j) in zip(coefficients, POWERS, strict=False))


@given(arrays(float, 15, elements=st.floats(-2, 2)), arrays(float, 15, elements=st.floats(0, 0.5)), st.integers(0, 99))
def test_ranges_of_polynomials_hold_every_value(middle, radius, seed):
    rng = np.random.default_rng(seed)
    lo, hi = polynomial_range(middle - radius, middle + radius)
    x, y = np.meshgrid(np.linspace(-1, 1, 21), np.linspace(-1, 1, 21))
    for _ in range(4):
        values = evaluate(middle + radius * rng.choice([-1, 1], 15), x, y)
        assert lo <= values.min()
        assert hi >= values.max()


@pytest.mark.parametrize("m", range(15))
def test_ranges_of_single_powers_are_close(m):
    lo, hi = np.zeros(15), np.zeros(15)
    lo[m] = hi[m] = 1.0
    low, high = polynomial_range(lo, hi)
    i, j = POWERS[m]
    least = 1.0 if m == 0 else 0.0 if i % 2 == j % 2 == 0 else -1.0
    assert least - 0.26 <= low <= least
    assert 1.0 <= high <= 1.26


def test_a_polynomial_is_the_same_in_units_of_a_cell(rng):
    p, cells = rng.standard_normal(10), (4, 2)
    for cell, shift in enumerate(shifts(cells)):
        x, y = rng.uniform(-1, 1, 2)
        whole = -1 + (2 * (cell % 4) + 1 + x) / 4, -1 + (2 * (cell // 4) + 1 + y) / 2
        assert evaluate(shift @ p, x, y) == pytest.approx(evaluate(p, *whole), abs=1e-12)


# lemma 5: near c = 1


@pytest.mark.parametrize("eps255", [1.0, 8.0, 32.0])
@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_no_image_of_the_set_comes_nearer_in_angle(norm, eps255, rng):
    network, image = network_of(3), digits()[0][1000]
    eps255 = eps255 if norm == "linf" else 4 * eps255
    place = threat_set(image.ravel(), ThreatModel(norm=norm, eps255=eps255))
    rows = network.rows.astype(np.float64)
    if norm == "linf":
        points = extremes(network, *box(image, eps255), rng)
    else:
        way = rows - place.centre
        points = place.centre + way * np.minimum(1, np.sqrt(place.reach) / np.linalg.norm(way, axis=1))[:, None]
    alpha = network.w2 / network.pixels
    norms = np.sqrt(np.outer(alpha * (points**2).sum(1) + network.b2, alpha * network.squares + network.b2))
    cosine = (alpha * points @ rows.T + network.b2) / norms
    bound = Scene(network, place).cosine
    assert (cosine.max(axis=0) <= bound + 1e-12).all()
    if norm == "l2":  # along the way to x_i the angle falls about as fast as it can
        assert np.median(np.arccos(cosine.max(axis=0)) - np.arccos(bound)) < 0.25 * np.arccos(cosine).mean()


# lemma 6: separable minima


@given(arrays(float, 5, elements=st.floats(-2, 2)), arrays(float, 5, elements=st.floats(-2, 2)))
def test_separable_minima_are_exact(linear, square):
    grid = np.linspace(-1, 1, 4001)
    exact = (linear[:, None] * grid + square[:, None] * grid**2).min(axis=1).sum()
    found = separable_minimum(linear, square, ball=False)
    assert found <= exact + 1e-12
    assert found == pytest.approx(exact, abs=1e-5)
    y = minimiser(linear, square, ball=False)
    assert linear @ y + square @ y**2 == pytest.approx(found, abs=1e-9)


@given(arrays(float, 5, elements=st.floats(-2, 2)), st.floats(-2, 2))
def test_separable_minima_over_a_ball_are_exact(linear, square):
    length = np.linalg.norm(linear)
    radii = np.linspace(0, 1, 4001)
    exact = (square * radii**2 - length * radii).min()
    found = separable_minimum(linear, np.full(5, square), ball=True)
    assert found <= exact + 1e-12
    assert found == pytest.approx(exact, abs=1e-5)
    y = minimiser(linear, np.full(5, square), ball=True)
    assert linear @ y + square * (y @ y) == pytest.approx(found, abs=1e-9)


# lemma 7: the quadratic form


def test_a_convexified_matrix_is_positive_semidefinite_in_exact_arithmetic(rng):
    for size in (2, 5, 9):
        factor = rng.standard_normal((size, size - 1))
        form = factor @ factor.T * 10.0 ** rng.integers(-6, 6)
        for sign in (1, -1):
            raised, mu = convexified(sign * form)
            with mpmath.workdps(50):
                least = min(mpmath.eigsy(mpmath.matrix(raised.tolist()), eigvals_only=True))
                exact = mpmath.matrix(raised.tolist()) - mpmath.matrix((sign * form).tolist())
                assert least >= 0
                assert max(exact[i, i] for i in range(size)) <= mu
            assert mu <= max(0, -np.linalg.eigvalsh(sign * form)[0]) + 1e-9 * np.abs(form).sum()


@pytest.mark.parametrize("ball", [False, True])
def test_minima_of_quadratics_are_bounded_from_below(ball, rng):
    d = 5
    for trial in range(30):
        radii = np.full(d, 0.3) if ball else rng.uniform(0.1, 0.5, d)
        place = ThreatSet(np.zeros(d), radii, ball, float(radii[0] ** 2 if ball else radii @ radii))
        form = rng.standard_normal((d + 1, d + 1))
        form = form @ form.T if trial % 3 == 0 else form + form.T
        linear = rng.standard_normal(d + 1) * 3
        y = np.concatenate([rng.uniform(-1, 1, (3000, d)), np.array(list(itertools.product([-1.0, 1.0], repeat=d)))])
        if ball:
            y /= (
                np.maximum(np.linalg.norm(y, axis=1, keepdims=True), 1)
                * np.where(rng.random(len(y)) < 0.5, 1, 2)[:, None]
            )
        y = np.column_stack([y, y**2 @ place.weights - 1])
        values = y @ linear + 0.5 * np.einsum("ij,jk,ik->i", y, form, y)
        found = quadratic_minimum(form, linear, place)
        assert found <= values.min()
        assert found >= values.min() - 0.7 * np.abs(form).sum() - 0.1


def test_a_concave_form_along_one_corner_is_bounded_exactly():
    """M = −I: the minimum is −½ ΣY_j² at a corner."""
    place = ThreatSet(np.zeros(4), np.full(4, 0.5), False, 1.0)
    found = quadratic_minimum(-np.eye(5), np.array([3.0, 3.0, 3.0, 3.0, 0.0]), place)
    assert found == pytest.approx(-12 - 2.5, abs=1e-6)
    assert found <= -12 - 2.5


# lemma 8: the cubic form, and the algebra of lemmas 6 to 8


def scene_of(directions, ball=False):
    n, size = directions.shape
    network = SimpleNamespace(pixels=size - 1, tiles=lambda: iter([(slice(0, n), directions[:, :-1])]))
    place = SimpleNamespace(ball=ball, length2=2 if ball else size)
    return SimpleNamespace(
        network=network,
        place=place,
        h=np.ones(n),
        norms=np.linalg.norm(directions, axis=1),
        shift_x=np.zeros(n),
        directions=lambda part, tile: directions[part],
    )


def test_cubes_are_bounded_after_cancellation(rng):
    n, size = 12, 6
    directions = rng.standard_normal((n, size)) / size
    for _ in range(20):
        w = {powers: np.zeros(n) for powers in PLACES}
        w[3, 0] = rng.standard_normal(n)
        corners = np.array(list(itertools.product([-1.0, 1.0], repeat=size)))
        most = np.abs((corners @ directions.T) ** 3 @ w[3, 0]).max()
        assert most <= cubic_terms(scene_of(directions), w)
    same = np.repeat(directions[:1], 2, axis=0)
    w[3, 0] = np.array([1.0, -1.0])
    w = {powers: value[:2] for powers, value in w.items()}
    assert cubic_terms(scene_of(same), w) < 1e-4


def test_one_cube_along_a_corner_is_bounded_exactly():
    size = 9
    w = {powers: np.zeros(1) for powers in PLACES}
    w[3, 0] = np.array([2.0])
    bound = cubic_terms(scene_of(np.full((1, size), 1 / size)), w)
    assert 2.0 <= bound < 2.0 + 1e-4


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("degree", [2, 3])
def test_the_expansion_is_the_polynomial_in_exact_arithmetic(degree, norm, rng):
    """At points of the set, in fractions: what the bounds minimise is Σ β p, up to what they set aside."""
    network = network_of(3, n=20)
    place = threat_set(digits()[0][1000].ravel(), ThreatModel(norm=norm, eps255=8.0))
    bounds = Bounds(network, place, 0)
    scene = bounds.scene
    p = economised(central_jets(scene), degree)
    beta = bounds.weights[:, 1]
    constant, linear, form, loss = bounds.expansion(p, beta)
    for _ in range(3):
        y = rng.choice([-1.0, 1.0], 64) if norm == "linf" else rng.standard_normal(64)
        y = y if norm == "linf" else y / np.linalg.norm(y)
        delta = [Fraction(r) * Fraction(v) for r, v in zip(place.radii.tolist(), y.tolist(), strict=True)]
        centre = [Fraction(v) for v in place.centre.tolist()]
        square = sum(v * v for v in delta)
        q = sum(2 * c * v for c, v in zip(centre, delta, strict=True)) + square
        half = Fraction(place.reach) / 2
        total, aside = Fraction(0), Fraction(0)
        for i in range(20):
            kappa, row = Fraction(scene.kappa[i]), [Fraction(float(v)) for v in network.rows[i]]
            way = sum((a - 2 * kappa * c) * v for a, c, v in zip(row, centre, delta, strict=True)) - kappa * square
            # x = U·Y − e, with the floats that e was rounded to
            x = (way + kappa * half) / Fraction(scene.h[i]) - Fraction(scene.shift_x[i])
            v = (q - half) / Fraction(scene.g) - Fraction(scene.shift_y)
            for m, (a, b) in enumerate(POWERS[:10]):
                weight = Fraction(beta[i]) * Fraction(p[i, m])
                total += weight * x**a * v**b
                if a + b == 3:
                    aside += weight * ((x + Fraction(scene.shift_x[i])) ** 3 if a == 3 else x**a * v**b)
        lifted = np.append(y, float(square / half) - 1)
        found = constant + linear @ lifted + 0.5 * lifted @ form @ lifted
        assert float(total - aside) == pytest.approx(found, abs=1e-9)
        assert abs(float(aside)) <= loss or degree == 2
