"""The torch network against a numpy forward pass, and its NTK's top eigenvalue against a dense Jacobian."""

import numpy as np
import pytest
import torch
from scipy.special import erf

from advntk.foundation.architecture import Architecture
from advntk.foundation.errors import ConfigError, InputError
from advntk.ingredients.networks import layers as layer_types
from advntk.ingredients.networks.finite_torch import (
    build,
    load_arrays,
    load_jax_parameters,
    ntk_top_eigenvalue,
    state_to_arrays,
)

ACTIVATIONS = {
    "relu": lambda z: np.maximum(z, 0),
    "erf": erf,
    "gelu": lambda z: 0.5 * z * (1 + erf(z / np.sqrt(2))),
}
SPECS = [
    Architecture(family="mlp", depth=3, width=6),
    Architecture(family="mlp", depth=1, width=6),
    Architecture(family="cnn", depth=2, width=5, activation="erf", sigma_w=1.3, sigma_b=0.5),
    Architecture(family="cnn", depth=1, width=4, activation="gelu", sigma_b=0.0),
]
SHAPES = [(8, 8, 1), (7, 5, 2)]


pytestmark = pytest.mark.usefixtures("one_thread")


def stax_like_parameters(spec, shape, classes, rng):
    """Parameters as the stax network of the same layers holds them: nested, empty tuples for the other layers."""
    tree, channels, features = [], shape[2], None
    for layer in layer_types.layers_of(spec):
        match layer:
            case layer_types.Flatten():
                features = shape[0] * shape[1] * channels
                tree.append(())
            case layer_types.Dense(width=width):
                out = width or classes
                tree.append((rng.standard_normal((features, out)), rng.standard_normal(out)))
                features = out
            case layer_types.Conv(width=width):
                tree.append((rng.standard_normal((3, 3, channels, width)), rng.standard_normal((1, 1, 1, width))))
                channels = width
            case _:
                tree.append(())
    return tree


def numpy_forward(spec, tree, images):
    """The network by loops, in float64."""
    values = images - 0.5
    for layer, parameters in zip(layer_types.layers_of(spec), tree, strict=True):
        match layer:
            case layer_types.Flatten():
                values = values.reshape(len(values), -1)
            case layer_types.Activate(function=name):
                values = ACTIVATIONS[name](values)
            case layer_types.Dense():
                weight, bias = parameters
                values = spec.sigma_w / np.sqrt(len(weight)) * values @ weight + spec.sigma_b * bias
            case layer_types.Conv():
                weight, bias = parameters
                m, height, width, channels = values.shape
                padded = np.pad(values, ((0, 0), (1, 1), (1, 1), (0, 0)))
                values = spec.sigma_b * bias + np.zeros((m, height, width, weight.shape[3]))
                for row in range(3):
                    for column in range(3):
                        window = padded[:, row : row + height, column : column + width]
                        values = values + spec.sigma_w / np.sqrt(9 * channels) * window @ weight[row, column]
    return values


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.label)
def test_network_with_stax_weights_is_the_numpy_network(spec, shape):
    rng = np.random.default_rng(0)
    tree = stax_like_parameters(spec, shape, 3, rng)
    net = build(spec, shape, 3, seed=1).double()
    load_jax_parameters(net, tree)
    images = rng.uniform(size=(4, *shape))
    np.testing.assert_allclose(net(torch.from_numpy(images)).detach(), numpy_forward(spec, tree, images), rtol=1e-12)


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.label)
def test_image_gradient_against_finite_differences(spec):
    net = build(spec, (4, 3, 2), 3, seed=1).double()
    images = torch.rand((2, 4, 3, 2), dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    assert torch.autograd.gradcheck(net, images.requires_grad_(True))


def test_seed_fixes_the_weights_which_are_standard_normal():
    spec = Architecture(family="mlp", depth=3, width=300)
    first, again, other = (state_to_arrays(build(spec, (8, 8, 1), 10, seed=seed)) for seed in (7, 7, 8))
    assert all(np.array_equal(first[name], again[name]) for name in first)
    assert not any(np.array_equal(first[name], other[name]) for name in first)
    entries = np.concatenate([array.ravel() for array in first.values()])
    assert abs(entries.mean()) < 4 / np.sqrt(entries.size)
    assert abs(entries.std() - 1) < 4 / np.sqrt(entries.size)


def test_arrays_survive_a_round_trip_and_are_copies():
    spec = Architecture(family="cnn", depth=2, width=3)
    net, copy = build(spec, (4, 4, 1), 2, seed=0), build(spec, (4, 4, 1), 2, seed=1)
    arrays = state_to_arrays(net)
    load_arrays(copy, arrays)
    images = torch.rand(3, 4, 4, 1)
    assert torch.equal(net(images), copy(images))
    with torch.no_grad():
        for parameter in copy.parameters():
            parameter.zero_()
    assert all(array.any() for array in arrays.values())


def test_wrong_weights_are_refused_by_name():
    spec = Architecture(family="mlp", depth=2, width=3)
    net = build(spec, (4, 4, 1), 2, seed=0)
    arrays = state_to_arrays(net)
    with pytest.raises(InputError, match="names differ: extra"):
        load_arrays(net, arrays | {"extra": np.zeros(1)})
    name = next(iter(arrays))
    with pytest.raises(InputError, match=rf"{name}: shape \(2,\)"):
        load_arrays(net, arrays | {name: np.zeros(2)})
    with pytest.raises(InputError, match="2 arrays"):
        load_jax_parameters(net, [(np.zeros((16, 3)), np.zeros(3))])
    with pytest.raises(ConfigError, match="did you mean 'mlp'"):
        build(Architecture(family="mpl", depth=2), (4, 4, 1), 2, seed=0)


def test_missing_stax_biases_are_zeros():
    spec = Architecture(family="mlp", depth=1, width=3)
    net = build(spec, (2, 2, 1), 2, seed=0)
    load_jax_parameters(net, ((), (np.ones((4, 2)), None)))
    assert not state_to_arrays(net)["2.bias"].any()


@pytest.mark.parametrize("spec", [SPECS[0], SPECS[2]], ids=lambda spec: spec.label)
def test_top_eigenvalue_against_dense_jacobian(spec):
    net = build(spec, (4, 4, 1), 3, seed=2).double()
    images = torch.rand((5, 4, 4, 1), dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    parameters = list(net.parameters())
    rows = [
        torch.cat([part.flatten() for part in torch.autograd.grad(output, parameters, retain_graph=True)])
        for output in net(images).flatten()
    ]
    exact = float(torch.linalg.svdvals(torch.stack(rows))[0] ** 2)
    for seed in range(3):
        estimate = ntk_top_eigenvalue(net, images, generator=np.random.default_rng(seed))
        assert estimate == pytest.approx(exact, rel=1e-3)


def test_top_eigenvalue_of_a_broken_network_is_nan():
    net = build(SPECS[0], (4, 4, 1), 3, seed=2)
    with torch.no_grad():
        next(net.parameters()).fill_(float("nan"))
    assert np.isnan(ntk_top_eigenvalue(net, torch.zeros(2, 4, 4, 1), generator=np.random.default_rng(0)))
