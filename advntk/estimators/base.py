"""What the classifiers share: arrays in, a predictor of one of the suite's methods, labels out.

Each ``fit`` runs the code that the workflow runs, on arrays instead of files: the same images, validation images,
options and seed give the same predictor. Images are (n, H, W, C) in [0, 1]; rows (n, d) may have any finite range.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from advntk.attacks.named import NamedAttack
from advntk.certificates.cascade import Certificates
from advntk.foundation import files, registry
from advntk.foundation.architecture import Activation, Architecture
from advntk.foundation.arrays import SLACK, unchecked_values
from advntk.foundation.errors import ConfigError, InputError
from advntk.foundation.options import Compute, Device, validated
from advntk.foundation.predictor import Predictor
from advntk.foundation.threat import Norm, ThreatModel
from advntk.ingredients.grams import build_gram
from advntk.ingredients.images import SplitSizes
from advntk.ingredients.splits import Part, Split, stratified
from advntk.learning.method import METHODS, Fit, Method, Saved, Setting, Task
from advntk.measuring.benchmark import certify
from advntk.measuring.logits import finite_logits

FLOATS = [np.float64, np.float32]
MARGIN = {"loss": "margin", "keep": "best"}
"""Options of PGD that :meth:`robust_score` takes by default: on the margin, each image at its worst point."""


@dataclass(kw_only=True, eq=False, repr=False)
class Classifier(ClassifierMixin, BaseEstimator):
    """What the classifiers share: arrays in, a predictor of one of the suite's methods, labels out."""

    family: str = "mlp"
    depth: int = 3
    activation: Activation = "relu"
    sigma_w: float = 1.76
    sigma_b: float = 0.18
    image_shape: tuple[int, int, int] | None = None
    value_range: tuple[float, float] | None = None
    device: Device = "auto"
    random_state: Any = 0

    _method: ClassVar[str]
    _given: ClassVar[tuple[str, ...]]
    """Parameters that are options of the method."""
    _needs_val: ClassVar[bool] = True

    def _options(self, split: Split) -> dict[str, Any]:
        """Options of the method, as a configuration writes them."""
        return {name: getattr(self, name) for name in self._given}

    @property
    def _entry(self) -> Method:
        entry: Method = registry.get(METHODS, self._method)
        return entry

    def __sklearn_tags__(self) -> Any:
        """The tags of a classifier of dense arrays."""
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = False
        return tags

    def _rows(self, X: Any) -> tuple[np.ndarray, tuple[int, int, int] | None]:
        """What is not to be fitted on, as rows (n, d), and the (H, W, C) that it came in."""
        X, shape = _flat(X)
        return validate_data(self, X, reset=False, dtype=FLOATS), shape

    def _unit(self, rows: np.ndarray) -> np.ndarray:
        """Rows as images (n, H, W, C), float32, with ``value_range_`` mapped to [0, 1]."""
        low, high = self.value_range_
        if self._range_given:
            outside = rows[(rows < low - SLACK * (high - low)) | (rows > high + SLACK * (high - low))]
            if outside.size:
                raise InputError(
                    f"values from {rows.min():g} to {rows.max():g}, not in [{low:g}, {high:g}]",
                    where=type(self).__name__,
                    remedy="divide grey levels 0 to 255 by 255, or give value_range",
                )
        if (low, high) != (0.0, 1.0):
            rows = (rows - low) / (high - low)
        return np.ascontiguousarray(rows, dtype=np.float32).reshape(-1, *self.image_shape_)

    def _set_geometry(self, rows: np.ndarray, shape: tuple[int, int, int] | None) -> None:
        """Learn ``image_shape_`` and ``value_range_``."""
        d = rows.shape[1]
        chosen = shape or self.image_shape or (1, d, 1)
        if len(chosen) != 3 or int(np.prod(chosen)) != d:
            raise InputError(f"image_shape {chosen} is no (H, W, C) of {d} values", where=type(self).__name__)
        self.image_shape_ = (int(chosen[0]), int(chosen[1]), int(chosen[2]))
        self._range_given = self.value_range is not None or shape is not None or self.image_shape is not None
        if self.value_range is not None and np.shape(self.value_range) != (2,):
            raise InputError(f"value_range {self.value_range} is not (low, high)", where=type(self).__name__)
        low, high = self.value_range or ((0.0, 1.0) if self._range_given else (float(rows.min()), float(rows.max())))
        if not (np.isfinite([low, high]).all() and low <= high) or (self._range_given and low == high):
            raise InputError(f"value_range {self.value_range} is no range", where=type(self).__name__)
        self.value_range_ = (float(low), float(high) if high > low else float(low) + 1.0)

    def fit(self, X: Any, y: Any, X_val: Any = None, y_val: Any = None) -> Self:
        """Train the predictor.

        Args:
            X: images (n, H, W, C) in [0, 1], or rows (n, d).
            y: labels of any kind, (n,).
            X_val: images that the method chooses on (early stopping, ridge, checkpoints; Adv-NTK learns from them). By
                default ``validation_fraction`` of ``X`` is held out for it, in the classes' shares.
            y_val: their labels.

        Returns:
            The classifier.

        Raises:
            InputError: labels of one class only, validation labels that ``y`` does not have, values out of range.
        """
        X, shape = _flat(X)
        rows, y = validate_data(self, X, y, dtype=FLOATS)
        check_classification_targets(y)
        self.classes_, labels = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise InputError("the labels are of one class", where=type(self).__name__, remedy="give 2 classes or more")
        self._set_geometry(rows, shape)
        self.seed_ = self._seed()
        images = self._unit(rows)
        held: tuple[np.ndarray, np.ndarray] = images[:0], labels[:0]
        if X_val is not None:
            held = self._validation(X_val, y_val)
        elif self._needs_val:
            chosen = self._held_out(labels)
            held = images[chosen], labels[chosen]
            images, labels = np.delete(images, chosen, axis=0), np.delete(labels, chosen)
        arrays = {"images": images, "labels": labels, "val_images": held[0], "val_labels": held[1]}
        split = self._split(_part(images, labels), _part(*held), digest=files.sha256_of_arrays(arrays))
        with tempfile.TemporaryDirectory(prefix="advntk-") as folder:
            fitted, task = self._train(split, Path(folder))
        self.checkpoints_ = fitted.checkpoints
        self.training_ = fitted.training
        self._arrays = fitted.arrays
        self._task_options = task.options.model_dump(mode="json")
        self._spec, self._checkpoint = task.spec, self._wanted_checkpoint()
        # a kernel predictor needs its training images, a network does not
        part = split.training(task.images) if self._entry.kind == "kernel" else split.opt.first(0)
        self._training_images = part.pixels
        self._loaded = self._load()
        return self

    def _seed(self) -> int:
        if isinstance(self.random_state, int | np.integer):
            if self.random_state < 0:
                raise InputError(f"random_state {self.random_state} is negative", where=type(self).__name__)
            return int(self.random_state)
        return int(check_random_state(self.random_state).randint(2**31 - 1))

    def _held_out(self, labels: np.ndarray) -> np.ndarray:
        """Indices of the validation images; every class keeps an image to train on."""
        if not 0 < self.validation_fraction < 1:
            raise InputError(f"validation_fraction {self.validation_fraction} is not between 0 and 1")
        count = max(1, round(self.validation_fraction * len(labels)))
        chosen = stratified(labels, count, np.random.default_rng([self.seed_, 1]))
        left = np.delete(labels, chosen)
        if len(np.unique(left)) < len(self.classes_):
            raise InputError(
                f"{len(labels)} images are too few to hold {count} of them out",
                where=type(self).__name__,
                remedy="give more images, or validation images of their own as X_val and y_val",
            )
        return chosen

    def _validation(self, X_val: Any, y_val: Any) -> tuple[np.ndarray, np.ndarray]:
        rows, shape = self._rows(X_val)
        if shape is not None and shape != self.image_shape_:
            raise InputError(f"X_val has images {shape}, not {self.image_shape_}", where=type(self).__name__)
        given = np.asarray(y_val)
        if given.shape != (len(rows),):
            raise InputError(f"y_val has shape {given.shape} for {len(rows)} images", where=type(self).__name__)
        if unknown := sorted(set(given.tolist()) - set(self.classes_.tolist()), key=repr):
            raise InputError(f"y_val has labels that y lacks, such as {unknown[0]!r}", where=type(self).__name__)
        return self._unit(rows), np.searchsorted(self.classes_, given)

    def _split(self, opt: Part, val: Part, *, digest: str) -> Split:
        return Split(
            dataset="arrays",
            seed=self.seed_,
            classes=len(self.classes_),
            hash=digest,
            opt=opt,
            val=val,
            test=opt.first(0),
        )

    def _architecture(self) -> Architecture:
        registry.get(registry.FAMILIES, self.family)  # raises ConfigError for an unknown name
        return validated(
            Architecture,
            {
                "family": self.family,
                "depth": self.depth,
                "activation": self.activation,
                "sigma_w": self.sigma_w,
                "sigma_b": self.sigma_b,
                **({"width": self.width} if hasattr(self, "width") else {}),
            },
            type(self).__name__,
        )

    def _compute(self) -> Compute:
        return validated(
            Compute,
            {"device": self.device, "kernel_engine": getattr(self, "kernel_engine", "auto")},
            type(self).__name__,
        )

    def _train(self, split: Split, folder: Path) -> tuple[Fit, Task]:
        entry, spec, compute = self._entry, self._architecture(), self._compute()
        options = validated(entry.options, self._options(split), type(self).__name__)
        self._wanted_checkpoint()
        threat = _threat(getattr(self, "norm", "linf"), getattr(self, "eps255", 0.0), type(self).__name__)
        gram = None
        if entry.kind == "kernel":
            gram = folder / "gram.npy"
            build_gram(split, spec, images=entry.images, out=gram, compute=compute, threads=1)
        task = Task(
            split=split,
            images=entry.images,
            spec=spec,
            threat=threat,
            options=options,
            seed=self.seed_,
            compute=compute,
            gram=gram,
            workdir=folder,
        )
        if problem := self._problem(options, task):
            raise ConfigError(problem, where=type(self).__name__)
        return entry.fit(task), task

    def _problem(self, options: Any, task: Task) -> str | None:
        """What the method says against its options here."""
        n_opt, n_val = len(task.split.opt), len(task.split.val)
        if not self._needs_val:
            return None
        sizes = SplitSizes.model_construct(n_opt=n_opt, n_val=n_val)
        return self._entry.check(options, Setting(spec=task.spec, images=task.images, sizes=sizes))

    @property
    def predictor_(self) -> Predictor:
        """The trained predictor, as attacks take it: images (m, H, W, C) in [0, 1] → logits (m, classes)."""
        check_is_fitted(self, "classes_")
        if "_loaded" not in self.__dict__:
            self._loaded = self._load()
        loaded: Predictor = self._loaded
        return loaded

    def _load(self) -> Predictor:
        images = self._training_images
        part = _part(images, np.zeros(len(images)))
        saved = Saved(
            split=self._split(part, part.first(0), digest=""),
            images="opt",
            spec=self._spec,
            options=self._task_options,
            seed=self.seed_,
            arrays=self._arrays,
            compute=self._compute(),
        )
        return self._entry.load(saved, self._checkpoint)

    def _wanted_checkpoint(self) -> str:
        known = self._entry.checkpoints
        wanted = getattr(self, "checkpoint", known[0])
        if wanted not in known:
            raise ConfigError(f"no checkpoint '{wanted}'", where=type(self).__name__, remedy=f"give {', '.join(known)}")
        return str(wanted)

    def _images(self, X: Any) -> np.ndarray:
        check_is_fitted(self, "classes_")
        rows, shape = self._rows(X)
        if shape is not None and shape != self.image_shape_:
            raise InputError(f"images are {shape}, trained on {self.image_shape_}", where=type(self).__name__)
        return self._unit(rows)

    def logits(self, X: Any) -> np.ndarray:
        """Outputs of the network, one column a class of ``classes_``, (n, classes)."""
        images = self._images(X)
        with unchecked_values():
            return np.asarray(self.predictor_.logits(images), dtype=np.float64)

    def decision_function(self, X: Any) -> np.ndarray:
        """Logits (n, classes); of two classes their difference (n,), positive for the second one."""
        logits = self.logits(X)
        difference: np.ndarray = logits[:, 1] - logits[:, 0]
        return difference if logits.shape[1] == 2 else logits

    def predict(self, X: Any) -> np.ndarray:
        """Labels, of the kind that ``fit`` was given, (n,)."""
        chosen = self.logits(X).argmax(axis=1)
        labels: np.ndarray = self.classes_[chosen]
        return labels

    def robust_score(
        self,
        X: Any,
        y: Any,
        *,
        eps255: float = 8.0,
        norm: Norm = "linf",
        attack: str = "pgd",
        attack_options: dict[str, Any] | None = None,
        seed: int = 0,
    ) -> float:
        """Share of examples that are classified right unperturbed and under an attack: robust accuracy.

        An upper bound of the true one, as any attack may miss a perturbation. For networks and kernels alike
        ``attack="autoattack"`` is the strongest that the suite has.

        Args:
            X: images (n, H, W, C) in [0, 1], or rows (n, d) in the range of the training rows.
            y: labels, (n,).
            eps255: radius, in 1/255 of ``value_range_``.
            norm: of the ball: linf, l2 or l1.
            attack: an entry of ``advntk list attacks``.
            attack_options: of the attack, over its defaults; ``pgd`` takes the loss ``margin`` at the worst point
                found, if not told otherwise.
            seed: of the attack.

        Returns:
            Robust accuracy in [0, 1].

        Raises:
            ConfigError: the attack violates the threat model, or an option is wrong.
            InputError: not one label for each image, labels of another kind than in ``fit``, or rows outside the range
                of the training rows: an attack has to know the box of valid values.
        """
        images, labels = self._examples(X, y, "robust_score")
        given = {**(MARGIN if attack == "pgd" else {}), **(attack_options or {})}
        named = NamedAttack.of(attack, given, kind=attack, where="attack_options")
        if not named.entry.inside_threat_model:
            raise ConfigError(f"'{attack}' violates the threat model", where="robust_score", remedy="take pgd, say")
        threat = _threat(norm, eps255, "robust_score")
        known = np.isin(labels, self.classes_)
        images, truth = images[known], np.searchsorted(self.classes_, labels[known])
        found = named.entry.run(self.predictor_, images, truth, options=named.options, threat=threat, seed=seed)
        clean, attacked = (
            finite_logits(self.predictor_, shown, what=what, where="robust_score")
            for shown, what in ((images, "clean"), (found.images, "attacked"))
        )
        robust = (clean.argmax(axis=1) == truth) & found.withstood(attacked, truth)
        return float(robust.sum() / len(labels))

    def certify(self, X: Any, y: Any, *, eps255: float = 8.0, **settings: Any) -> Certificates:
        """:func:`advntk.certify` of examples as :meth:`robust_score` takes them: ReLU MLPs of infinite width only."""
        images, labels = self._examples(X, y, "certify")
        return certify(self, images, labels, eps255=eps255, **settings)

    def _examples(self, X: Any, y: Any, where: str) -> tuple[np.ndarray, np.ndarray]:
        """Images in the box and their labels, checked."""
        images, labels = self._images(X), np.asarray(y)
        if labels.shape != (len(images),):
            raise InputError(f"y has shape {labels.shape} for {len(images)} images", where=where)
        if images.size and not (images.min() >= -SLACK and images.max() <= 1 + SLACK):
            raise InputError(
                "rows outside the range of the training rows, which is taken for the box of valid values",
                where=where,
                remedy="set value_range",
            )
        if (labels.dtype.kind in "OSU") != (self.classes_.dtype.kind in "OSU"):
            raise InputError(f"labels of another kind than {self.classes_[0]!r}", where=where)
        return images, labels

    def __getstate__(self) -> dict[str, Any]:
        """Plain arrays and parameters; the predictor is made anew from them."""
        state: dict[str, Any] = dict(super().__getstate__())
        state.pop("_loaded", None)
        return state


def _flat(X: Any) -> tuple[Any, tuple[int, int, int] | None]:
    """Images (n, H, W, C) as rows, and (H, W, C); anything else as it is."""
    if getattr(X, "ndim", 2) != 4:
        return X, None
    return np.reshape(X, (len(X), -1)), (int(X.shape[1]), int(X.shape[2]), int(X.shape[3]))


def _threat(norm: Norm, eps255: float, where: str) -> ThreatModel:
    return validated(ThreatModel, {"norm": norm, "eps255": eps255}, where)


def _part(images: np.ndarray, labels: Any) -> Part:
    labels = np.asarray(labels, dtype=np.int64)
    return Part(pixels=images, labels=labels, indices=np.arange(len(labels)))
