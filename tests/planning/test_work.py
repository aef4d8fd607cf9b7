"""Units of work against counts by hand, and how they grow."""

from __future__ import annotations

import pytest

from advntk.attacks.entries import autoattack, pgd
from advntk.foundation.architecture import Architecture
from advntk.foundation.options import Compute
from advntk.learning.adv_ntk import AdvNtkOptions
from advntk.learning.methods import early_stopped_ntk, ntk, ridge_ntk
from advntk.planning import fits
from advntk.planning.attacks import ROBUST_SHARE, passes
from advntk.planning.fits import Sizes
from advntk.planning.work import UNITS, KernelWork, NetworkWork, times, total


def kernel(family: str = "mlp", depth: int = 3, shape=(28, 28, 1), **compute) -> KernelWork:
    spec = Architecture(family=family, depth=depth, pooling=compute.pop("pooling", "none"))
    return KernelWork(spec=spec, shape=shape, classes=10, compute=Compute(**compute))


def network(family: str, depth: int, width: int, form="ntk", shape=(32, 32, 3)) -> NetworkWork:
    spec = Architecture(family=family, depth=depth, width=width)
    return NetworkWork(spec=spec, form=form, shape=shape, classes=10)


def test_works_add_and_multiply():
    assert total({"entry": 1, "theta": 2}, {"entry": 3}) == {"entry": 4, "theta": 2}
    assert times(3, {"entry": 2}) == {"entry": 6}


def test_a_pair_of_an_mlp_is_one_product_and_its_hidden_layers():
    assert kernel(depth=5).values(7) == {"mlp.value": 7 * 4, "product": 7 * 784}
    assert kernel(depth=5).gradients(7) == {"mlp.gradient": 7 * 4, "product": 7 * (2 * 784 + 2 * 10)}


def test_a_pair_of_a_convolutional_kernel_is_all_pixels_of_all_activations():
    assert kernel("cnn", 3, (32, 32, 3)).values(2) == {"cnn.value": 2 * 4 * 1024}
    assert kernel("resnet", 18, (32, 32, 3)).activations == 17
    assert kernel("resnet", 34, (32, 32, 3)).activations == 33


def test_what_numba_does_not_know_goes_to_neural_tangents_and_pooling_sees_all_pairs_of_pixels():
    assert set(kernel("cnn", 3, (8, 8, 1), kernel_engine="neural_tangents").values(1)) == {"jax.cnn.value"}
    assert kernel("cnn", 3, (8, 8, 1), pooling="average").values(1) == {"jax.cnn.value": 4 * 64**2}


def test_the_diagonal_of_a_kernel_is_that_of_the_engine():
    import numpy as np

    from advntk.ingredients.kernels.engine import make_engine

    images = np.random.default_rng(0).uniform(size=(1, 8, 8, 1)).astype(np.float32)
    variance = float(np.mean((images - 0.5) ** 2))
    for depth in (3, 5):
        one = kernel(depth=depth, shape=(8, 8, 1))
        theta = make_engine(one.spec, (8, 8, 1), device="cpu").tile(images, images)
        assert one.diagonal(variance) == pytest.approx(float(theta[0, 0]), rel=1e-4)


def test_products_of_networks_counted_by_hand():
    mlp = network("mlp", 3, 512, shape=(28, 28, 1))
    assert mlp.macs == mlp.parameters == 784 * 512 + 512 * 512 + 512 * 10
    cnn = network("cnn", 2, 16, shape=(8, 8, 1))
    assert cnn.macs == 64 * (9 * 16 + 9 * 16 * 16) + 64 * 16 * 10


@pytest.mark.parametrize(
    ("family", "depth", "form", "shape"),
    [("mlp", 4, "ntk", (8, 8, 1)), ("cnn", 3, "ntk", (8, 8, 1)), ("resnet", 18, "ntk", (8, 8, 3)),
     ("resnet", 18, "reference", (32, 32, 3)), ("resnet", 34, "reference", (32, 32, 3))],
)  # fmt: skip
def test_weights_are_those_of_the_network_itself(family, depth, form, shape):
    from advntk.ingredients.networks.finite_torch import build

    counted = network(family, depth, 8, form, shape)
    net = build(counted.spec, shape, 10, seed=0, form=form)
    assert counted.parameters == sum(weight.numel() for weight in net.parameters() if weight.ndim > 1)


def test_a_gradient_is_two_passes_and_an_update_three():
    one = network("mlp", 3, 64, shape=(8, 8, 1))
    assert one.gradients(100, 50) == {"network.mlp": 2 * 100 * one.macs, "layer": 2 * 2 * 6}
    assert one.updates(4, 50) == {"network.mlp": 600 * one.macs, "layer": 3 * 4 * 6, "parameter": 4 * one.parameters}


def test_restarts_and_stages_see_what_is_left():
    once = passes("pgd", pgd.Options(steps=10), classes=10)
    four = passes("pgd", pgd.Options(steps=10, restarts=4), classes=10)
    assert once is not None
    assert four is not None
    assert once.gradients == 10
    assert four.gradients == 10 * (1 + 3 * ROBUST_SHARE)
    ensemble = passes("autoattack", autoattack.Options(iterations=10, queries=50), classes=10)
    assert ensemble is not None
    assert ensemble.gradients == 10 + ROBUST_SHARE * (90 + 180)
    assert ensemble.values == 1 + ROBUST_SHARE * (1 + 1 + 51)
    assert passes("a new one", None, classes=10) is None


def test_solving_grows_with_the_cube_and_attacks_with_n():
    small, large = (Sizes(n=n, n_val=200, n_test=100) for n in (4000, 8000))
    solve = [fits.kernel_fit("ntk", ntk.Options(), kernel(), sizes)["solve"]["factor"] for sizes in (small, large)]
    assert solve[1] == 8 * solve[0]
    options = AdvNtkOptions(steps=10, batch=64, learning_rate=0.1)
    parts = [fits.kernel_fit("advntk", options, kernel(), sizes) for sizes in (small, large)]
    assert parts[1]["attack_s"]["mlp.gradient"] == 2 * parts[0]["attack_s"]["mlp.gradient"]
    assert parts[1]["solve_s"]["krylov"] > 4 * parts[0]["solve_s"]["krylov"]
    dense = fits.kernel_fit("early_stopped_ntk", early_stopped_ntk.Options(), kernel(), Sizes(n=900, n_val=9, n_test=9))
    assert dense["solve"]["eigenvectors"] == 900**3
    assert fits.kernel_fit("ridge_ntk", ridge_ntk.Options(), kernel(), Sizes(n=900, n_val=9, n_test=9)) == dense
    both = Sizes(n=909, n_val=9, n_test=9)
    refit = fits.kernel_fit("early_stopped_refit", early_stopped_ntk.Options(), kernel(), both)
    assert (refit["solve"], refit["attack"]) == (dense["solve"], dense["attack"])  # t is chosen without val
    assert refit["refit"]["eigenvectors"] == 909**3


def test_each_rate_that_is_searched_costs_a_training():
    sizes = Sizes(n=1000, n_val=200, n_test=100)
    one, two = (
        fits.kernel_fit("advntk", AdvNtkOptions(steps=10, batch=64, learning_rate=rates), kernel(), sizes)
        for rates in (0.1, [0.1, 0.1001])
    )
    for part in ("attack_s", "solve_s"):
        (unit, *_) = one[part]
        assert two[part][unit] == pytest.approx(2 * one[part][unit], rel=1e-3)


def test_methods_that_are_not_known_have_no_work():
    sizes = Sizes(n=10, n_val=5, n_test=5)
    assert fits.kernel_fit("a new one", None, kernel(), sizes) is None
    assert fits.network_fit("a new one", None, network("mlp", 3, 8), sizes) is None


def test_every_unit_has_words():
    for family, depth, engine in (("mlp", 3, "auto"), ("cnn", 3, "neural_tangents"), ("resnet", 18, "auto")):
        work = kernel(family, depth, (32, 32, 3), kernel_engine=engine)
        assert set(total(work.values(1), work.gradients(1), work.start())) <= set(UNITS)
    for form in ("ntk", "reference"):
        assert set(network("resnet", 18, 8, form).updates(1, 1)) <= set(UNITS)
