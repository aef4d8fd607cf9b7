"""Ξ of finite networks: blocks of exp(ARK η S) over the width, and Adv-NTK on a network's own kernel."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from advntk.foundation.architecture import Architecture
from advntk.foundation.at_dynamics import InnerFlow, LinearisedNetwork, outputs
from advntk.foundation.at_solutions import closed_form
from advntk.foundation.device import enable_float64
from advntk.foundation.losses import LossName, one_hot
from advntk.foundation.threat import ThreatModel
from advntk.ingredients.kernels.ark import kappa
from advntk.ingredients.kernels.neural_tangents_wall import finite_network
from advntk.ingredients.networks.jacobians import Apply, empirical_ark
from advntk.ingredients.splits import Part, with_label_noise
from advntk.theory.experiment import Study
from advntk.theory.free_xi import Freedom, Problem, fit
from advntk.theory.inner_attacks import pgd_attack
from advntk.theory.kernel_lab import Judged, first_of
from advntk.theory.linearisations import FrozenNetwork, freeze

FREEDOMS: tuple[Freedom, ...] = ("scalar", "diagonal", "per_class", "blocks")
DECADES = (-3.0, 2.0)
"""Of training times, natural units: 1 / mean diagonal of Θ."""
SHOWN = 40
"""Test images on which changes of the logits are measured: Jacobians of all would not fit."""


def off_diagonal_mass(blocks: np.ndarray) -> float:
    """Mean over images of ‖offdiag‖_F/‖diag‖_F, without unit.

    Args:
        blocks: (m, c, c).

    Returns:
        0 for diagonal blocks.
    """
    diagonal = np.linalg.norm(np.diagonal(blocks, axis1=1, axis2=2), axis=1)
    whole = np.linalg.norm(blocks, axis=(1, 2))
    return float(np.mean(np.sqrt(np.maximum(whole**2 - diagonal**2, 0.0)) / diagonal))


def mass(study: Study) -> dict[str, Any]:
    """Off-diagonal mass of exp(ARK η S) over the width, a mean over networks.

    Args:
        study: of a unit ``mass``.

    Returns:
        ``inputs``: their names; ``d``: their dimensions; ``mass``: (inputs, widths).
    """
    enable_float64()
    options, seed = study.options, study.unit.seed
    inputs = {study.unit.dataset: study.data.opt.first(options.points).images.astype(np.float64)}
    for side in options.sides:
        draws = study.generator("inputs", str(side)).standard_normal((options.points, side * side))
        draws *= side / np.linalg.norm(draws, axis=1, keepdims=True)
        inputs[f"normal, d = {side * side}"] = 0.5 + draws.reshape(-1, side, side, 1)
    rows = []
    for images in inputs.values():
        row = []
        for width in options.widths:
            spec = Architecture(family="mlp", depth=options.depth, activation="relu", width=width)
            init, apply = finite_network(spec, images.shape[1:], options.classes)
            ark = jax.jit(empirical_ark(apply))
            strength = options.exposure / float(kappa(spec, images).values.mean())
            flows = [
                InnerFlow(ark=np.asarray(ark(init(key), jnp.asarray(images))), exposure=strength)
                for key in jax.random.split(jax.random.key(seed), options.networks)
            ]
            row.append(float(np.mean([off_diagonal_mass(flow.rate(0.0)) for flow in flows])))
        rows.append(row)
    return {"inputs": list(inputs), "d": [int(np.prod(one.shape[1:])) for one in inputs.values()], "mass": rows}


Seen = tuple[Any, jax.Array, jax.Array]
"""θ_0, X and the images to be read: arguments of compiled programs, which would else fold them as constants."""


@dataclass(frozen=True, kw_only=True)
class TangentNetwork:
    """f(x) = Θ(x, X) P of a finite network, without Θ(x, X): Θ(x, X) P = ∂_θ f(x) Σ_i ∂_θ f(x_i)ᵀ P_i.

    Attributes:
        apply: the network.
        parameters: θ_0, float64.
        images: X.
        threat: ball and box of attacks.
        attack_steps: of PGD.
    """

    apply: Apply
    parameters: Any
    images: np.ndarray
    threat: ThreatModel
    attack_steps: int = 10

    def seen(self, images: Any) -> Seen:
        """Images as :meth:`read` takes them."""
        return self.parameters, jnp.asarray(self.images, jnp.float64), jnp.asarray(images, jnp.float64)

    def _reader(self, coef: jax.Array, seen: Seen) -> Callable[[Any, jax.Array], jax.Array]:
        """(nothing, images) → logits, ∂_θ f(x) times Σ_i ∂_θ f(x_i)ᵀ P_i, which is found once."""
        parameters, points, _ = seen
        direction = jax.vjp(lambda leaves: self.apply(leaves, points), parameters)[1](coef)[0]

        def along(_: Any, images: jax.Array) -> jax.Array:
            change: jax.Array = jax.jvp(lambda leaves: self.apply(leaves, images), (parameters,), (direction,))[1]
            return change

        return along

    def read(self, coef: jax.Array, seen: Seen) -> jax.Array:
        """f(x), (m, c)."""
        return self._reader(coef, seen)(None, seen[2])

    @cached_property
    def logits(self) -> Callable[[Any, Seen], jax.Array]:
        """:meth:`read`, compiled."""
        return jax.jit(self.read)

    @cached_property
    def attack(self) -> Callable[[Any, Seen, Any], jax.Array]:
        """(P, seen, targets) → images after PGD from the images themselves, (m, H, W, C)."""
        return self._attack("squared_error")

    @cached_property
    def judging(self) -> Callable[[Any, Seen, Any], jax.Array]:
        """The same on the margin."""
        return self._attack("margin")

    def _attack(self, loss: LossName) -> Callable[[Any, Seen, Any], jax.Array]:
        inner = pgd_attack(self.threat, steps=self.attack_steps, loss=loss)

        def attacked(coef: jax.Array, seen: Seen, targets: jax.Array) -> jax.Array:
            return inner(self._reader(coef, seen), None, seen[2], targets, jnp.zeros(()))

        return jax.jit(attacked)

    def judge(self, coef: np.ndarray, part: Part, classes: int) -> Judged:
        """Clean and robust outcomes of each image under PGD on the margin."""
        seen = self.seen(part.images)
        found = self.judging(coef, seen, one_hot(part.labels, classes, np.float64))
        clean, under = (
            np.asarray(self.logits(coef, one)).argmax(axis=1) == part.labels for one in (seen, self.seen(found))
        )
        return Judged(clean=clean, robust=clean & under)


def adversarial(study: Study) -> dict[str, Any]:
    """Changes by parts of ARK that are left out, and predictors with a learned Ξ.

    Args:
        study: of a unit ``adv``.

    Returns:
        ``times``: natural units; ``test_images``: their indices; ``change``: of ``diagonal`` and ``kappa``, (times,);
        ``predictors``: by name, robust accuracy on val and outcomes on test.
    """
    enable_float64()
    options, split, classes = study.options, study.data, study.options.classes
    clean = first_of(split, "opt", options.train, classes=classes)
    train = with_label_noise(clean, options.noise, classes, study.generator("labels"))
    val, test = (first_of(split, part, getattr(options, part), classes=classes) for part in ("val", "test"))
    spec = Architecture(family="mlp", depth=options.depth, activation="relu", width=options.width)
    init, apply = finite_network(spec, split.input_shape, classes)
    parameters = init(jax.random.key(study.unit.seed))
    targets = one_hot(train.labels, classes, np.float64)
    frozen = freeze(apply, parameters, train.images, targets, test.images[:SHOWN])
    net = LinearisedNetwork(gram=frozen.net.gram, targets=targets)
    unit_time = 1 / float(np.diag(net.flat_gram).mean())
    times = np.logspace(*DECADES, round((DECADES[1] - DECADES[0]) * options.times_per_decade) + 1)
    strength = options.exposure / float(kappa(spec, train.images).values.mean())
    tangent = TangentNetwork(
        apply=apply,
        parameters=parameters,
        images=train.images,
        threat=ThreatModel(eps255=options.eps255),
        attack_steps=options.attack_steps,
    )
    return {
        "times": times,
        "test_images": test.indices,
        "change": _changes(frozen, net, strength, times * unit_time, kappa(spec, train.images).values),
        "predictors": _predictors(options, net, tangent, times * unit_time, val, test),
    }


def _changes(
    frozen: FrozenNetwork, net: LinearisedNetwork, strength: float, moments: np.ndarray, by_kappa: np.ndarray
) -> dict[str, Any]:
    """Relative change of test logits at each time where ARK is its diagonal, and where it is κ I."""
    diagonal = np.einsum("iaa,ab->iab", frozen.ark, np.eye(frozen.ark.shape[1]))
    along = {
        name: outputs(frozen.rows, closed_form(net, InnerFlow(ark=ark, exposure=strength), moments).coefficients)
        for name, ark in (("whole", frozen.ark), ("diagonal", diagonal), ("kappa", by_kappa))
    }
    size = np.sqrt((along["whole"] ** 2).mean(axis=(1, 2)))
    return {
        name: np.sqrt(((along[name] - along["whole"]) ** 2).mean(axis=(1, 2))) / size for name in ("diagonal", "kappa")
    }


def _predictors(
    options: Any, net: LinearisedNetwork, tangent: TangentNetwork, moments: np.ndarray, val: Part, test: Part
) -> dict[str, dict[str, Any]]:
    """The natural solution, one stopping time from val, and Ξ of each freedom learned on val."""
    points, classes = net.targets.shape
    still = InnerFlow(ark=np.zeros(points), exposure=0.0)
    coefs = -closed_form(net, still, [*moments, np.inf]).coefficients
    judge = partial(tangent.judge, classes=classes)
    merits = [judge(coef, val).accuracies[1] for coef in coefs[:-1]]
    best = int(np.argmax(merits))
    goals = one_hot(val.labels, classes, np.float64)
    problem = Problem(
        gram=np.asarray(net.gram),
        targets=net.targets,
        goals=goals,
        attacked=lambda coef, step: tangent.seen(tangent.attack(coef, tangent.seen(val.images), goals)),
        read=tangent.read,
    )
    solved = {"natural": coefs[-1], "early_stopped": coefs[best]}
    for freedom in FREEDOMS:
        rate = options.block_rate if freedom == "blocks" else options.rate
        solved[freedom] = fit(problem, freedom, time=float(moments[best]), steps=options.steps, rate=rate).coefs[-1]
    found = {}
    for name, coef in solved.items():
        outcomes = judge(coef, test)
        found[name] = {
            "val": judge(coef, val).accuracies[1],
            "clean": outcomes.clean.astype(int),
            "robust": outcomes.robust.astype(int),
        }
    return found
