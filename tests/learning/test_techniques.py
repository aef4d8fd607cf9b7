"""Techniques of training against independent forms in float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional

from advntk.foundation.architecture import Architecture
from advntk.foundation.errors import ConfigError
from advntk.ingredients.images import SplitSizes
from advntk.learning.at_parts import Batch
from advntk.learning.method import Setting
from advntk.learning.methods import at
from tests.learning.small_training import (
    DECAY,
    EPS255,
    MILD,
    RATE,
    RESNET,
    labelled,
    logits_of,
    run_of,
    seen_batches,
    trades_by_torch,
    weights,
)

pytestmark = pytest.mark.usefixtures("one_thread")


def test_label_smoothing_changes_the_update_and_not_the_attack():
    plain, smooth = run_of(loss="cross_entropy"), run_of(loss="cross_entropy", techniques=["label_smoothing"])
    seen = []
    for run in (plain, smooth):
        original = run.loss.values
        run.loss.values = lambda batch, *rest, original=original: (seen.append(batch), original(batch, *rest))[1]
    indices = torch.from_numpy(smooth.batch_indices())
    labels = smooth.target[indices].argmax(1)
    parameters = [weight.requires_grad_() for weight in weights(smooth.net)]
    plain.update(), smooth.update()
    assert torch.equal(seen[0].points, seen[1].points)
    assert torch.equal(seen[1].labels, labels)
    loss = functional.cross_entropy(logits_of(smooth.net, parameters, seen[1].points), labels, label_smoothing=0.1)
    slopes = torch.autograd.grad(loss, parameters)
    for weight, old, slope in zip(smooth.net.parameters(), parameters, slopes, strict=True):
        torch.testing.assert_close(weight.data, (old - RATE * (slope + DECAY * old)).detach(), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(("loss", "gamma"), [("cross_entropy", 0.01), (MILD, 0.3)])
def test_awp_takes_the_gradient_where_the_loss_is_higher(loss, gamma):
    """v = γ ‖w‖ g/‖g‖ by tensor; w ← w + v − ζ (∇L(w + v) + λ (w + v)) − v: the authors' optimiser steps at w + v."""
    run = run_of(loss=loss, techniques=[{"name": "awp", "gamma": gamma, "start": 0.0}])
    seen = []
    original = run.gradients
    run.gradients = lambda batch: (seen.append((batch, weights(run.net))), original(batch))[1]
    before = weights(run.net)
    value = float(run.update())
    (batch, first), (again, second) = seen
    assert batch is again
    assert all(map(torch.equal, first, before))

    def mean_loss(parameters):
        logits, clean = (logits_of(run.net, parameters, shown) for shown in (batch.points, batch.images))
        if loss == "cross_entropy":
            return functional.cross_entropy(logits, batch.labels)
        return trades_by_torch(logits, clean, batch.labels, 2.0).mean()

    leaves = [weight.clone().requires_grad_() for weight in before]
    slopes = torch.autograd.grad(mean_loss(leaves), leaves)
    expected = []
    for weight, slope, moved in zip(before, slopes, second, strict=True):
        if weight.dim() > 1:
            length = float((moved - weight).norm() / weight.norm())
            assert length == pytest.approx(gamma, rel=1e-9)
            expected.append(weight + gamma * weight.norm() * slope / slope.norm())
        else:
            expected.append(weight)
        torch.testing.assert_close(moved, expected[-1], rtol=1e-9, atol=1e-12)
    assert value > float(mean_loss(before))
    leaves = [weight.clone().requires_grad_() for weight in expected]
    there = torch.autograd.grad(mean_loss(leaves), leaves)
    for weight, old, moved, slope in zip(run.net.parameters(), before, expected, there, strict=True):
        wanted = old - RATE * (slope + DECAY * moved)
        torch.testing.assert_close(weight.data, wanted, rtol=1e-9, atol=1e-12)


def test_awp_begins_after_its_share_of_the_updates_and_batch_norms_see_each_batch_once():
    run = run_of(spec=RESNET, techniques=[{"name": "awp", "start": 0.1}])
    calls, original = [], run.gradients
    run.gradients = lambda batch: (calls.append(run.step), original(batch))[1]
    for _ in range(4):
        run.update()
    assert calls == [0, 1, 2, 2, 3, 3]
    counts = {int(buffer) for name, buffer in run.net.named_buffers() if name.endswith("num_batches_tracked")}
    assert counts == {4}


def test_ema_is_the_sum_that_its_equation_unrolls_to():
    run = run_of(techniques=[{"name": "ema", "tau": 0.6}])
    path = [weights(run.net)]
    for _ in range(20):
        run.update()
        path.append(weights(run.net))
    decays = [min(0.6, k / (k + 9)) for k in range(1, 21)]
    shares = [np.prod(decays[index:]) * (1 - decays[index - 1] if index else 1) for index in range(21)]
    assert sum(shares) == pytest.approx(1)
    for place, average in enumerate(run.deployed().parameters()):
        wanted = sum(share * step[place] for share, step in zip(shares, path, strict=True))
        torch.testing.assert_close(average.data, wanted, rtol=1e-10, atol=1e-12)
        assert not torch.equal(average.data, path[-1][place])


def test_swa_is_the_mean_over_the_ends_of_epochs():
    run = run_of(techniques=[{"name": "swa", "start": 0.5}])  # 4 updates an epoch, 5 epochs: those from update 12 on
    ends = []
    for step in range(1, 21):
        run.update()
        if step in (16, 20):
            ends.append(weights(run.net))
        if step < 16:
            assert run.deployed() is run.net
    for place, average in enumerate(run.deployed().parameters()):
        torch.testing.assert_close(average.data, (ends[0][place] + ends[1][place]) / 2, rtol=1e-10, atol=1e-12)
    with pytest.raises(ConfigError, match=r"no epoch of 4 updates lies after 0\.9 of the 20 updates"):
        run_of(techniques=[{"name": "swa", "start": 0.9}])
    sizes = SplitSizes(n_opt=40, n_val=10)
    setting = Setting(spec=Architecture(family="mlp", depth=2), images="opt", sizes=sizes)
    search = {"search": [{"learning_rate": 0.1}], "search_share": 0.25}  # a candidate has 5 updates, an epoch 4
    for more, asked in (({}, None), (search, "of the 5 updates")):
        options = {"steps": 20, "batch": 10, "learning_rate": 0.1, "techniques": ["swa"], **more}
        problem = at.ENTRY.check(at.Options.model_validate(options), setting)
        assert problem is None if asked is None else asked in problem


@pytest.mark.parametrize(("loss", "threshold"), [("cross_entropy", 1.6), (MILD, 1.55), ("cross_entropy", 1e-9)])
def test_mlcat_moves_weights_up_the_small_losses(loss, threshold):
    """Ten ascent steps whose sum is scaled to γ ‖w‖ over all tensors together; the update takes the whole batch."""
    run = run_of(loss=loss, techniques=[{"name": "mlcat_wp", "threshold": threshold, "start": 0.0, "gamma": 0.1}])
    seen, before = seen_batches(run), weights(run.net)
    run.update()
    batch = seen[-1][0]

    def losses(parameters):
        logits, clean = (logits_of(run.net, parameters, shown) for shown in (batch.points, batch.images))
        if loss == "cross_entropy":
            return functional.cross_entropy(logits, batch.labels, reduction="none")
        return trades_by_torch(logits, clean, batch.labels, 2.0)

    matrices = [weight.dim() > 1 for weight in before]
    size = torch.cat([weight.flatten() for weight in before if weight.dim() > 1]).norm()
    total, moved, small = [torch.zeros_like(weight) for weight in before], before, []
    for _ in range(10):
        leaves = [weight.clone().requires_grad_() for weight in moved]
        values = losses(leaves)
        small.append(int((values < threshold).sum()))
        slopes = torch.autograd.grad((values * (values < threshold)).mean(), leaves)
        total = [old + slope for old, slope in zip(total, slopes, strict=True)]
        length = torch.cat([t.flatten() for t, matrix in zip(total, matrices, strict=True) if matrix]).norm()
        scale = 0.1 * size / length if length else 0.0
        moved = [w + scale * t if matrix else w for w, t, matrix in zip(before, total, matrices, strict=True)]
    assert small[0] == 0 if threshold < 1e-6 else 0 < small[0] < 10
    leaves = [weight.clone().requires_grad_() for weight in moved]
    there = torch.autograd.grad(losses(leaves).mean(), leaves)
    for weight, old, place, slope in zip(run.net.parameters(), before, moved, there, strict=True):
        torch.testing.assert_close(weight.data, old - RATE * (slope + DECAY * place), rtol=1e-8, atol=1e-11)


def augmented_images(technique, count=200):
    """Random images of 6×6, and what a technique makes of them; attacks and reports go the usual way."""
    run = run_of(techniques=[technique])
    images = 0.1 + 0.9 * torch.rand(count, 6, 6, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    batch = Batch(indices=torch.arange(count), images=images, points=images, target=run.target[[0] * count])
    found = run.techniques[0].augmented(batch, np.random.default_rng(0))
    assert found.images is found.points
    assert found.target is batch.target
    return images.numpy(), found.images.numpy()


def test_flips_turn_half_of_the_images():
    images, found = augmented_images("flip")
    flipped = [np.array_equal(one, image[:, ::-1]) for one, image in zip(found, images, strict=True)]
    same = [np.array_equal(one, image) for one, image in zip(found, images, strict=True)]
    assert all(np.logical_xor(flipped, same))
    assert 70 < sum(flipped) < 130


def test_shifts_are_all_those_within_reach_with_zeros_moving_in():
    images, found = augmented_images({"name": "shift", "pixels": 1})
    seen = set()
    for one, image in zip(found, images, strict=True):
        wanted = {}
        for down in (-1, 0, 1):
            for across in (-1, 0, 1):
                shifted = np.zeros_like(image)
                for row in range(6):
                    for column in range(6):
                        if 0 <= row - down < 6 and 0 <= column - across < 6:
                            shifted[row, column] = image[row - down, column - across]
                wanted[down, across] = shifted
        seen |= {shift for shift, shifted in wanted.items() if np.array_equal(shifted, one)}
        assert any(np.array_equal(shifted, one) for shifted in wanted.values())
    assert len(seen) == 9


def test_cutout_blacks_out_a_whole_square():
    images, found = augmented_images({"name": "cutout", "side": 4})
    corners = set()
    for one, image in zip(found, images, strict=True):
        black = (one == 0).all(axis=2)
        rows, columns = np.flatnonzero(black.any(1)), np.flatnonzero(black.any(0))
        assert black.sum() == 16
        assert (rows[-1] - rows[0], columns[-1] - columns[0]) == (3, 3)
        np.testing.assert_array_equal(one[~black], image[~black])
        corners.add((rows[0], columns[0]))
    assert len(corners) == 9
    with pytest.raises(ConfigError, match="a square of 14 pixels hides all of an image of 6×6"):
        run_of(techniques=["cutout"])


def test_augmented_images_are_what_is_attacked_and_shown():
    run = run_of(loss=MILD, techniques=["flip", {"name": "shift", "pixels": 2}])
    images, _ = labelled(run)
    seen = seen_batches(run)
    run.update()
    batch = seen[-1][0]
    assert float((batch.points - batch.images).abs().max()) == pytest.approx(EPS255 / 255)
    assert float((batch.images - images).abs().max()) > 0.3


def test_an_average_is_measured_and_kept_with_running_statistics_of_its_own():
    run = run_of(spec=RESNET, techniques=[{"name": "ema", "tau": 0.5}])
    for _ in range(6):
        run.update()
    row = run.report()
    kept, average = run.best.parameters, run.techniques[0].net
    assert kept.keys() == dict(average.state_dict()).keys()
    assert all(np.array_equal(kept[name], value) for name, value in average.state_dict().items())
    images, target = run.monitors["val"]
    right = average.eval()(images).argmax(1) == target.argmax(1)
    assert row["clean_accuracy"] == pytest.approx(float(right.double().mean()))
    # the first batch norm sees what the first convolution makes of the clean images, 10 at a time
    stem = average[1].stem
    batches = [stem[0](batch.permute(0, 3, 1, 2) - 0.5).mean((0, 2, 3)) for batch in torch.split(run.images, 10)]
    torch.testing.assert_close(stem[1].running_mean, torch.stack(batches).mean(0), rtol=1e-9, atol=1e-12)
