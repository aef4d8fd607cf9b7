"""Adversarial training on a corner of the digits: it learns, resumes, repeats itself, and says why it stops."""

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from sklearn.datasets import load_digits

from advntk.foundation.architecture import Architecture
from advntk.foundation.at_options import AdversarialTrainingOptions
from advntk.foundation.attack_options import AttackOptions
from advntk.foundation.errors import ConfigError, InputError, NumericalError
from advntk.foundation.losses import one_hot
from advntk.foundation.threat import ThreatModel
from advntk.ingredients.networks.finite_torch import build, load_arrays, state_to_arrays
from advntk.learning import adversarial_training as training
from advntk.learning import at_run
from advntk.learning.adversarial_training import STATE_FILE, TrainingData, adversarial_training
from advntk.learning.network_predictor import NetworkPredictor

SPEC = Architecture(family="mlp", depth=3, width=64)
THREAT = ThreatModel(eps255=16)


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def digits():
    bunch = load_digits()
    order = np.random.default_rng(0).permutation(len(bunch.target))  # the file is sorted by writer
    images, labels = (bunch.images[order] / 16).astype(np.float32)[..., None], bunch.target[order].astype(np.int64)
    data = TrainingData(images=images[:400], labels=labels[:400], classes=10)
    return data, {"val": (images[400:500], labels[400:500]), "test": (images[500:600], labels[500:600])}


def options(**changes):
    attack = AttackOptions(steps=3, step_ratio=0.5)
    base = {"steps": 20, "batch": 32, "learning_rate_fraction": 1.0, "attack": attack, "report_attack": attack}
    return AdversarialTrainingOptions(**(base | {"report_every": 10} | changes))


def train(digits, workdir, *, spec=SPEC, opts=None, seed=0, threat=THREAT, progress=None, **more):
    data, monitors = digits
    return adversarial_training(
        spec=spec,
        data=data,
        monitors=monitors,
        options=opts or options(),
        threat=threat,
        seed=seed,
        workdir=workdir,
        device="cpu",
        progress=progress,
        **more,
    )


def same(one, other, *, rows=True):
    """The same bits in both checkpoints (and rows)."""
    return (not rows or one.rows == other.rows) and all(
        one.checkpoints[kind].step == other.checkpoints[kind].step
        and one.checkpoints[kind].parameters.keys() == other.checkpoints[kind].parameters.keys()
        and all(np.array_equal(array, other.checkpoints[kind].parameters[name]) for name, array in content.items())
        for kind, content in ((kind, one.checkpoints[kind].parameters) for kind in ("last", "best_val"))
    )


def test_digits_are_learnt_robustly(digits, tmp_path):
    lines, wide = [], Architecture(family="mlp", depth=3, width=128)
    result = train(digits, tmp_path, spec=wide, opts=options(steps=200, report_every=50), progress=lines.append)
    last = {row["split"]: row for row in result.rows if row["step"] == 200}
    assert last["test"]["clean_accuracy"] > 0.85
    assert last["test"]["robust_accuracy"] > 0.5
    assert [row["step"] for row in result.rows if row["split"] == "val"] == [0, 50, 100, 150, 200]
    assert all(0 <= row["robust_accuracy"] <= row["clean_accuracy"] <= 1 for row in result.rows)
    assert len(lines) == 5
    assert "step 200/200" in lines[-1]
    assert "images/s" in lines[-1]
    # the finished state stays until the fit is written: a full disk must not lose a training
    assert [path.name for path in tmp_path.iterdir()] == [STATE_FILE]
    # training under attack is what makes it robust
    clean = train(digits, tmp_path, spec=wide, opts=options(steps=200), threat=ThreatModel(eps255=0))
    net = build(wide, (8, 8, 1), 10, seed=0)
    load_arrays(net, clean.checkpoints["last"].parameters)
    predictor = NetworkPredictor(net, input_shape=(8, 8, 1), classes=10, device="cpu")
    images, labels = digits[1]["test"]
    attack = AttackOptions(steps=3, step_ratio=0.5)
    points = at_run.attacked(
        predictor.net,
        torch.from_numpy(images),
        objective=at_run.named_objective(attack, torch.eye(10)[torch.from_numpy(labels)]),
        attack=attack,
        threat=THREAT,
        offsets=None,
    )
    assert (predictor.logits(points.numpy()).argmax(1) == labels).mean() < last["test"]["robust_accuracy"]


def test_checkpoints_and_rows_agree(digits, tmp_path):
    result = train(digits, tmp_path, opts=options(steps=60))
    val = [row for row in result.rows if row["split"] == "val"]
    best = max(val, key=lambda row: (row["robust_accuracy"], -row["robust_loss"], -row["step"]))
    assert result.checkpoints["best_val"].step == best["step"]
    images, labels = digits[1]["val"]
    for kind, row in (("last", val[-1]), ("best_val", best)):
        net = build(SPEC, (8, 8, 1), 10, seed=5)
        load_arrays(net, result.checkpoints[kind].parameters)
        predictor = NetworkPredictor(net, input_shape=(8, 8, 1), classes=10, device="cpu")
        assert (predictor.logits(images).argmax(1) == labels).mean() == pytest.approx(row["clean_accuracy"])


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_every_training_point_is_in_ball_and_box(digits, tmp_path, monkeypatch, norm):
    threat, seen, original = ThreatModel(norm=norm, eps255=40), [], at_run.attacked

    def spy(net, images, **kinds):
        points = original(net, images, **kinds)
        seen.append((images, points))
        return points

    monkeypatch.setattr(at_run, "attacked", spy)
    train(digits, tmp_path, threat=threat)
    assert len(seen) == 20 + 3 * 2
    for clean, points in seen:
        size = threat.size255(points, clean)
        assert size.max() <= threat.eps255 + 1e-3
        assert size.max() > 0.9 * threat.eps255
        assert points.min() >= 0
        assert points.max() <= 1


def test_one_update_is_the_formula(digits, tmp_path):
    """One step without an attack, in float64 by autograd: w ← w − ζ (∇ mean loss + λ w)."""
    losses = {
        "squared_error": lambda logits, target: 0.5 * ((logits - target) ** 2).sum(1).mean(),
        "torch_mse": torch.nn.functional.mse_loss,
        "cross_entropy": torch.nn.functional.cross_entropy,
    }
    for loss, function in losses.items():
        changes = {"steps": 1, "batch": 400, "loss": loss, "weight_decay": 0.1}
        opts = options(learning_rate=0.3, learning_rate_fraction=None, **changes)
        result = train(digits, tmp_path, opts=opts, threat=ThreatModel(eps255=0))
        data = digits[0]
        net = build(SPEC, (8, 8, 1), 10, seed=0).double()
        target = one_hot(torch.from_numpy(data.labels), 10, torch.float64)
        function(net(torch.from_numpy(data.images).double()), target).backward()
        for name, parameter in net.named_parameters():
            expected = parameter.detach() - 0.3 * (parameter.grad + 0.1 * parameter.detach())
            np.testing.assert_allclose(result.checkpoints["last"].parameters[name], expected, rtol=1e-4, atol=1e-5)


def test_an_update_normalises_by_the_batch_and_moves_the_running_statistics(digits, tmp_path):
    """One step without an attack, by torch's own training mode."""
    data = TrainingData(images=digits[0].images[:32], labels=digits[0].labels[:32], classes=10)
    spec = Architecture(family="resnet", depth=18, width=2)
    fixed = {"network": "reference", "learning_rate": 0.1, "learning_rate_fraction": None, "momentum": 0.0}
    opts = options(steps=1, batch=32, loss="cross_entropy", **fixed)
    result = train((data, digits[1]), tmp_path, spec=spec, opts=opts, threat=ThreatModel(eps255=0))
    net = build(spec, (8, 8, 1), 10, seed=0, form="reference").train()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    torch.nn.functional.cross_entropy(net(torch.from_numpy(data.images)), torch.from_numpy(data.labels)).backward()
    optimizer.step()
    for name, expected in state_to_arrays(net).items():
        np.testing.assert_allclose(result.checkpoints["last"].parameters[name], expected, rtol=1e-3, atol=1e-4)


def test_of_equally_good_checkpoints_the_first_is_kept(digits):
    data, monitors = digits
    images, labels = (torch.from_numpy(array) for array in monitors["val"])
    run = at_run.Run(
        net=build(SPEC, (8, 8, 1), 10, seed=0).requires_grad_(False),
        images=torch.from_numpy(data.images),
        target=torch.zeros(400, 10),
        monitors={"val": (images, one_hot(labels, 10, torch.float32))},
        options=options(),
        threat=THREAT,
        seed=0,
        rate=1.0,
    )
    for run.step in (0, 10):
        run.report()
    assert run.best.step == 0


def test_runs_repeat_themselves_and_seeds_differ(digits, tmp_path):
    first, again, other = (train(digits, tmp_path, seed=seed) for seed in (3, 3, 4))
    assert same(first, again)
    assert not same(first, other, rows=False)


def test_test_labels_never_reach_the_checkpoints(digits, tmp_path):
    data, monitors = digits
    images, labels = monitors["test"]
    shuffled = np.random.default_rng(0).permutation(labels)
    first = train(digits, tmp_path, opts=options(steps=50))
    results = [
        train((data, changed), tmp_path, opts=options(steps=50))
        for changed in ({**monitors, "test": (images, shuffled)}, {"val": monitors["val"]})
    ]
    assert all(same(first, result, rows=False) for result in results)
    assert first.rows != results[0].rows


def interrupt_at(step):
    def progress(line):
        if f"step {step}/" in line:
            raise KeyboardInterrupt

    return progress


STEPS = {"lr_decay_every": 15, "weight_decay": 1e-3}
ADAM = {"optimizer": "adam", "learning_rate": 0.01, "learning_rate_fraction": None, "warmup": 10, "schedule": "cosine"}


@pytest.mark.parametrize(("family", "changes"), [("mlp", STEPS), ("cnn", STEPS), ("mlp", ADAM)])
def test_a_resumed_run_is_the_uninterrupted_one(digits, tmp_path, family, changes):
    spec = Architecture(family=family, depth=2, width=8)
    opts = options(steps=40, **changes)
    whole = train(digits, tmp_path / "whole", spec=spec, opts=opts)
    assert whole.resumed_at is None
    with pytest.raises(KeyboardInterrupt):
        train(digits, tmp_path, spec=spec, opts=opts, save_every_steps=7, progress=interrupt_at(30))
    assert (tmp_path / STATE_FILE).exists()
    lines = []
    resumed = train(digits, tmp_path, spec=spec, opts=opts, progress=lines.append)
    assert resumed.resumed_at == 28
    assert "resuming at step 28 of 40" in lines[0]
    assert same(whole, resumed)
    again = train(digits, tmp_path, spec=spec, opts=opts)
    assert again.resumed_at == 40
    assert same(whole, again)


@pytest.mark.parametrize(
    "changes", [{"seed": 1}, {"opts": options(weight_decay=0.1)}, {"threat": ThreatModel(eps255=8)}]
)
def test_foreign_and_broken_states_are_ignored_aloud(digits, tmp_path, changes):
    whole = train(digits, tmp_path)
    with pytest.raises(KeyboardInterrupt):
        train(digits, tmp_path, save_every_steps=5, progress=interrupt_at(10), **changes)
    lines = []
    assert same(whole, train(digits, tmp_path, progress=lines.append))
    assert "another configuration" in lines[0]
    (tmp_path / STATE_FILE).write_bytes(b"PK not an archive")
    lines.clear()
    assert same(whole, train(digits, tmp_path, progress=lines.append))
    assert "unreadable state" in lines[0]


def test_a_state_of_an_edited_family_is_not_resumed(digits, tmp_path, monkeypatch):
    sources = {f"advntk.ingredients.networks.families.{SPEC.family}": "as it was"}
    monkeypatch.setattr(training, "code_digest", lambda *modules: str([sources.get(name) for name in modules]))
    whole = train(digits, tmp_path)
    assert train(digits, tmp_path).resumed_at == 20
    sources.update(dict.fromkeys(sources, "edited"))
    again = train(digits, tmp_path)
    assert again.resumed_at is None
    assert same(whole, again)


def test_divergence_stops_with_advice(digits, tmp_path):
    wild = options(learning_rate=1e6, learning_rate_fraction=None, steps=100, report_every=1000)
    with pytest.raises(NumericalError, match=r"at step 50, learning rate 1e\+06.*lower learning_rate_fraction"):
        train(digits, tmp_path, opts=wild)
    assert not (tmp_path / STATE_FILE).exists()


def test_learning_rate_is_the_fraction_of_the_stable_one(digits, tmp_path):
    """Plain gradient descent on the full batch is stable below 2/λmax and not far above it."""
    data, monitors = digits
    small = (TrainingData(images=data.images[:100], labels=data.labels[:100], classes=10), monitors)
    spec = Architecture(family="mlp", depth=1)  # linear, so that the Hessian is constant

    def run(fraction):
        opts = options(steps=100, batch=100, momentum=0.0, learning_rate_fraction=fraction, report_every=100)
        result = train(small, tmp_path, spec=spec, opts=opts, threat=ThreatModel(eps255=0))
        assert result.learning_rate == pytest.approx(fraction * 2 / result.hessian_top)
        return [row["robust_loss"] for row in result.rows if row["split"] == "val"]

    stable, unstable = run(0.95), run(1.05)
    assert stable[1] < stable[0]
    assert unstable[1] > 100 * unstable[0]


def test_no_weight_stays_among_the_denormals(digits, tmp_path):
    data, monitors = digits
    blank = replace(data, images=np.where(data.images == 0, np.float32(0.5), data.images))  # pixels without a gradient
    decay = {"learning_rate_fraction": None, "learning_rate": 0.1, "weight_decay": 1.0, "momentum": 0.0}
    opts = options(steps=1000, batch=8, report_every=1000, **decay)
    result = train((blank, monitors), tmp_path, opts=opts, threat=ThreatModel(eps255=0))
    sizes = np.abs(np.concatenate([array.ravel() for array in result.checkpoints["last"].parameters.values()]))
    assert 0 < np.mean(sizes == 0) < 1
    assert not ((sizes > 0) & (sizes < np.finfo(np.float32).smallest_normal)).any()


def test_all_threads_flush_denormals_and_afterwards_the_caller_does_not():
    """In a process whose threads have not started; numpy makes the factors and looks at the products, on one thread."""
    script = """
import numpy as np
import torch
from advntk.learning.at_run import flushed_denormals
torch.set_num_threads(2)
small = torch.from_numpy(np.full((1500, 1500), 1e-20, np.float32))
with flushed_denormals():
    with flushed_denormals():
        pass
    products = [small * small, small[:, :1] @ small[:1]]
print(sum((product.numpy() != 0).sum() for product in products), (small[0] * small[0]).numpy().all())
"""
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert found.stdout.split() == ["0", "True"]


def rates(updates, **changes):
    """Learning rates of the first updates, the undecayed one being 1."""
    net = torch.nn.Linear(2, 2)
    optimizer, schedule = at_run.make_optimizer(net, options(steps=updates, **changes), 1.0)
    found = []
    for _ in range(updates):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return found


def test_schedules_of_the_learning_rate():
    assert rates(20) == [1.0] * 20
    steps = rates(12, lr_decay_every=5)
    assert steps == pytest.approx([1.0] * 5 + [0.1] * 5 + [0.01] * 2)
    cosine = rates(10, schedule="cosine")
    assert cosine == pytest.approx([(1 + np.cos(np.pi * step / 10)) / 2 for step in range(10)])
    warm = rates(12, warmup=4, lr_decay_every=10)
    assert warm == pytest.approx([0.25, 0.5, 0.75, 1, 1, 1, 1, 1, 1, 1, 0.1, 0.1])


@pytest.mark.parametrize("factor", [0.25, 2.0])
def test_a_stretched_recipe_has_the_same_schedule_over_its_own_length(factor):
    changes = {"warmup": 8, "lr_decay_every": 16}
    opts = options(steps=40, report_every=8, **changes)
    scaled = opts.scaled(factor)
    assert (scaled.steps, scaled.report_every) == (40 * factor, 8 * factor)
    own = rates(40, **changes)
    other = rates(int(40 * factor), warmup=int(8 * factor), lr_decay_every=int(16 * factor))
    thirds = [10, 20, 38]
    assert [own[step] for step in thirds] == pytest.approx([other[int(step * factor)] for step in thirds])


def test_a_clipped_gradient_moves_the_weights_by_no_more_than_the_rate(digits, tmp_path):
    changes = {"learning_rate": 0.5, "learning_rate_fraction": None, "momentum": 0.0, "gradient_clip": 1e-3}
    result = train(digits, tmp_path, opts=options(steps=1, report_every=1, **changes))
    start = build(SPEC, (8, 8, 1), 10, seed=0)
    moved = [
        (result.checkpoints["last"].parameters[name] - value.numpy()).ravel()
        for name, value in start.state_dict().items()
    ]
    assert np.linalg.norm(np.concatenate(moved)) == pytest.approx(0.5e-3, rel=1e-2)


def test_candidates_replace_the_form_of_the_learning_rate():
    opts = options(search=[{"network": "reference", "learning_rate": 0.1}, {"weight_decay": 0.01}])
    first, second = opts.candidates()
    assert (first.learning_rate, first.learning_rate_fraction, first.network) == (0.1, None, "reference")
    assert (second.learning_rate, second.learning_rate_fraction, second.network) == (None, 1.0, "ntk")
    assert not first.search


def test_epochs_are_permutations(digits, tmp_path):
    data, _ = digits
    run = at_run.Run(
        net=torch.nn.Linear(1, 1),
        images=torch.from_numpy(data.images),
        target=torch.zeros(400, 10),
        monitors={},
        options=options(batch=128),
        threat=THREAT,
        seed=0,
        rate=1.0,
    )
    batches = []
    for run.step in range(6):
        batches.append(run.batch_indices())
    epochs = [np.concatenate(batches[:3]), np.concatenate(batches[3:])]
    assert all(len(np.unique(epoch)) == 384 for epoch in epochs)
    assert not np.array_equal(*epochs)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"learning_rate": 0.1}, "exactly one of learning_rate_fraction"),
        ({"learning_rate_fraction": None}, "exactly one of learning_rate_fraction"),
        ({"momentum": 1.0}, "less than 1"),
        ({"steps": 0}, "greater than or equal to 1"),
        ({"lr": 0.1}, "Extra inputs"),
        ({"loss": "mse"}, "squared_error"),
        ({"lr_decay_every": 5, "schedule": "cosine"}, "not both"),
        ({"optimizer": "adam"}, "adam takes learning_rate"),
        ({"gradient_clip": 0}, "greater than 0"),
        ({"search": [{}]}, "changes at least one option"),
        ({"search": [{"learning_rate": 1, "learning_rate_fraction": 1}]}, "give one of"),
        ({"optimizer": "adam", "learning_rate": 1, "search": [{"learning_rate_fraction": 1}]}, "learning_rate"),
        ({"attack": {"step_ratio": 0}}, "greater than 0"),
    ],
)
def test_wrong_options_are_refused(changes, message):
    with pytest.raises(ValidationError, match=message):
        options(**changes)


def test_wrong_data_are_refused(digits, tmp_path):
    data, monitors = digits
    with pytest.raises(ConfigError, match=r"batch: 500 exceeds the 400"):
        train(digits, tmp_path, opts=options(batch=500))
    with pytest.raises(InputError, match="must hold val"):
        train((data, {"test": monitors["test"]}), tmp_path)
    for images, labels in (
        (data.images.astype(np.float64), data.labels),
        (data.images[..., 0], data.labels),
        (data.images, data.labels[:-1]),
        (data.images * 255, data.labels),
        (data.images * np.nan, data.labels),
        (data.images, data.labels + 5),
    ):
        with pytest.raises(InputError, match="training data"):
            TrainingData(images=images, labels=labels, classes=10)


def test_initial_weights_are_those_of_the_seed(digits, tmp_path):
    opts = options(steps=1, learning_rate=1e-30, learning_rate_fraction=None)
    result = train(digits, tmp_path, opts=opts, seed=9)
    expected = state_to_arrays(build(SPEC, (8, 8, 1), 10, seed=9))
    assert all(np.array_equal(result.checkpoints["last"].parameters[name], expected[name]) for name in expected)
