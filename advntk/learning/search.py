"""Choosing among kernel predictors on val, each measured on no more images than it takes to fall behind.

Successive halving: all candidates are attacked on the first ``ROUNDS[0]`` of the selecting images, the better half of
them on the next ones too, and so on. An image leaves the attack of a candidate once it is misclassified, and never
enters it if it is misclassified unperturbed. Candidates that reach the last image within ``SLACK`` images of the best
are attacked to the end, and decide by :func:`merit`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from advntk.attacks.attack import to_numpy
from advntk.attacks.entries.pgd import random_starts
from advntk.foundation.attack_options import AttackOptions
from advntk.foundation.progress import Progress
from advntk.foundation.threat import ThreatModel
from advntk.ingredients.splits import Part
from advntk.learning.grid_options import GridOptions
from advntk.learning.kernel_predictor import KernelPredictor, attacked_row, merit
from advntk.learning.method import Row, Task
from advntk.learning.randomness import stream_seed

ROUNDS = (64, 128, 256)
"""Images after which the worse half of the candidates is dropped."""
LEAST = 3
"""Candidates that no round goes below."""
SLACK = 1
"""Images by which two measures of a candidate may differ: the worst iterate of PGD, and its last."""
SHARES = (0.25, 0.5)
"""Shares of a training after which candidates are dropped; after the last one is left."""
BATCH = 64
"""Images attacked at once; images that wait replace those that leave, so that batches stay full."""


@dataclass(frozen=True, kw_only=True)
class Selection:
    """The attack that candidates are compared under.

    Attributes:
        part: the selecting images of val.
        starts: where PGD begins, before projection, (m, H, W, C); the same for all candidates.
        attack: options of PGD.
        threat: ball and box.
    """

    part: Part
    starts: np.ndarray
    attack: AttackOptions
    threat: ThreatModel

    @classmethod
    def of(cls, task: Task) -> Selection:
        """What a task's options ask for, under a seed that evaluation does not use."""
        part, attack = task.monitors["val"], task.options.attack
        seed = stream_seed(task.seed, "select")
        starts = random_starts(part.images, task.threat, seed) if attack.random_start else part.images
        return cls(part=part, starts=starts, attack=attack, threat=task.threat)

    def __len__(self) -> int:
        return len(self.part)

    @property
    def rounds(self) -> list[int]:
        """Images after which candidates are dropped."""
        return [images for images in ROUNDS if images < len(self)]

    @property
    def few(self) -> int:
        """Images of the last of these rounds, or all."""
        return [len(self), *self.rounds][-1]


class Trial:
    """One predictor under PGD, on as many images and for as many steps as were asked for.

    Args:
        predictor: the candidate.
        selection: images and attack.
    """

    def __init__(self, predictor: KernelPredictor, selection: Selection) -> None:
        self.predictor, self.selection = predictor, selection
        self._clean = np.zeros(0, dtype=bool)
        self._unbroken = np.zeros(0, dtype=bool)
        self._done = np.zeros(0, dtype=int)
        self._points = selection.starts[:0]
        self._logits = np.zeros((0, predictor.classes))
        self._known = np.zeros(0, dtype=bool)

    @property
    def images(self) -> int:
        """How many of the images were attacked."""
        return len(self._done)

    def robust(self, images: int) -> int:
        """How many of the first images are classified correctly: unperturbed, and at the start and all iterates."""
        if images > self.images:
            self._take(images)
            self._attack(np.flatnonzero(self._unbroken), stop_when_broken=True)
        return int(self._unbroken[:images].sum())

    def row(self, step: float) -> Row:
        """What :func:`advntk.learning.kernel_predictor.accuracy_row` measures, from where the attack stands."""
        self.robust(len(self.selection))
        self._attack(np.arange(self.images), stop_when_broken=False)
        return attacked_row(self._clean, self._logits, self.selection.part.labels, name="val", step=step)

    def _take(self, images: int) -> None:
        """Take in images up to a number of them."""
        new = slice(self.images, images)
        clean, labels = self.selection.part.images[new], self.selection.part.labels[new]
        right = self.predictor.logits(clean).argmax(axis=1) == labels
        points = np.asarray(self.selection.threat.project(self.selection.starts[new], clean))
        self._clean = np.concatenate([self._clean, right])
        self._unbroken = np.concatenate([self._unbroken, right])
        self._done = np.concatenate([self._done, np.zeros(len(clean), dtype=int)])
        self._points = np.concatenate([self._points, points])
        self._logits = np.concatenate([self._logits, np.zeros((len(clean), self.predictor.classes))])
        self._known = np.concatenate([self._known, np.zeros(len(clean), dtype=bool)])

    def _attack(self, which: np.ndarray, *, stop_when_broken: bool) -> None:
        """Take the steps of PGD that are left, and look at the last point; waiting images replace those that leave."""
        part, attack, threat = self.selection.part, self.selection.attack, self.selection.threat
        size = attack.step_ratio * threat.radius
        self.predictor.kernel.reserve(min(BATCH, len(part)))
        waiting = which[self._done[which] < attack.steps]
        active = waiting[:0]
        while len(active) or len(waiting):
            room = BATCH - len(active)
            active, waiting = np.concatenate([active, waiting[:room]]), waiting[room:]
            points, labels = self._points[active], part.labels[active]
            native = self.predictor.native(points), self.predictor.native(labels)
            logits, _, gradient = self.predictor.loss_and_gradient(*native, attack.loss)
            step = size * threat.steepest(to_numpy(gradient), at=points)
            self._points[active] = threat.project(points + step, part.images[active])
            self._unbroken[active] &= to_numpy(logits).argmax(axis=1) == labels
            self._done[active] += 1
            going = self._unbroken[active] if stop_when_broken else np.ones(len(active), dtype=bool)
            active = active[going & (self._done[active] < attack.steps)]
        last = np.flatnonzero((self._done == attack.steps) & ~self._known)
        self._logits[last] = self.predictor.logits(self._points[last])
        self._unbroken[last] &= self._logits[last].argmax(axis=1) == part.labels[last]
        self._known[last] = True


class Contest:
    """Candidates, each with its trial so far.

    Args:
        predictor_of: the predictor of a candidate.
        selection: what they meet.
        progress: of the search.
    """

    def __init__(
        self, predictor_of: Callable[[float], KernelPredictor], selection: Selection, progress: Progress
    ) -> None:
        self.predictor_of, self.selection, self.progress = predictor_of, selection, progress
        self.rows: dict[float, Row] = {}
        self._trials: dict[float, Trial] = {}

    def robust(self, candidate: float, images: int) -> int:
        """How many of the first images withstand the attack; measured once."""
        if candidate not in self._trials:
            self._trials[candidate] = Trial(self.predictor_of(candidate), self.selection)
        trial = self._trials[candidate]
        new, found = images - trial.images, trial.robust(images)
        if new > 0:
            self.progress.advance(new, note=f"{candidate:.3g}: {found} of {images} robust")
        return found

    def close(self, candidates: list[float], images: int) -> list[float]:
        """Candidates that are at most ``SLACK`` of the first images behind the best."""
        most = max(self.robust(each, images) for each in candidates)
        return [each for each in candidates if self.robust(each, images) >= most - SLACK]

    def halve(self, candidates: list[float]) -> list[float]:
        """What successive halving leaves before the last round; of equal ones the smaller."""
        for images in self.selection.rounds:
            ranked = sorted(candidates, key=lambda each: (-self.robust(each, images), each))
            candidates = ranked[: kept(len(candidates))]
            self._trials = {each: self._trials[each] for each in candidates}
        return candidates

    def best(self, candidates: list[float]) -> float:
        """By :func:`merit` on all images; what cannot have the most robust accuracy is not attacked to the end."""
        close = self.close(candidates, len(self.selection))
        for each in close:
            if each not in self.rows:
                self.rows[each] = self._trials[each].row(each)
        return max(close, key=lambda each: merit(self.rows[each]))


def kept(count: int) -> int:
    """How many of so many candidates a round leaves."""
    return max(LEAST, -(-count // 2))


def images_in_all(count: int, images: int, halvings: int) -> int:
    """How many images a grid search attacks, summed over candidates, at most.

    Args:
        count: grid points.
        images: that select.
        halvings: of the spacing around the best point, two candidates each.

    Returns:
        The number.
    """
    total = 2 * halvings * images
    for before, limit in pairwise([0, *(limit for limit in ROUNDS if limit < images), images]):
        total += count * (limit - before)
        count = kept(count)
    return total


def grid_search(
    predictor_of: Callable[[float], KernelPredictor],
    selection: Selection,
    options: GridOptions,
    *,
    unit: float,
    what: str,
    least: float = 0.0,
) -> tuple[float, list[Row]]:
    """The best member of a family of predictors of one number.

    Args:
        predictor_of: the predictor of a number.
        selection: what candidates meet.
        options: extent and spacing of the grid.
        unit: of the numbers.
        what: name of the search, for progress.
        least: smaller numbers are not tried.

    Returns:
        The best number, and the rows of all that were attacked to the end on all selecting images, by number.
    """
    exponents: dict[float, float] = {}

    def numbers(*wanted: float) -> list[float]:
        found = {unit * 10.0**exponent: float(exponent) for exponent in wanted}
        found = {number: exponent for number, exponent in found.items() if number >= least}
        exponents.update(found)
        return list(found)

    grid = np.linspace(-options.decades, options.decades, options.count)
    spacing = grid[1] - grid[0]
    left = numbers(*grid)
    progress = Progress(what, images_in_all(len(left), len(selection), options.halvings), unit="images")
    contest = Contest(predictor_of, selection, progress)
    left = contest.halve(left)
    for _ in range(options.halvings):
        spacing /= 2
        best = contest.best(left)
        beside = [best, *numbers(exponents[best] - spacing, exponents[best] + spacing)]
        left = sorted({*left, *contest.close(beside, selection.few)})
    chosen = contest.best(left)
    return chosen, [contest.rows[number] for number in sorted(contest.rows)]


def stages(count: int) -> list[tuple[float, int]]:
    """When trainings that go on side by side are compared.

    Their number falls geometrically from ``count`` to 1; where it does not fall there is no comparison.

    Returns:
        Shares of the steps, and how many trainings are left after each.
    """
    found, before = [], count
    for index, share in enumerate(SHARES, 1):
        left = math.ceil(round(count ** (1 - index / len(SHARES)), 9))
        if left < before:
            found.append((share, left))
        before = left
    return found


def race(candidates: Sequence[float], steps: int, losses_of: Callable[[float, int], Sequence[float]]) -> float:
    """The length of a step that is left of trainings side by side, from which those of larger loss are dropped.

    The loss is the mean over the second half of the steps so far, of the same images for all candidates.

    Args:
        candidates: lengths of a step, each with a training of its own.
        steps: of a whole training.
        losses_of: trains with a length for so many steps, and gives the loss before each.

    Returns:
        The length.
    """
    left = list(candidates)
    for share, count in stages(len(left)):
        step = max(1, round(share * steps))
        loss = {each: float(np.mean(losses_of(each, step)[step // 2 : step])) for each in left}
        left = sorted(left, key=lambda each: (loss[each], each))[:count]
    return left[0]
