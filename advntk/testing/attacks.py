"""The contract of attacks: one check a property, and all of them for an entry."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from advntk.foundation import registry
from advntk.foundation.arrays import unchecked_values
from advntk.foundation.errors import NumericalError
from advntk.foundation.threat import ThreatModel
from advntk.ingredients.splits import Part
from advntk.testing.options import check_described, entry_of
from advntk.testing.predictors import PREDICTORS, Counting, NanOffTheData, digits_split, predictor_of

Images = np.ndarray
Attacker = Callable[..., Images]
"""(predictor, images, labels, threat, seed) → perturbed images."""
THREATS = {
    "linf": ThreatModel(norm="linf", eps255=16),
    "l2": ThreatModel(norm="l2", eps255=128),
    "l1": ThreatModel(norm="l1", eps255=510),
}
LINF = THREATS["linf"]
STRONG = ThreatModel(norm="linf", eps255=40)
"""A radius at which every attack breaks images: some give back the clean image where they fail."""


@dataclass(frozen=True)
class Case:
    """What an attack is tried on."""

    predictor: Any
    part: Part
    threat: ThreatModel = LINF

    def attacked(self, attack: Attacker, seed: int = 0) -> Images:
        """By an attack that gets copies of all that it could spoil."""
        return attack(self.predictor, self.part.images.copy(), self.part.labels.copy(), self.threat, seed)

    def random_start(self, seed: int = 0) -> Images:
        """A random point of the ball around each image."""
        offsets = self.threat.random_offsets(self.part.images.shape, np.random.default_rng([seed, 0]))
        found: Images = self.threat.project(self.part.images + offsets, self.part.images)
        return found

    def right(self, images: Images) -> int:
        """How many of the images are classified as their labels say."""
        with unchecked_values():  # a broken attack may leave the box
            return int((self.predictor.logits(images).argmax(axis=1) == self.part.labels).sum())


def check_inside(attack: Attacker, case: Case) -> None:
    """Float32 images within ball and box."""
    found = case.attacked(attack)
    assert found.dtype == np.float32, f"images have dtype {found.dtype}"
    assert found.shape == case.part.images.shape, f"images have shape {found.shape}"
    size = case.threat.size255(found, case.part.images).max()
    assert size <= case.threat.eps255 + 255e-6, f"a perturbation of {size}/255 leaves the ball of {case.threat.eps255}"
    assert found.min() >= 0, "an image leaves the box"
    assert found.max() <= 1, "an image leaves the box"


def check_inputs_untouched(attack: Attacker, case: Case) -> None:
    """Images and labels stay as they are."""
    images, labels = case.part.images.copy(), case.part.labels.copy()
    attack(case.predictor, images, labels, case.threat, 0)
    np.testing.assert_array_equal(images, case.part.images)
    np.testing.assert_array_equal(labels, case.part.labels)


def check_deterministic(attack: Attacker, case: Case) -> None:
    """The same images under the same seed."""
    np.testing.assert_array_equal(case.attacked(attack, seed=3), case.attacked(attack, seed=3))


def check_uses_its_seed(attack: Attacker, case: Case) -> None:
    """Other images under another seed."""
    assert np.abs(case.attacked(attack, seed=3) - case.attacked(attack, seed=4)).max() > 0, "the seed changes nothing"


def check_ignores_its_seed(attack: Attacker, case: Case) -> None:
    """The same images under all seeds."""
    np.testing.assert_array_equal(case.attacked(attack, seed=3), case.attacked(attack, seed=4))


def check_radius_zero(attack: Attacker, case: Case) -> None:
    """At radius 0 nothing changes."""
    nothing = replace(case, threat=ThreatModel(norm=case.threat.norm, eps255=0))
    found = nothing.attacked(attack)
    np.testing.assert_allclose(found, case.part.images, atol=1e-7)
    assert case.right(found) == case.right(case.part.images), "radius 0 changes the accuracy"


def check_not_weaker(attack: Attacker, case: Case, *, start: Images) -> None:
    """No more images are right than at the start."""
    found, before = case.right(case.attacked(attack)), case.right(start)
    assert found <= before, f"{found} images are right, of the start's {before}"


def check_stronger_than_noise(attack: Attacker, case: Case) -> None:
    """Fewer images are right than after noise of the same size."""
    found, noisy = case.right(case.attacked(attack)), case.right(case.random_start())
    assert found < noisy, f"{found} images are right, after noise {noisy}"


def check_fresh_gradients(attack: Attacker, case: Case, *, steps: int) -> None:
    """One gradient a step, each at a new point: all images of the case fit in one batch."""
    counting = Counting(case.predictor)
    replace(case, predictor=counting).attacked(attack)
    assert len(counting.points) == steps, f"{len(counting.points)} gradients in {steps} steps"
    for before, after in zip(counting.points, counting.points[1:], strict=False):
        assert np.abs(after - before).max() > 1e-4, "a gradient at an old point"


def check_nan_is_reported(name: str, options: Mapping[str, Any] | None = None, *, on_data: bool) -> None:
    """NaN logits, on the data or away from them, are an error, and neither robustness nor a success."""
    from advntk.measuring.evaluate import evaluate

    test = digits_split().test
    if on_data:
        part = test.first(12)
        known = part.images[1:]
    else:  # of class 0, which is what NumPy takes for the largest of ten NaN: they would pass for classified correctly
        zeros = np.flatnonzero(test.labels == 0)
        part = Part(pixels=test.pixels[zeros], labels=test.labels[zeros], indices=test.indices[zeros])
        known = part.images
    entry, chosen = entry_of(registry.ATTACKS, name, options)
    predictor = NanOffTheData(predictor_of("kernel-numba"), known)
    found = ""
    try:
        evaluate(predictor, part, attack=entry, options=chosen, threat=LINF, seed=0)
    except NumericalError as error:
        found = error.line()
    assert "NaN" in found, f"logits of NaN are not reported: {found or 'no error'}"


def attacker(name: str, options: Mapping[str, Any] | None = None) -> Attacker:
    """An attack of the registry as a plain function."""
    entry, chosen = entry_of(registry.ATTACKS, name, options)

    def attack(predictor: Any, images: Images, labels: np.ndarray, threat: ThreatModel, seed: int) -> Images:
        found: Images = entry.run(predictor, images, labels, options=chosen, threat=threat, seed=seed).images
        return found

    return attack


def check_attack(
    name: str, options: Mapping[str, Any] | None = None, *, random: bool = True, harmful: bool = True
) -> None:
    """All that every attack has to keep, on a numba kernel, a JAX kernel and a torch network.

    Args:
        name: of the entry.
        options: of the entry, such as cheap ones; what is left out has its default.
        random: whether the seed changes its images.
        harmful: whether it harms more than noise of the same size.
    """
    entry, _ = entry_of(registry.ATTACKS, name, options)
    check_described(entry.options, entry.description)
    attack, test = attacker(name, options), digits_split().test
    for kind in PREDICTORS:
        case = Case(predictor_of(kind), test.first(30))
        for threat in THREATS.values() if entry.inside_threat_model else ():
            check_inside(attack, replace(case, threat=threat))
        check_inputs_untouched(attack, case)
        strong = replace(case, threat=STRONG)
        check_deterministic(attack, strong)
        (check_uses_its_seed if random else check_ignores_its_seed)(attack, strong)
        check_radius_zero(attack, case)
        check_not_weaker(attack, case, start=case.part.images)
        if harmful:
            check_stronger_than_noise(attack, Case(predictor_of(kind), test))
    for on_data in (True, False):
        check_nan_is_reported(name, options, on_data=on_data)
