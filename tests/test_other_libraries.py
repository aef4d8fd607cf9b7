"""foolbox and ART attack our predictors through their own wrappers, and find what our attacks find."""

from __future__ import annotations

import importlib
import warnings

import numpy as np
import pytest
import torch

import advntk
from advntk.zoo import images_and_labels

pytestmark = pytest.mark.slow

COUNT, EPSILON, STEP = 100, 16 / 255, 0.2
NAMES = ["digits/seed0/mlp-3/at/eps16", "digits/seed0/mlp-3/ntk/anyeps"]
"""A finite network, and an infinitely wide one."""
CLOSE = 3
"""Images by which two implementations of one attack may differ: their random starts do."""


def library(name: str, package: str):
    try:
        with warnings.catch_warnings(action="ignore", category=DeprecationWarning):  # of scipy's old names
            return importlib.import_module(name)
    except ImportError:
        pytest.fail(f"python -m pip install {package}")


@pytest.fixture(params=NAMES)
def attacked(request):
    """A predictor, its images and labels, and how many of them PGD-10 on cross-entropy leaves robust."""
    predictor, (images, labels) = advntk.load(request.param), images_and_labels(request.param)
    images, labels = images[:COUNT], labels[:COUNT]
    pgd = {"pgd": {"loss": "cross_entropy", "steps": 10, "step_ratio": STEP, "keep": "best"}}
    found = advntk.benchmark(predictor, images, labels, eps255=16, attacks=pgd)
    assert found.robust_accuracy < found.clean_accuracy
    return predictor, images, labels, found.attacks["pgd"].evaluation.robust_correct


def robust(predictor, images, found, labels):
    """How many images are classified right, unperturbed and as an attack left them (m, C, H, W)."""
    found = np.asarray(found, dtype=np.float64).transpose(0, 2, 3, 1)
    assert np.abs(found - images).max() <= EPSILON + 1e-6
    right = [predictor.logits(shown).argmax(axis=1) == labels for shown in (images, np.clip(found, 0, 1))]
    return int(np.logical_and(*right).sum())


def test_foolbox(attacked):
    foolbox = library("foolbox", "foolbox==3.3.4")
    predictor, images, labels, own = attacked
    module = advntk.as_torch_module(predictor).eval()
    model = foolbox.PyTorchModel(module, bounds=(0, 1), device="cpu")
    attack = foolbox.attacks.LinfPGD(steps=10, rel_stepsize=STEP)
    torch.manual_seed(0)
    x, y = torch.tensor(images).permute(0, 3, 1, 2), torch.tensor(labels)
    _, found, broken = attack(model, x, y, epsilons=EPSILON)
    left = robust(predictor, images, found.numpy(), labels)
    assert left == int((~broken).sum())
    assert abs(left - own) <= CLOSE


def test_art(attacked):
    attacks = library("art.attacks.evasion", "adversarial-robustness-toolbox==1.20.1")
    estimators = library("art.estimators.classification", "adversarial-robustness-toolbox==1.20.1")
    predictor, images, labels, own = attacked
    shape = {"input_shape": (1, 8, 8), "nb_classes": 10, "clip_values": (0.0, 1.0)}
    module = advntk.as_torch_module(predictor).eval()
    classifier = estimators.PyTorchClassifier(module, loss=torch.nn.CrossEntropyLoss(), device_type="cpu", **shape)
    settings = {"eps": EPSILON, "eps_step": STEP * EPSILON, "max_iter": 10, "num_random_init": 1, "verbose": False}
    # ART draws its random starts and squares from numpy's global generator, which nothing else seeds
    np.random.seed(0)  # noqa: NPY002
    x = images.transpose(0, 3, 1, 2)
    found = attacks.ProjectedGradientDescent(classifier, **settings).generate(x, labels)
    assert abs(robust(predictor, images, found, labels) - own) <= CLOSE

    blind = estimators.BlackBoxClassifierNeuralNetwork(
        lambda shown: predictor.logits(shown.transpose(0, 2, 3, 1)), **shape
    )
    found = attacks.SquareAttack(blind, eps=EPSILON, max_iter=100, verbose=False).generate(x, np.eye(10)[labels])
    assert own - CLOSE <= robust(predictor, images, found, labels) < COUNT
