"""A finite JAX network on a few points, its linearisations and its infinite-width limit, trained alike.

Four answers to one training problem, each f_t(x) on test points x and on training points X, at the same times:

    network      the network itself, by gradient flow
    in θ         its linearisation in θ alone, by the same steps: ∂ₓf moves with θ
    frozen       both Jacobians frozen: the closed form with the network's own Θ and ARK
    infinite     the closed form with Θ and κ of infinite width, from the network's own f_0
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property, lru_cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from advntk.foundation.architecture import Architecture
from advntk.foundation.at_dynamics import InnerFlow, LinearisedNetwork, outputs
from advntk.foundation.at_solutions import closed_form, spectrum
from advntk.ingredients.kernels.ark import kappa
from advntk.ingredients.kernels.engine import make_engine
from advntk.ingredients.kernels.neural_tangents_wall import finite_network
from advntk.ingredients.networks.jacobians import Apply
from advntk.theory.gradient_flow import Trained, outputs_along, train
from advntk.theory.inner_attacks import InnerAttack, Tree, flow_attack, moved, no_attack
from advntk.theory.linearisations import Expanded, FrozenNetwork, expanded, freeze, linear_in_parameters

EARLY, EARLY_STEP, LATE_STEP = 6.0, 0.75, 1.9
"""Until t λmax = 6 steps are short, as the fastest mode still moves; then long ones, within the stable 2.78/λmax."""


def points_on_sphere(count: int, d: int, generator: np.random.Generator) -> Float[np.ndarray, "m d 1 1"]:
    """Points with ‖x − ½‖² = d in uniformly random directions, as images of d × 1 pixels.

    Args:
        count: m.
        d: input dimension.
        generator: of the draw.

    Returns:
        Images; not in the box [0, 1].
    """
    draws = generator.standard_normal((count, d))
    draws *= np.sqrt(d) / np.linalg.norm(draws, axis=1, keepdims=True)
    return 0.5 + draws.reshape(count, d, 1, 1)


def rms_gap(a: Float[np.ndarray, "T m c"], b: Float[np.ndarray, "T m c"]) -> Float[np.ndarray, " T"]:
    """Root mean square over points and logits of a − b, at each time."""
    return np.asarray(np.sqrt(((a - b) ** 2).mean(axis=(1, 2))))


class Armed(NamedTuple):
    """Parameters that carry the strength of the inner attack, so that one compiled program serves all strengths.

    f does not depend on the strength: training leaves it as it is.

    Attributes:
        weights: θ.
        strength: η S of :data:`FLOW`, pixel²/logits²; ε of :data:`BALL`, pixels.
    """

    weights: Tree
    strength: jax.Array


def _strength(parameters: Armed | Expanded) -> jax.Array:
    armed: Armed = parameters.centre if isinstance(parameters, Expanded) else parameters
    return armed.strength


def flow(steps: int) -> InnerAttack:
    """The inner flow of ``inner_attacks.flow_attack``, of the strength that :class:`Armed` parameters carry."""

    def attack(apply: Apply, parameters: Tree, images: jax.Array, targets: jax.Array, time: jax.Array) -> jax.Array:
        return flow_attack(_strength(parameters), steps=steps)(apply, parameters, images, targets, time)

    return attack


def ball(steps: int) -> InnerAttack:
    """PGD on ½‖f − y‖² in an ℓ2 ball around the image, without a box: normalised gradient steps of ε / 4.

    Args:
        steps: of the attack.

    Returns:
        The attack, with ε from :class:`Armed` parameters; it starts at the image itself, so that training is a flow.
    """

    def lengths(points: jax.Array) -> jax.Array:
        return jnp.sqrt((points**2).sum(axis=tuple(range(1, points.ndim)), keepdims=True)) + 1e-30

    def attack(apply: Apply, parameters: Tree, images: jax.Array, targets: jax.Array, time: jax.Array) -> jax.Array:
        radius = _strength(parameters)

        def step(_: int, change: jax.Array) -> jax.Array:
            found, pullback = jax.vjp(lambda x: apply(parameters, x), images + change)
            slope = pullback(found - targets)[0]
            after = change + radius / 4 * slope / lengths(slope)
            inside: jax.Array = after * jnp.minimum(1.0, radius / lengths(after))
            return inside

        last: jax.Array = images + jax.lax.fori_loop(0, steps, step, jnp.zeros_like(images))
        return last

    return attack


@partial(jax.jit, static_argnames=("apply", "attack"))
def _descend(
    state: Tree,
    images: jax.Array,
    targets: jax.Array,
    rate: Any,
    steps: Any,
    *,
    apply: Apply,
    attack: InnerAttack,
) -> Tree:
    """Parameters after a number of steps of gradient descent on attacked images."""

    def step(_: Any, leaves: Tree) -> Tree:
        attacked = jax.lax.stop_gradient(attack(apply, leaves, images, targets, jnp.zeros(())))
        found, pullback = jax.vjp(lambda inner: apply(inner, attacked), leaves)
        return moved(leaves, pullback(targets - found)[0], rate)

    return jax.lax.fori_loop(0, steps, step, state)


@lru_cache(maxsize=16)
def _functions(spec: Architecture, shape: tuple[int, int, int], classes: int) -> tuple[Any, Apply, Apply]:
    """Draw, f and its linearisation in θ, of :class:`Armed` parameters; the same objects for all networks of a spec."""
    init, apply = finite_network(spec, shape, classes)

    def armed(parameters: Armed, images: jax.Array) -> jax.Array:
        return apply(parameters.weights, images)

    return init, armed, linear_in_parameters(armed)


@lru_cache(maxsize=4)
def attack_of(kind: str, steps: int) -> InnerAttack:
    """``flow`` or ``ball`` of a number of steps, the same object each time, so that programs are shared."""
    return {"flow": flow, "ball": ball}[kind](steps)


@dataclass(frozen=True, kw_only=True)
class NetworkLab:
    """A random network, what it learns and where it is looked at.

    Attributes:
        spec: with the width.
        images: X, (n, H, W, C).
        targets: Y, (n, c).
        test: x, (m, H, W, C).
        key: of the parameters.
        moments: t, ascending, in units of :attr:`unit_time`.
    """

    spec: Architecture
    images: np.ndarray
    targets: np.ndarray
    test: np.ndarray
    key: jax.Array
    moments: np.ndarray

    @property
    def _shape(self) -> tuple[int, int, int]:
        return int(self.images.shape[1]), int(self.images.shape[2]), int(self.images.shape[3])

    @cached_property
    def kappa(self) -> np.ndarray:
        """κ(x) of X, (n,), logits²/pixel²."""
        return kappa(self.spec, self.images).values

    @cached_property
    def kernels(self) -> tuple[np.ndarray, np.ndarray]:
        """Θ(X, X), (n, n), and Θ(x, X), (m, n), at infinite width; float64."""
        engine = make_engine(self.spec, self._shape, engine="neural_tangents", dtype="float64")
        return np.asarray(engine.tile_symmetric(self.images)), np.asarray(engine.tile(self.test, self.images))

    @property
    def unit_time(self) -> float:
        """1 / mean diagonal of Θ at infinite width, 1/logits²."""
        return float(1 / np.diag(self.kernels[0]).mean())

    @property
    def times(self) -> np.ndarray:
        """t, (T,), 1/logits²."""
        return np.asarray(self.moments, dtype=np.float64) * self.unit_time

    def fastest(self, hastening: float) -> float:
        """λmax(Ξ'^½ΘΞ'^½), logits², of the network at its start or at infinite width, whichever is larger.

        Args:
            hastening: κηS.

        Returns:
            The rate that limits steps.
        """
        inner = InnerFlow(ark=self.own.ark, exposure=hastening / float(self.kappa.mean()))
        limit = float(np.linalg.eigvalsh(self.kernels[0])[-1]) * math.exp(hastening)
        return max(limit, float(spectrum(self.own.net, inner, 1.0)[-1]))

    @cached_property
    def weights(self) -> Tree:
        """θ_0, float64."""
        init, _, _ = _functions(self.spec, self._shape, self.targets.shape[1])
        return init(self.key)

    @cached_property
    def own(self) -> FrozenNetwork:
        """The network's own Θ, ARK and f_0."""
        _, apply, _ = _functions(self.spec, self._shape, self.targets.shape[1])
        return freeze(apply, Armed(self.weights, jnp.zeros(())), self.images, self.targets, self.test)

    def trained(
        self,
        linear: bool,
        attack: InnerAttack = no_attack,
        *,
        strength: float = 0.0,
        hastening: float = 0.0,
        refine: int = 1,
    ) -> np.ndarray:
        """Training by gradient flow.

        Args:
            linear: of the linearisation in θ; else of the network itself.
            attack: :func:`attack_of`, or none.
            strength: of the attack, in its own unit.
            hastening: κηS, which makes training faster by its exponential; the length of steps depends on it.
            refine: steps are shorter by this factor.

        Returns:
            Outputs on test points, then on training points, (T, m + n, c).
        """
        _, apply, linearised = _functions(self.spec, self._shape, self.targets.shape[1])
        start = Armed(self.weights, jnp.asarray(strength, jnp.float64))
        return self._along(
            linearised if linear else apply,
            expanded(start) if linear else start,
            attack,
            rate=self.fastest(hastening),
            refine=refine,
        )

    def _along(self, apply: Apply, state: Tree, attack: InnerAttack, *, rate: float, refine: int) -> np.ndarray:
        """Short steps first, then long ones; these attacks do not change with t, so that time may start anew."""
        early = int((self.times * rate <= EARLY).sum())
        points = np.concatenate([self.test, self.images])
        parts, begin = [], 0.0
        for times, step in ((self.times[:early], EARLY_STEP), (self.times[early:], LATE_STEP)):
            if len(times):
                run = train(
                    apply,
                    state,
                    self.images,
                    self.targets,
                    times=list(times - begin),
                    step=step / rate / refine,
                    attack=attack,
                )
                state, begin = run.parameters[-1], float(times[-1])
                parts.append(outputs_along(apply, run, points))
        return np.concatenate(parts)

    def descended(self, attack: InnerAttack, *, strength: float, share: float) -> tuple[np.ndarray, np.ndarray]:
        """Training by gradient descent in place of the flow.

        Args:
            attack: :func:`attack_of`.
            strength: η S, pixel²/logits².
            share: learning rate as a share of 2/λmax(Ξ'^½ΘΞ'^½), the largest stable one of the frozen network.

        Returns:
            Training times that whole steps reach, one near each of :attr:`times`, and outputs there.
        """
        _, apply, _ = _functions(self.spec, self._shape, self.targets.shape[1])
        inner = InnerFlow(ark=self.own.ark, exposure=strength)
        rate = share * 2 / float(spectrum(self.own.net, inner, 1.0)[-1])
        counts = np.maximum(1, np.round(self.times / rate)).astype(int)
        images, targets = jnp.asarray(self.images), jnp.asarray(self.targets)
        state, kept = Armed(self.weights, jnp.asarray(strength, jnp.float64)), []
        for steps in np.diff(counts, prepend=0):
            state = _descend(state, images, targets, rate, int(steps), apply=apply, attack=attack)
            kept.append(state)
        run = Trained(times=list(counts * rate), parameters=kept)
        return counts * rate, outputs_along(apply, run, np.concatenate([self.test, self.images]))

    def perturbation(self, attack: InnerAttack, strength: float) -> float:
        """Mean over X of ‖x_S − x‖ / ‖x − ½‖ in ℓ2 at the start of training, without unit."""
        _, apply, _ = _functions(self.spec, self._shape, self.targets.shape[1])
        armed = Armed(self.weights, jnp.asarray(strength, jnp.float64))
        images, targets = jnp.asarray(self.images), jnp.asarray(self.targets)
        seen = np.asarray(jax.jit(attack, static_argnums=0)(apply, armed, images, targets, jnp.zeros(())))
        change, size = (np.linalg.norm(part.reshape(len(seen), -1), axis=1) for part in (seen - images, images - 0.5))
        return float((change / size).mean())

    def frozen(self, exposure: float, times: np.ndarray | None = None) -> np.ndarray:
        """The closed form with both Jacobians frozen.

        Args:
            exposure: η S, pixel²/logits².
            times: t, 1/logits²; None: :attr:`times`.

        Returns:
            Outputs as of :meth:`trained`.
        """
        inner = InnerFlow(ark=self.own.ark, exposure=exposure)
        return self._solved(self.own.net, inner, self.own.rows, self.times if times is None else times)

    def infinite(self, exposure: float) -> np.ndarray:
        """The closed form with Θ and κ of infinite width, from the network's own f_0."""
        gram, rows = self.kernels
        net = LinearisedNetwork(gram=gram, targets=self.targets, initial=self.own.net.initial)
        return self._solved(net, InnerFlow(ark=self.kappa, exposure=exposure), rows, self.times)

    def _solved(self, net: LinearisedNetwork, inner: InnerFlow, rows: np.ndarray, times: np.ndarray) -> np.ndarray:
        coefficients = closed_form(net, inner, times).coefficients
        on_test = outputs(rows, coefficients, self.own.initial)
        on_train = outputs(net.gram, coefficients, net.targets + net.residual)
        return np.concatenate([on_test, on_train], axis=1)
