"""Training losses against independent forms in float64; resuming with what losses and techniques remember."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch.nn import functional

from advntk.foundation import registry
from advntk.foundation.at_options import AdversarialTrainingOptions
from advntk.foundation.attack_options import AttackOptions
from advntk.foundation.errors import ConfigError
from advntk.foundation.options import named_entries
from advntk.foundation.threat import ThreatModel
from advntk.learning import at_run
from advntk.learning.adversarial_training import TrainingData, adversarial_training
from advntk.learning.at_parts import Batch
from advntk.learning.at_run import Run
from advntk.learning.randomness import stream_seed
from tests.learning.small_training import (
    CLASSES,
    DECAY,
    EPS255,
    MLP,
    RATE,
    RATIO,
    RESNET,
    STEPS,
    images_and_labels,
    labelled,
    logits_of,
    options,
    run_of,
    seen_batches,
    trades_by_torch,
    weights,
)

pytestmark = pytest.mark.usefixtures("one_thread")

# ---- the losses, each written once more from its source ----


def mart_by_torch(logits, clean, labels, beta):
    """As the authors write it."""
    attacked = logits.softmax(1)
    last = torch.argsort(attacked, dim=1)[:, -2:]
    other = torch.where(last[:, -1] == labels, last[:, -2], last[:, -1])
    boosted = functional.cross_entropy(logits, labels, reduction="none")
    boosted = boosted + functional.nll_loss(torch.log(1.0001 - attacked), other, reduction="none")
    true = torch.gather(clean.softmax(1), 1, labels[:, None])[:, 0]
    robust = functional.kl_div(attacked.log(), clean.softmax(1), reduction="none").sum(1)
    return boosted + beta * robust * (1 - true)


def distillation_by_torch(logits, standard, robust, labels):
    """As the authors write it, T = 2."""
    terms = [functional.cross_entropy(logits, labels, reduction="none")]
    for teacher in (standard, robust):
        terms.append(functional.cross_entropy(logits / 2, (teacher / 2).softmax(1), reduction="none") * 2**2)
    return 0.3 * terms[0] + 0.1 * terms[1] + 0.6 * terms[2]


BY_SOURCE = {
    "squared_error": lambda logits, clean, labels: 0.5 * ((logits - torch.eye(CLASSES)[labels]) ** 2).sum(1),
    "torch_mse": lambda logits, clean, labels: ((logits - torch.eye(CLASSES)[labels]) ** 2).mean(1),
    "cross_entropy": lambda logits, clean, labels: functional.cross_entropy(logits, labels, reduction="none"),
    "trades": lambda logits, clean, labels: trades_by_torch(logits, clean, labels, 6.0),
    "temporal_ensembling": lambda logits, clean, labels: functional.cross_entropy(
        logits, labels, reduction="none"
    ),  # in a report
    "mart": lambda logits, clean, labels: mart_by_torch(logits, clean, labels, 5.0),
    "fat": lambda logits, clean, labels: functional.cross_entropy(logits, labels, reduction="none"),
    "gairat": lambda logits, clean, labels: functional.cross_entropy(logits, labels, reduction="none"),  # in a report
    "distillation": lambda logits, clean, labels: distillation_by_torch(logits, *TAUGHT, labels),
}


def fixed_logits(count=30):
    draw = torch.Generator().manual_seed(0)
    logits, clean = (3 * torch.randn(count, CLASSES, dtype=torch.float64, generator=draw) for _ in range(2))
    return logits, clean, torch.arange(count) % CLASSES


TAUGHT = [3 * torch.randn(30, CLASSES, dtype=torch.float64, generator=torch.Generator().manual_seed(s)) for s in (1, 2)]


@pytest.mark.parametrize("name", registry.names(registry.TRAINING_LOSSES))
def test_values_are_those_of_the_source(name):
    """On fixed logits, with the authors' weights as the defaults; and the gradients are those of the values."""
    logits, clean, labels = fixed_logits()
    loss = run_of(loss=name).loss
    standard, robust = TAUGHT
    loss.run.teachers = {"standard": lambda points: standard, "robust": lambda points: robust}
    images = torch.zeros(len(labels), 6, 6, 1, dtype=torch.float64)
    target = torch.eye(CLASSES, dtype=torch.float64)[labels]
    batch = Batch(indices=None, images=images, points=images, target=target)
    shown = clean if loss.uses_clean else None
    torch.testing.assert_close(
        loss.values(batch, logits, shown), BY_SOURCE[name](logits, clean, labels), rtol=1e-10, atol=1e-10
    )

    leaves = [one.clone().requires_grad_() for one in (logits, clean)]
    value = loss.values(batch, leaves[0], leaves[1] if loss.uses_clean else None).sum()
    slopes = torch.autograd.grad(value, leaves, allow_unused=True, materialize_grads=True)
    for which, slope in enumerate(slopes):
        for index in ((0, 0), (7, 3), (29, 4)):
            step = torch.zeros_like(logits)
            step[index] = 1e-6
            moved = [[one + (sign * step if place == which else 0) for place, one in enumerate((logits, clean))]
                     for sign in (1, -1)]  # fmt: skip
            above, below = (BY_SOURCE[name](*pair, labels).sum() for pair in moved)
            assert float(slope[index]) == pytest.approx(float(above - below) / 2e-6, abs=1e-6)


def test_the_hessian_of_a_loss_at_equal_logits_is_what_the_learning_rate_takes():
    target = torch.eye(CLASSES, dtype=torch.float64)[:1]
    image = torch.zeros(1, 6, 6, 1, dtype=torch.float64)
    batch = Batch(indices=None, images=image, points=image, target=target)
    for name in registry.names(registry.TRAINING_LOSSES):
        entry = registry.get(registry.TRAINING_LOSSES, name)
        if entry.curvature(CLASSES) is None:
            continue

        def at(logits, name=name):
            target_term = logits[None] - target
            return {
                "squared_error": lambda: 0.5 * (target_term**2).sum(),
                "torch_mse": lambda: (target_term**2).mean(),
            }.get(name, lambda: functional.cross_entropy(logits[None], target))()

        hessian = torch.autograd.functional.hessian(at, torch.zeros(CLASSES, dtype=torch.float64))
        assert float(torch.linalg.eigvalsh(hessian)[-1]) == pytest.approx(entry.curvature(CLASSES))
        # without a perturbation the loss is that function: clean and attacked logits move together
        loss, same = run_of(loss=name).loss, torch.linspace(-1, 1, CLASSES, dtype=torch.float64)[None]
        value = loss.values(batch, same, same if loss.uses_clean else None)
        assert float(value.sum()) == pytest.approx(float(at(same[0])))


def sign_ascent(net, images, start, raised):
    """PGD in ℓ∞, written once more."""
    radius = EPS255 / 255
    points = (images + start).clamp(images - radius, images + radius).clamp(0, 1)
    for _ in range(STEPS):
        leaf = points.clone().requires_grad_()
        (slope,) = torch.autograd.grad(raised(net(leaf)).sum(), leaf)
        points = (points + RATIO * radius * slope.sign()).clamp(images - radius, images + radius).clamp(0, 1)
    return points


def points_by_hand(run, name, images, labels):
    """The points that the source's attack finds, from the noise of this step."""
    noise = 0.001 * torch.from_numpy(
        np.random.default_rng([run.seed, run.step, at_run._STARTS]).standard_normal(images.shape)
    )
    natural = run.net(images).softmax(1)
    return sign_ascent(
        run.net,
        images,
        noise,
        {
            "trades": lambda logits: functional.kl_div(logits.log_softmax(1), natural, reduction="none"),
            "mart": lambda logits: functional.cross_entropy(logits, labels, reduction="none"),
        }[name],
    )


WHOLE = {"trades": trades_by_torch, "mart": mart_by_torch}


@pytest.mark.parametrize(("name", "beta"), [("trades", 6.0), ("mart", 5.0)])
def test_updates_are_the_authors(name, beta):
    """Two updates, attack and weights, whatever loss and start `attack` names: w ← w − ζ (∇ mean loss + λ w)."""
    attack = AttackOptions(loss="squared_error", steps=STEPS, step_ratio=RATIO, random_start=False)
    run = run_of(loss=name, attack=attack)
    for _ in range(2):
        indices = torch.from_numpy(run.batch_indices())
        images, labels = run.images[indices], run.target[indices].argmax(1)
        points = points_by_hand(run, name, images, labels)
        assert float((points - images).abs().max()) == pytest.approx(EPS255 / 255)
        parameters = [weight.requires_grad_() for weight in weights(run.net)]
        loss = WHOLE[name](
            logits_of(run.net, parameters, points), logits_of(run.net, parameters, images), labels, beta
        ).mean()
        slopes = torch.autograd.grad(loss, parameters)
        expected = [
            weight.detach() - RATE * (slope + DECAY * weight.detach())
            for weight, slope in zip(parameters, slopes, strict=True)
        ]
        assert float(run.update()) == pytest.approx(loss.item(), rel=1e-12)
        for weight, wanted in zip(run.net.parameters(), expected, strict=True):
            torch.testing.assert_close(weight.data, wanted, rtol=1e-10, atol=1e-12)


def test_trades_without_its_second_term_is_training_on_clean_images():
    run = run_of(loss={"name": "trades", "beta": 0.0})
    indices = torch.from_numpy(run.batch_indices())
    parameters = [weight.requires_grad_() for weight in weights(run.net)]
    loss = functional.cross_entropy(logits_of(run.net, parameters, run.images[indices]), run.target[indices])
    slopes = torch.autograd.grad(loss, parameters)
    run.update()
    for weight, old, slope in zip(run.net.parameters(), parameters, slopes, strict=True):
        torch.testing.assert_close(weight.data, (old - RATE * (slope + DECAY * old)).detach(), rtol=1e-10, atol=1e-12)


def test_temporal_ensembling_pulls_predictions_towards_their_running_mean():
    """Ten updates: s ← 0.9 s + 0.1 p before each attack once it began, and the loss at the points that were found."""
    run = run_of(loss={"name": "temporal_ensembling", "start": 0.2, "full": 0.4})
    seen, means = [], torch.zeros(40, CLASSES, dtype=torch.float64)
    original = run.loss.values
    run.loss.values = lambda batch, *rest: (seen.append((batch, rest[0])), original(batch, *rest))[1]
    for step in range(10):
        indices = torch.from_numpy(run.batch_indices())
        natural, labels = run.logits(run.images[indices]).softmax(1), run.target[indices].argmax(1)
        found = float(run.update())
        batch, logits = seen[-1]
        expected = functional.cross_entropy(logits, labels).item()
        if step >= 4:
            means[indices] = 0.9 * means[indices] + 0.1 * natural
            goal = means[indices] / means[indices].sum(1, keepdim=True)
            phase = max(0, 1 - (step - 4) / 4)
            expected += 300 * np.exp(-5 * phase**2) * functional.mse_loss(logits.softmax(1), goal).item()
            attacked = [value for shown, value in seen if shown.indices is batch.indices][:STEPS]
            assert len(attacked) == STEPS  # the attack raises the same loss
        assert found == pytest.approx(expected, rel=1e-9)
        assert torch.equal(batch.indices, indices)
        seen.clear()
    assert float(means.sum()) > 0


def start_of(run, images):
    """Where the attack of the next update begins, minus the images."""
    generator = np.random.default_rng([run.seed, run.step, at_run._STARTS])
    return torch.from_numpy(run.threat.random_offsets(tuple(images.shape), generator)).to(images)


@pytest.mark.parametrize("tau", [0, 1, 2])
def test_friendly_attacks_stop_after_the_first_error(tau):
    """PGD image by image: it ends where the image is misclassified and was so at τ iterates before."""
    run = run_of(loss={"name": "fat", "tau": tau, "rises": []})
    seen = seen_batches(run)
    stopped = 0
    for _ in range(6):
        (images, labels), radius = labelled(run), EPS255 / 255
        points = (images + start_of(run, images)).clamp(0, 1)
        for place in range(len(images)):
            point, label, left = points[place : place + 1].clone(), labels[place : place + 1], tau
            for _ in range(STEPS):
                leaf = point.clone().requires_grad_()
                logits = run.net(leaf)
                if logits.argmax(1) != label:
                    if left == 0:
                        stopped += 1
                        break
                    left -= 1
                (slope,) = torch.autograd.grad(functional.cross_entropy(logits, label), leaf)
                low, high = (images[place : place + 1] + sign * radius for sign in (-1, 1))
                point = (point + RATIO * radius * slope.sign()).clamp(low, high).clamp(0, 1)
            points[place] = point[0]
        run.update()
        torch.testing.assert_close(seen[-1][0].points, points, rtol=0, atol=1e-12)
    assert 0 < stopped < 60


def test_friendly_attacks_get_longer_along_the_training():
    run = run_of(loss="fat", steps=120)
    found = []
    for run.step in range(120):
        found.append(run.loss.tau)
    assert found == [0] * 50 + [1] * 40 + [2] * 30


def test_gairat_weights_images_by_the_steps_that_they_withstand():
    """The authors' weights, from the labels at the points before each step of PGD on the cross-entropy."""
    run = run_of(loss={"name": "gairat", "start": 0.1})
    seen, spread = seen_batches(run), 0.0
    for step in range(8):
        images, labels = labelled(run)
        right, start = torch.zeros(len(images), dtype=torch.float64), start_of(run, images)

        def raised(logits, right=right, labels=labels):
            right += logits.argmax(1) == labels
            return functional.cross_entropy(logits, labels, reduction="none")

        points = sign_ascent(run.net, images, start, raised)
        found = float(run.update())
        batch, logits = seen[-1]
        torch.testing.assert_close(batch.points, points, rtol=0, atol=1e-12)
        weights = (torch.tanh(-1 + 5 * (1 - 2 * right / STEPS)) + 1) / 2
        weights = weights * len(weights) / weights.sum() if step >= 2 else torch.ones_like(weights)
        spread = max(spread, float(weights.max() - weights.min()))
        expected = (functional.cross_entropy(logits, labels, reduction="none") * weights).mean()
        assert found == pytest.approx(expected.item(), rel=1e-10)
    assert spread > 0.5


def test_gairat_weights_do_not_vanish_in_single_precision():
    """Where all images withstand all steps, all count the same, however small λ is."""
    run = run_of(dtype=torch.float32, loss={"name": "gairat", "shift": -20.0, "start": 0.0})
    batch = Batch(indices=torch.arange(10), images=run.images[:10], points=run.images[:10], target=run.target[:10])
    run.loss.correct = torch.full((10,), float(STEPS))
    logits = run.logits(batch.images)
    expected = functional.cross_entropy(logits, batch.labels, reduction="none")
    torch.testing.assert_close(run.loss.values(batch, logits, None), expected)


def test_a_student_that_cannot_be_trained_is_refused_before_its_teachers(tmp_path):
    images, labels = images_and_labels()
    images, said = images.astype(np.float32), []
    with pytest.raises(ConfigError, match="hides all"):
        adversarial_training(
            spec=MLP,
            data=TrainingData(images=images, labels=labels, classes=CLASSES),
            monitors={"val": (images, labels)},
            options=options(loss="distillation", techniques=["cutout"]),
            threat=ThreatModel(eps255=EPS255),
            seed=0,
            workdir=tmp_path,
            device="cpu",
            progress=said.append,
        )
    assert said == []


def test_teachers_are_trainings_of_their_own(tmp_path):
    """The clean and the adversarial training that the recipe names, best on val, and the student learns from them."""
    images, labels = images_and_labels(60)
    images = images.astype(np.float32)
    seen = []

    def train(folder, loss, eps255=EPS255, seed=0):
        return adversarial_training(
            spec=MLP,
            data=TrainingData(images=images[:40], labels=labels[:40], classes=CLASSES),
            monitors={"val": (images[40:], labels[40:])},
            options=options(loss=loss, techniques=["label_smoothing"] if loss == "distillation" else []),
            threat=ThreatModel(eps255=eps255),
            seed=seed,
            workdir=folder,
            device="cpu",
            progress=seen.append,
        )

    names = {"standard": 0, "robust": EPS255}
    taught = {
        name: train(tmp_path / name, "cross_entropy", eps255, stream_seed(0, f"teacher {name}"))
        for name, eps255 in names.items()
    }
    kept = {}
    original = Run.update

    def update(run):
        kept.update(run.teachers)
        return original(run)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Run, "update", update)
        train(tmp_path, "distillation")
    for name in names:
        for key, weight in kept[name].state_dict().items():
            assert np.array_equal(weight.numpy(), taught[name].checkpoints["best_val"].parameters[key])
    files = sorted(path.name for path in tmp_path.glob("*at_state.pt"))
    assert files == ["at_state.pt", "robust.at_state.pt", "standard.at_state.pt"]
    seen.clear()
    train(tmp_path, "distillation")  # teachers that are there are not trained again
    assert [line.split()[-1] for line in seen if "resuming" in line] == ["20"] * 3


# ---- resuming ----


def interrupt_at(step):
    def progress(line):
        if f"step {step}/" in line and not line.startswith("teacher"):
            raise KeyboardInterrupt

    return progress


@pytest.mark.parametrize(
    ("spec", "changes"),
    [
        (RESNET, {"loss": "trades", "techniques": ["awp", {"name": "ema", "tau": 0.9}], "momentum": 0.9}),
        (MLP, {"loss": "mart", "techniques": ["label_smoothing", {"name": "swa", "start": 0.2}]}),
        (MLP, {"loss": {"name": "temporal_ensembling", "start": 0.1, "full": 0.8}}),
        (MLP, {"loss": "gairat", "techniques": ["mlcat_wp", "flip", {"name": "shift", "pixels": 1}]}),
        (MLP, {"loss": "distillation", "techniques": [{"name": "swa", "start": 0.2}]}),
    ],
)
def test_a_resumed_run_is_the_uninterrupted_one(tmp_path, spec, changes):
    images, labels = images_and_labels(60)
    images = images.astype(np.float32)

    def train(workdir, **more):
        return adversarial_training(
            spec=spec,
            data=TrainingData(images=images[:40], labels=labels[:40], classes=CLASSES),
            monitors={"val": (images[40:], labels[40:])},
            options=options(**changes),
            threat=ThreatModel(eps255=EPS255),
            seed=0,
            workdir=workdir,
            device="cpu",
            **({"progress": None} | more),
        )

    whole = train(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, save_every_steps=7, progress=interrupt_at(20))
    resumed = train(tmp_path)
    assert resumed.resumed_at == 14
    assert resumed.rows == whole.rows
    for name, checkpoint in whole.checkpoints.items():
        other = resumed.checkpoints[name]
        assert other.step == checkpoint.step
        assert all(np.array_equal(array, other.parameters[key]) for key, array in checkpoint.parameters.items())


# ---- options ----


def test_options_name_entries_and_fill_in_their_defaults():
    chosen = options(loss={"name": "trades", "beta": 2}, techniques=["ema", {"name": "awp", "gamma": 0.005}])
    assert chosen.loss == {"name": "trades", "beta": 2.0, "noise": 0.001}
    assert chosen.techniques == [{"name": "ema", "tau": 0.995}, {"name": "awp", "gamma": 0.005, "start": 0.05}]
    assert AdversarialTrainingOptions.model_validate(chosen.model_dump()) == chosen
    assert options(loss={"name": "cross_entropy"}).loss == "cross_entropy"
    assert named_entries(chosen) == {
        "advntk.foundation.losses.cross_entropy",
        "advntk.learning.losses.trades",
        "advntk.learning.techniques.awp",
        "advntk.learning.techniques.ema",
    }


def test_a_student_depends_on_the_code_of_its_teachers():
    assert {
        "advntk.learning.losses.cross_entropy",
        "advntk.learning.losses.distillation",
    } <= named_entries(options(loss="distillation"))
    assert "advntk.learning.losses.cross_entropy" not in named_entries(options(loss="mart"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"loss": "tardes"},
            r"unknown entry 'tardes' \(did you mean 'trades'\?\); allowed: cross_entropy, distillation",
        ),
        ({"loss": {"name": "trades", "betta": 1}}, r"trades\.betta: unknown key \(did you mean 'beta'\?\)"),
        ({"loss": {"name": "trades", "beta": -1}}, r"trades\.beta: .*greater than or equal to 0"),
        ({"loss": {"name": "cross_entropy", "beta": 1}}, r"cross_entropy\.beta: unknown key"),
        ({"loss": {"beta": 1}}, "give a name, or a mapping"),
        ({"loss": 3}, "give a name, or a mapping"),
        ({"techniques": ["emma"]}, "did you mean 'ema'"),
        ({"techniques": ["awp", {"name": "awp", "gamma": 0.1}]}, "list each once"),
        ({"techniques": ["ema", "swa"]}, "at most one average"),
        ({"loss": "mart", "learning_rate": None, "learning_rate_fraction": 1.0}, "no curvature"),
        ({"loss": "mart", "search": [{"learning_rate_fraction": 1.0}]}, "no curvature"),
        ({"attack": {"loss": "marginn"}}, "did you mean 'margin'"),
    ],
)
def test_wrong_names_and_options_are_refused(changes, message):
    with pytest.raises(ValidationError, match=message):
        options(**changes)
