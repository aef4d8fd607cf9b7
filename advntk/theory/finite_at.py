"""A finite network in adversarial training by gradient flow: accuracies, distances and the attack's factor over time.

Three trainings from the same initial parameters: clean; with the inner gradient flow of the theory, whose perturbation
shrinks with the error; and with PGD, whose perturbation does not. The factor of the attack is

    ‖f(x_S) − y‖ / ‖f(x) − y‖     over the training images,

which the theory calls Ξ'(t); its integral over t is Ξ(t).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from advntk.foundation.losses import one_hot
from advntk.foundation.threat import ThreatModel
from advntk.ingredients.networks.jacobians import Apply, empirical_ark, empirical_gram
from advntk.ingredients.splits import Part
from advntk.theory.gradient_flow import Trained, outputs_along, train
from advntk.theory.inner_attacks import InnerAttack, Tree, flow_attack, no_attack, pgd_attack


@partial(jax.jit, static_argnames=("apply", "attack"))
def _attacked(
    parameters: Tree, points: jax.Array, goals: jax.Array, time: jax.Array, *, apply: Apply, attack: InnerAttack
) -> jax.Array:
    """Logits on attacked images; one program for all trainings that an attack judges."""
    return apply(parameters, attack(apply, parameters, points, goals, time))


@dataclass(frozen=True, kw_only=True)
class Problem:
    """A network at its initial parameters, and its data.

    Attributes:
        apply: the network.
        initial: θ_0, float64.
        train: X and labels, which may be noisy.
        val: with true labels.
        test: with true labels.
        classes: c.
    """

    apply: Apply
    initial: Tree
    train: Part
    val: Part
    test: Part
    classes: int

    def targets(self, part: Part) -> np.ndarray:
        """One-hot, (m, c)."""
        return np.asarray(one_hot(part.labels, self.classes, np.float64))

    def scales(self) -> tuple[float, float, float]:
        """Mean diagonal and largest eigenvalue of Θ at θ_0, and the mean eigenvalue of ARK: all of X."""
        points = jnp.asarray(self.train.images, jnp.float64)
        gram = np.asarray(jax.jit(empirical_gram(self.apply))(self.initial, points, points))
        ark = np.asarray(jax.jit(empirical_ark(self.apply))(self.initial, points))
        side = len(points) * self.classes
        flat = gram.reshape(side, side)
        trace = float(np.einsum("iaa->", ark))
        return float(np.diag(flat).mean()), float(np.linalg.eigvalsh(flat)[-1]), trace / side

    def along(self, trained: Trained, part: Part) -> np.ndarray:
        """Logits at all times, (T, m, c)."""
        return outputs_along(self.apply, trained, part.images)

    def shown(self, attack: InnerAttack, trained: Trained, part: Part) -> np.ndarray:
        """Logits at all times on the images that an attack makes of a part, (T, m, c)."""
        points, goals = jnp.asarray(part.images, jnp.float64), jnp.asarray(self.targets(part))
        pairs = zip(trained.parameters, trained.times, strict=True)
        return np.stack(
            [
                np.asarray(_attacked(parameters, points, goals, jnp.asarray(time), apply=self.apply, attack=attack))
                for parameters, time in pairs
            ]
        )


def trainings(mean_ark: float, exposure: float, threat: ThreatModel) -> dict[str, tuple[InnerAttack, float]]:
    """Inner attacks by name, each with the share of clean training's longest step that it can bear.

    Args:
        mean_ark: mean eigenvalue of ARK at θ_0.
        exposure: of the flow: mean eigenvalue of ARK times η S, without unit.
        threat: of PGD.

    Returns:
        ``clean``, ``flow`` and ``pgd``.
    """
    return {
        "clean": (no_attack, 1.0),
        # Ξ' has eigenvalues above exp(exposure), as ARK's scatter
        "flow": (flow_attack(exposure / mean_ark, steps=2), float(np.exp(-3 * exposure))),
        "pgd": (pgd_attack(threat, steps=5, step_ratio=0.4), 0.5),
    }


def finite_curves(
    problem: Problem, *, times: Sequence[float], beyond: float, exposure: float, threat: ThreatModel
) -> dict[str, dict[str, Any]]:
    """All three trainings over time.

    Args:
        problem: network and data.
        times: T, ascending, > 0, in units of 1 / mean diagonal of Θ.
        beyond: the standard-trained network is clean training's at this multiple of the last time.
        exposure: of the flow attack.
        threat: of PGD, in training and, in ten steps on the margin, on val and test.

    Returns:
        By training: ``clean_test``, ``robust_test``, ``robust_val``, fractions; ``factor`` of the attack; ``distance``
        ‖f_t − f_∞‖/‖f_∞‖ on test images, f_∞ the standard-trained network; all (T,). ``error`` is the last
        root-mean-square error on clean training images.
    """
    diagonal, largest, mean_ark = problem.scales()
    moments = [*(float(time) / diagonal for time in times), float(times[-1]) * beyond / diagonal]
    judge = pgd_attack(threat, loss="margin")
    goals, found, goal = problem.targets(problem.train), {}, None
    for name, (attack, share) in trainings(mean_ark, exposure, threat).items():
        run = train(
            problem.apply,
            problem.initial,
            problem.train.images,
            goals,
            times=moments if name == "clean" else moments[:-1],
            step=2.0 * share / largest,
            attack=attack,
        )
        if goal is None:  # clean training comes first
            goal = problem.along(run, problem.test)[-1]
            run = Trained(times=run.times[:-1], parameters=run.parameters[:-1])
        errors = problem.along(run, problem.train) - goals
        attacked = problem.shown(attack, run, problem.train) - goals
        on_test = problem.along(run, problem.test)
        found[name] = {
            "factor": _norms(attacked) / _norms(errors),
            "distance": _norms(on_test - goal) / np.linalg.norm(goal),
            "error": float(np.sqrt((errors[-1] ** 2).mean())),
            "clean_test": _right(on_test, problem.test).mean(axis=1),
            "robust_test": _robust(problem, judge, run, problem.test),
            "robust_val": _robust(problem, judge, run, problem.val),
        }
    return found


def _norms(along: np.ndarray) -> np.ndarray:
    """Of each time, (T,)."""
    return np.asarray(np.sqrt((along**2).sum(axis=(1, 2))))


def _right(logits: np.ndarray, part: Part) -> np.ndarray:
    return np.asarray(logits.argmax(axis=2) == part.labels)


def _robust(problem: Problem, judge: InnerAttack, run: Trained, part: Part) -> np.ndarray:
    """Share of images that are right without attack and under it, (T,)."""
    both = _right(problem.along(run, part), part) & _right(problem.shown(judge, run, part), part)
    return np.asarray(both.mean(axis=1))
