"""Short names of networks: what they stand for, and what is said of a wrong one before anything runs."""

from __future__ import annotations

import pytest

from advntk.foundation import registry
from advntk.foundation.errors import ConfigError
from advntk.foundation.options import validated
from advntk.theory.experiment import EXPERIMENTS
from advntk.theory.named_networks import named, of_kind


@pytest.mark.parametrize(
    ("name", "label"),
    [("mlp-relu", "mlp-3"), ("cnn_average-erf", "cnn-2-average-erf"), ("cnn_circular-gelu", "cnn-2-circular-gelu")],
)
def test_a_name_stands_for_a_spec(name, label):
    assert named(name, mlp_depth=3, cnn_depth=2).label == label


def test_a_kind_has_the_fields_that_are_given():
    spec = of_kind("resnet", depth=18, width=4)
    assert (spec.label, spec.width) == ("resnet-18", 4)


def test_a_family_of_few_depths_is_taken():
    options = {"networks": ["resnet-relu"], "cnn_depth": 18}
    found = validated(registry.get(EXPERIMENTS, "varying_rate").options, options, "varying_rate")
    assert named(found.networks[0], mlp_depth=3, cnn_depth=found.cnn_depth).label == "resnet-18"


@pytest.mark.parametrize(
    ("experiment", "options", "told"),
    [
        ("early_stopping", {"without_curves": ["cnn-gleu"]}, "without_curves.0: 'cnn-gleu' is no network: activation"),
        ("early_stopping", {"networks": ["mlp_relu"]}, "'mlp_relu' is no network: activation: Input should be 'relu'"),
        ("varying_rate", {"networks": ["mlp_average-erf"]}, "'mlp_average-erf' is no network: .* no pooling"),
        ("definiteness", {"families": ["cnn_averag"]}, "'cnn_averag' is no network: pooling: .* 'average'"),
        ("definiteness", {"activations": ["rleu"]}, "did you mean 'relu'"),
        ("architectures", {"networks": ["mlp-x"]}, "'mlp-x' is no network: depth: .* integer"),
        ("architectures", {"networks": ["resnet-19"]}, "'resnet-19' is no network: no ResNet of depth 19"),
        ("architectures", {"networks": ["cn-3"]}, "unknown entry 'cn' .did you mean 'cnn'"),
    ],
)
def test_a_wrong_name_is_told_with_its_key(experiment, options, told):
    with pytest.raises(ConfigError, match=told):
        validated(registry.get(EXPERIMENTS, experiment).options, options, experiment)
