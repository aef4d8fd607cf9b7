"""A small adversarial training in float64, for tests of losses and techniques."""

from __future__ import annotations

import numpy as np
import torch
from torch.nn import functional

from advntk.foundation.architecture import Architecture
from advntk.foundation.at_options import AdversarialTrainingOptions
from advntk.foundation.attack_options import AttackOptions
from advntk.foundation.threat import ThreatModel
from advntk.ingredients.networks.finite_torch import build
from advntk.learning.at_run import Run

MLP = Architecture(family="mlp", depth=3, width=24)
RESNET = Architecture(family="resnet", depth=18, width=2)
RATE, DECAY, EPS255, STEPS, RATIO = 0.05, 0.01, 24, 3, 0.4
CLASSES = 5
MILD = {"name": "trades", "beta": 2.0}


def options(**changes):
    attack = AttackOptions(loss="cross_entropy", steps=STEPS, step_ratio=RATIO)
    base = {"steps": 20, "batch": 10, "learning_rate": RATE, "momentum": 0.0, "weight_decay": DECAY}
    return AdversarialTrainingOptions(
        **(base | {"attack": attack, "report_attack": attack, "report_every": 10, "network": "reference"} | changes)
    )


def images_and_labels(count=40, seed=0):
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % CLASSES
    return rng.uniform(size=(CLASSES, 6, 6, 1))[labels] * 0.5 + 0.5 * rng.uniform(size=(count, 6, 6, 1)), labels


def run_of(spec=MLP, seed=3, dtype=torch.float64, **changes):
    """A training at step 0, in float64."""
    images, labels = images_and_labels()
    net = build(spec, (6, 6, 1), CLASSES, seed=seed, form="reference").to(dtype).requires_grad_(False)
    one_hot = torch.eye(CLASSES, dtype=dtype)[torch.from_numpy(labels)]
    tensor = torch.from_numpy(images).to(dtype)
    return Run(
        net=net,
        images=tensor,
        target=one_hot,
        monitors={"val": (tensor[:20], one_hot[:20])},
        options=options(**changes),
        threat=ThreatModel(eps255=EPS255),
        seed=seed,
        rate=RATE,
    )


def weights(net):
    return [weight.detach().clone() for weight in net.parameters()]


def logits_of(net, parameters, images):
    named = dict(zip(dict(net.named_parameters()), parameters, strict=True))
    return torch.func.functional_call(net, named, (images,))


def trades_by_torch(logits, clean, labels, beta):
    robust = functional.kl_div(logits.log_softmax(1), clean.softmax(1), reduction="none").sum(1)
    return functional.cross_entropy(clean, labels, reduction="none") + beta * robust


def labelled(run):
    """The batch of the next update, and its labels."""
    indices = torch.from_numpy(run.batch_indices())
    return run.images[indices], run.target[indices].argmax(1)


def seen_batches(run):
    """Every batch that the loss of a run is asked for, with its logits."""
    seen, original = [], run.loss.values
    run.loss.values = lambda batch, *rest: (seen.append((batch, rest[0])), original(batch, *rest))[1]
    return seen
