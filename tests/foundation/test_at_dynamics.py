"""The closed form of adversarial training against an ODE solver, dense exponentials and limits; and its errors."""

import numpy as np
import pytest
import scipy.linalg

from advntk.foundation import at_dynamics, krylov
from advntk.foundation.at_dynamics import InnerFlow, LinearisedNetwork, outputs, turning
from advntk.foundation.at_solutions import closed_form, integrate, spectrum
from advntk.foundation.errors import InputError, NotPositiveDefinite, NumericalError
from tests.conftest import relu_kernel

N, C = 14, 3
TIMES = [0.0, 0.02, 0.1, 0.5]


@pytest.fixture
def net(rng):
    images = rng.uniform(size=(N, 4, 4, 1))
    targets = np.eye(C)[rng.integers(0, C, N)]
    return LinearisedNetwork(gram=relu_kernel(images, depth=3), targets=targets, initial=rng.normal(size=(N, C)))


@pytest.fixture
def numbers(rng):
    return rng.uniform(0.5, 4.0, N)


@pytest.fixture
def blocks(rng):
    jacobians = rng.normal(size=(N, C, 5))
    return jacobians @ jacobians.swapaxes(1, 2) / 5


def whole(net, seed=3):
    """A network whose classes do not share Θ: (n, c, n, c)."""
    factor = np.random.default_rng(seed).normal(size=(N * C, 2 * N * C)) / np.sqrt(N * C)
    return LinearisedNetwork(gram=(factor @ factor.T).reshape(N, C, N, C), targets=net.targets, initial=net.initial)


def gap(one, other):
    """Largest error over times, relative to the largest value of all."""
    return np.abs(one.coefficients - other.coefficients).max() / np.abs(other.coefficients).max()


@pytest.mark.parametrize("kind", ["numbers", "blocks"])
@pytest.mark.parametrize("classes_share", [True, False])
@pytest.mark.parametrize("exposure", ["none", "common", "per sample"])
def test_closed_form_is_the_ode_for_constant_strength(net, request, rng, kind, classes_share, exposure):
    ark = request.getfixturevalue(kind)
    strength = {"none": 0.0, "common": 0.4, "per sample": rng.uniform(0, 0.8, N)}[exposure]
    net = net if classes_share else whole(net)
    flow = InnerFlow(ark=ark, exposure=strength)
    assert gap(closed_form(net, flow, TIMES), integrate(net, flow, TIMES)) < 1e-8
    assert turning(flow, TIMES) < 1e-14


def test_closed_form_is_the_ode_for_varying_strength_where_all_points_have_one_ark(net):
    flow = InnerFlow(ark=np.full(N, 2.3), exposure=lambda t: 0.3 * (1 + np.sin(40 * t)))
    assert gap(closed_form(net, flow, TIMES), integrate(net, flow, TIMES)) < 1e-8
    assert turning(flow, TIMES) < 1e-14


@pytest.mark.parametrize(
    ("strength", "kind"),
    [
        (lambda t: 0.5 * (1 + np.sin(12 * t)), "numbers"),
        (lambda t: 0.5 * (1 + np.sin(12 * t)), "blocks"),
        (lambda t: 0.4 * (1 + np.sin(12 * t + np.arange(N))), "one"),
    ],
    ids=["common strength, numbers", "common strength, blocks", "per-sample phases"],
)
def test_closed_form_misses_the_ode_where_the_matrices_do_not_commute(net, request, strength, kind):
    flow = InnerFlow(ark=np.full(N, 2.3) if kind == "one" else request.getfixturevalue(kind), exposure=strength)
    assert gap(closed_form(net, flow, TIMES), integrate(net, flow, TIMES)) > 1e-3
    assert turning(flow, TIMES) > 1e-2


def test_the_ode_is_as_exact_between_as_at_its_end(rng):
    """Long steps under a stiff kernel: what a solver interpolates inside of a step is a thousand times less exact."""
    factor = rng.standard_normal((40, 60))
    net = LinearisedNetwork(gram=factor @ factor.T + 100 * np.ones((40, 40)), targets=rng.standard_normal((40, 3)))
    flow, times = InnerFlow(ark=np.ones(40), exposure=1.0), np.geomspace(1e-3, 1.0, 13)
    closed, solved = closed_form(net, flow, times), integrate(net, flow, times)
    off = [np.linalg.norm(net.gram @ (a - b)) for a, b in zip(closed.coefficients, solved.coefficients, strict=True)]
    assert max(off) < 1e-9 * np.linalg.norm(net.targets)


def test_explicit_and_implicit_solvers_agree(net, blocks):
    flow = InnerFlow(ark=blocks, exposure=lambda t: 0.3 * (1 + np.sin(9 * t + np.arange(N))))
    implicit = integrate(net, flow, TIMES, method="Radau", tolerance=1e-7)
    assert gap(implicit, integrate(net, flow, TIMES)) < 1e-5
    full = whole(net)
    assert gap(integrate(full, flow, TIMES, method="Radau", tolerance=1e-7), integrate(full, flow, TIMES)) < 1e-5


def test_closed_form_is_the_formula_with_inverse_and_exponential(net, blocks):
    """Written out: f_t = f_0 − k Θ⁻¹ (I − e^{−ΘΞ}) (f_0 − Y), Θ ⊗ I_c and Ξ dense."""
    flow, time = InnerFlow(ark=blocks, exposure=0.5), 0.07
    theta = np.kron(net.gram, np.eye(C))
    xi = time * scipy.linalg.block_diag(*[scipy.linalg.expm(0.5 * block) for block in blocks])
    decay = scipy.linalg.expm(-theta @ xi)
    wanted = np.linalg.solve(theta, (np.eye(N * C) - decay) @ net.residual.ravel()).reshape(N, C)
    (got,) = closed_form(net, flow, [time]).coefficients
    np.testing.assert_allclose(got, wanted, rtol=1e-8, atol=1e-10)
    rows = np.random.default_rng(0).normal(size=(4, N))
    start = np.ones((4, C))
    np.testing.assert_allclose(outputs(rows, got, start), start - rows @ wanted, rtol=1e-8, atol=1e-9)
    residual = outputs(net.gram, got, net.initial) - net.targets
    np.testing.assert_allclose(residual.ravel(), decay @ net.residual.ravel(), rtol=1e-8, atol=1e-9)
    assert np.allclose(np.linalg.eigvals(theta @ xi).real.min(), spectrum(net, flow, time)[0], rtol=1e-6)


def test_closed_form_is_the_krylov_form_of_the_same_diagonal(net, numbers):
    flow = InnerFlow(ark=numbers, exposure=lambda t: 0.2 + 0.1 * np.cos(30 * t))
    (got,) = closed_form(net, flow, [0.3]).coefficients
    wanted = krylov.solve(lambda block: net.gram @ block, flow.xi(0.3), net.residual).coef
    np.testing.assert_allclose(got, wanted, rtol=1e-8, atol=1e-9)


def test_training_without_an_attack_starts_at_the_network_and_ends_at_interpolation(net, numbers):
    for strength in (0.0, 0.7):
        flow = InnerFlow(ark=numbers, exposure=strength)
        run = closed_form(net, flow, [0.0, np.inf])
        first, last = outputs(net.gram, run.coefficients, net.initial)
        np.testing.assert_allclose(first, net.initial)
        np.testing.assert_allclose(last, net.targets, atol=1e-9)
        np.testing.assert_allclose(run.coefficients[1], np.linalg.solve(net.gram, net.residual), rtol=1e-7)


def test_one_ark_for_all_is_clean_training_on_a_faster_clock(net):
    clean = InnerFlow(ark=np.zeros(N), exposure=0.0)
    for exponent in (0.5, 2.0, 4.0):
        attacked = InnerFlow(ark=np.full(N, 5.0), exposure=exponent / 5)
        clock = np.array(TIMES) * np.exp(exponent)
        assert gap(closed_form(net, attacked, TIMES), closed_form(net, clean, clock)) < 1e-11


def test_attacked_outputs_are_those_at_the_end_of_the_inner_flow(net, blocks, rng):
    """x moves along Jᵀ (f − y) while f is linear in x: df/ds = ARK η (f − y), by small steps."""
    strength, steps = rng.uniform(0, 0.5, N), 4000
    logits = rng.normal(size=(N, C))
    moved = logits.copy()
    for _ in range(steps):
        half = moved + np.einsum("i,iab,ib->ia", strength / (2 * steps), blocks, moved - net.targets)
        moved = moved + np.einsum("i,iab,ib->ia", strength / steps, blocks, half - net.targets)
    flow = InnerFlow(ark=blocks, exposure=strength)
    np.testing.assert_allclose(flow.attacked(logits, net.targets), moved, rtol=1e-6)
    number = InnerFlow(ark=np.full(N, 2.0), exposure=lambda t: 0.1 * t)
    wanted = net.targets + np.exp(0.6) * (logits - net.targets)
    np.testing.assert_allclose(number.attacked(logits, net.targets, time=3.0), wanted)


def test_numbers_are_blocks_that_are_multiples_of_the_identity(net, numbers):
    def strength(t):
        return 0.1 + 0.1 * t

    as_numbers = InnerFlow(ark=numbers, exposure=strength)
    as_blocks = InnerFlow(ark=numbers[:, None, None] * np.eye(C), exposure=strength)
    assert gap(closed_form(net, as_numbers, TIMES), closed_form(net, as_blocks, TIMES)) < 1e-11
    full = LinearisedNetwork(
        gram=np.einsum("ij,ab->iajb", net.gram, np.eye(C)), targets=net.targets, initial=net.initial
    )
    assert gap(closed_form(full, as_numbers, TIMES), closed_form(net, as_numbers, TIMES)) < 1e-11
    assert gap(integrate(full, as_numbers, TIMES), integrate(net, as_numbers, TIMES)) < 1e-9
    got = outputs(full.gram, closed_form(net, as_numbers, TIMES).coefficients, net.initial)
    np.testing.assert_allclose(got, outputs(net.gram, closed_form(net, as_numbers, TIMES).coefficients, net.initial))


def test_expected_error_grows_where_rounding_does(net):
    weak, strong = (InnerFlow(ark=np.linspace(0, 1, N), exposure=exponent) for exponent in (0.1, 20.0))
    errors = [closed_form(net, flow, [1e-3, 10.0]).error for flow in (weak, strong)]
    assert errors[0][0] < 1e-12
    assert errors[1][1] > 1e3 * errors[0][1] > 1e3 * errors[0][0]


def test_too_strong_an_attack_is_refused_before_it_overflows(net, numbers):
    numbers[5] = 10.0
    for strength in (71.0, lambda t: 71.0):
        flow = InnerFlow(ark=numbers, exposure=strength)
        for solver in (closed_form, integrate):
            with pytest.raises(NumericalError, match=r"overflows: ARK η S is 710 at training point 5.*lower η or S"):
                solver(net, flow, [0.1])
    late = InnerFlow(ark=numbers, exposure=lambda t: 100 * t)
    assert np.isfinite(closed_form(net, late, [0.1]).coefficients).all()
    with pytest.raises(NumericalError, match="overflows"):
        closed_form(net, late, [1.0])
    huge = LinearisedNetwork(gram=1e10 * net.gram, targets=net.targets)
    with pytest.raises(NumericalError, match="Ξ\\^½ΘΞ\\^½ overflows"):
        closed_form(huge, InnerFlow(ark=numbers, exposure=69.9), [1.0])


def test_a_kernel_that_is_not_positive_definite_is_refused(net, numbers):
    values, vectors = np.linalg.eigh(net.gram)
    values[0] = -1e-6 * values[-1]
    broken = LinearisedNetwork(gram=vectors * values @ vectors.T, targets=net.targets)
    flow = InnerFlow(ark=numbers, exposure=0.1)
    for solver in (closed_form, integrate):
        with pytest.raises(NotPositiveDefinite, match=r"Θ has the eigenvalue -.*float64"):
            solver(broken, flow, [0.1])
    values[0] = 0.0
    singular = LinearisedNetwork(gram=vectors * values @ vectors.T, targets=net.targets)
    assert gap(closed_form(singular, flow, TIMES), integrate(singular, flow, TIMES)) < 1e-8
    with pytest.raises(NotPositiveDefinite, match=r"singular.*finite time"):
        closed_form(singular, flow, [np.inf])
    with pytest.raises(NotPositiveDefinite, match="ARK has the eigenvalue"):
        InnerFlow(ark=-numbers, exposure=0.1)


def changed(array, index, value):
    array = np.array(array, dtype=float)
    array[index] = value
    return array


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda net, ark: LinearisedNetwork(gram=net.gram[:-1], targets=net.targets), "Gram matrix .* for targets"),
        (lambda net, ark: LinearisedNetwork(gram=net.gram, targets=net.targets, initial=np.zeros(C)), "initial"),
        (lambda net, ark: LinearisedNetwork(gram=changed(net.gram, (0, 1), np.nan), targets=net.targets), "NaN"),
        (lambda net, ark: LinearisedNetwork(gram=changed(net.gram, (0, 1), 9.0), targets=net.targets), "symmetric"),
        (lambda net, ark: InnerFlow(ark=np.zeros((N, C)), exposure=1.0), "ARK of shape"),
        (lambda net, ark: InnerFlow(ark=changed(ark, 0, np.inf), exposure=1.0), "infinite entries in ARK"),
        (lambda net, ark: InnerFlow(ark=np.arange(N * 4.0).reshape(N, 2, 2), exposure=1.0), "not symmetric"),
        (lambda net, ark: closed_form(net, InnerFlow(ark=ark, exposure=-0.1), [1.0]), ">= 0"),
        (lambda net, ark: closed_form(net, InnerFlow(ark=ark, exposure=np.ones(N + 1)), [1.0]), "each of 14"),
        (lambda net, ark: closed_form(net, InnerFlow(ark=ark[1:], exposure=0.1), [1.0]), "for targets"),
        (lambda net, ark: integrate(net, InnerFlow(ark=ark[1:], exposure=0.1), [1.0]), "for targets"),
        (lambda net, ark: closed_form(net, InnerFlow(ark=ark, exposure=0.1), [-1.0]), "training times"),
        (lambda net, ark: closed_form(net, InnerFlow(ark=ark, exposure=lambda t: t), [np.inf]), "finite"),
        (lambda net, ark: integrate(net, InnerFlow(ark=ark, exposure=0.1), [np.inf]), "finite"),
        (lambda net, ark: integrate(net, InnerFlow(ark=ark, exposure=0.1), []), "training times"),
    ],
)  # fmt: skip
def test_wrong_input_is_named(net, numbers, make, message):
    with pytest.raises(InputError, match=message):
        make(net, numbers)


def test_times_may_come_in_any_order(net, numbers):
    flow = InnerFlow(ark=numbers, exposure=0.3)
    got = integrate(net, flow, [0.1, 0.0, 0.02, 0.1])
    wanted = closed_form(net, flow, [0.1, 0.0, 0.02, 0.1])
    assert gap(got, wanted) < 1e-8
    assert not integrate(net, flow, [0.0]).coefficients.any()


def test_a_jump_that_the_quadrature_cannot_resolve_is_told(numbers, monkeypatch):
    monkeypatch.setattr(at_dynamics, "INTERVALS", 30)
    wild = InnerFlow(ark=numbers, exposure=lambda t: 10 * np.random.default_rng(int(1e9 * t)).random())
    with pytest.raises(NumericalError, match="smoother"):
        wild.xi(1.0)
