"""AutoAttack through the bridge: against the package itself, against a kernel in torch, few classes, resuming."""

from __future__ import annotations

import logging
import sys
from importlib import metadata

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import nn

from advntk.attacks import ensemble
from advntk.attacks.attack import BROKEN, NOT_TRIED, ROBUST
from advntk.attacks.entries.autoattack import ENTRY, MEMBERS, Options
from advntk.foundation import provenance
from advntk.foundation.errors import ConfigError, NumericalError
from advntk.foundation.threat import ThreatModel
from advntk.learning.network_predictor import NetworkPredictor

LINF = ThreatModel(norm="linf", eps255=28)
THREATS = [LINF, ThreatModel(norm="l2", eps255=150), ThreatModel(norm="l1", eps255=400)]
QUICK = Options(iterations=8, queries=20)


pytestmark = pytest.mark.usefixtures("one_thread")


def run(predictor, part, options=QUICK, threat=LINF, seed=0, state=None):
    return ENTRY.run(predictor, part.images, part.labels, options=options, threat=threat, seed=seed, state=state)


def scaled(threat, factor):
    return ThreatModel(norm=threat.norm, eps255=factor * threat.eps255)


def robust(predictor, part, images):
    clean, attacked = (predictor.logits(shown).argmax(axis=1) == part.labels for shown in (part.images, images))
    return clean & attacked


class Part:
    """Images and labels."""

    def __init__(self, images, labels):
        self.images, self.labels = images, labels


class Linear:
    """f(x) = (x − ½)W in float64 on numpy arrays: its smallest perturbations are known in closed form."""

    def __init__(self, classes, shape=(8, 8, 1)):
        self.classes, self.input_shape = classes, shape
        self.weights = np.random.default_rng(classes).normal(size=(int(np.prod(shape)), classes))

    def native(self, array):
        return np.asarray(array)

    def logits(self, images):
        return (np.asarray(images, np.float64).reshape(len(images), -1) - 0.5) @ self.weights

    def linearize(self, images):
        return self.logits(images), lambda u: (np.asarray(u, np.float64) @ self.weights.T).reshape(images.shape)

    def part(self, count, wrong=1):
        """Images in the middle of the box, the first few with a wrong label."""
        images = np.random.default_rng(9).uniform(0.3, 0.7, (count, *self.input_shape)).astype(np.float32)
        labels = self.logits(images).argmax(axis=1)
        labels[:wrong] = (labels[:wrong] + 1) % self.classes
        return Part(images, labels)


def package(predictor, part, threat, queries, batch):
    """AutoAttack's standard evaluation of a torch network, as its users run it."""
    import pyautoattack

    class ChannelsFirst(nn.Module):
        def forward(self, images):
            return predictor.net(images.permute(0, 2, 3, 1))

    norm = {"linf": "Linf", "l2": "L2", "l1": "L1"}[threat.norm]
    adversary = pyautoattack.AutoAttack(ChannelsFirst(), norm=norm, eps=threat.radius, seed=3, version="standard")
    adversary.square.n_queries = queries
    images = torch.tensor(part.images).permute(0, 3, 1, 2).contiguous()
    found, _ = adversary.run_standard_evaluation(images, torch.tensor(part.labels), batch_size=batch)
    return found.permute(0, 2, 3, 1).numpy()


@pytest.mark.parametrize(("threat", "batch"), list(zip(THREATS, (5, 250, 250), strict=True)), ids=["linf", "l2", "l1"])
def test_is_the_packages_own_evaluation_image_by_image(threat, batch, predictors, digits_split):
    predictor, part, threat = predictors["torch"], digits_split.test.first(8), scaled(threat, 0.4)
    wanted = package(predictor, part, threat, queries=60, batch=batch)
    found = run(predictor, part, Options(batch=batch, queries=60), threat, seed=3)
    np.testing.assert_allclose(found.images, wanted, atol=1e-6)
    left = robust(predictor, part, found.images)
    np.testing.assert_array_equal(left, robust(predictor, part, wanted))
    assert 0 < left.sum() < len(left)


class ReluKernelNetwork(nn.Module):
    """Θ(x, X) P of a ReLU MLP, its arc-cosine recursion written in torch, differentiated by torch."""

    def __init__(self, train, coef, depth, sigma_w=1.76, sigma_b=0.18):
        super().__init__()
        self.train_images = self.centred(torch.tensor(train))
        self.coef = nn.Parameter(torch.tensor(coef))
        self.depth, self.w2, self.b2 = depth, sigma_w**2, sigma_b**2

    @staticmethod
    def centred(images):
        return images.double().flatten(1) - 0.5

    def forward(self, images):
        x, train = self.centred(images), self.train_images
        own, other = (self.w2 * (points**2).mean(1) + self.b2 for points in (x, train))
        sigma = self.w2 * (x @ train.T) / x.shape[1] + self.b2
        theta = sigma
        for _ in range(self.depth - 1):
            scale = (own[:, None] * other).sqrt()
            cosine = sigma / scale
            angle = cosine.arccos()
            slope = (torch.pi - angle) / (2 * torch.pi)
            sigma = self.w2 * scale * (angle.sin() / (2 * torch.pi) + cosine * slope) + self.b2
            theta = sigma + self.w2 * theta * slope
            own, other = self.w2 * own / 2 + self.b2, self.w2 * other / 2 + self.b2
        return theta @ self.coef


@pytest.mark.parametrize(
    ("kind", "threat"),
    [*(("kernel-numba", threat) for threat in THREATS), ("kernel-jax", LINF)],
    ids=lambda value: getattr(value, "norm", value),
)
def test_a_kernel_is_attacked_as_the_same_kernel_in_torch(kind, threat, predictors, digits_split):
    kernel, part = predictors[kind], digits_split.test.first(24)
    net = ReluKernelNetwork(digits_split.opt.images, kernel.coef, depth=3)
    direct = NetworkPredictor(net, input_shape=kernel.input_shape, classes=10, device="cpu")
    np.testing.assert_allclose(direct.logits(part.images), kernel.logits(part.images), rtol=1e-3, atol=1e-3)
    found, wanted = (run(predictor, part, threat=threat) for predictor in (kernel, direct))
    left = robust(kernel, part, found.images)
    np.testing.assert_array_equal(left, robust(direct, part, wanted.images))
    assert 0 < left.sum() < len(left)
    assert found.stages.keys() == wanted.stages.keys() == set(MEMBERS)


@pytest.mark.parametrize("threat", THREATS, ids=lambda threat: threat.norm)
def test_stages_say_what_became_of_each_image(threat, predictors, digits_split):
    predictor, part = predictors["kernel-numba"], digits_split.test.first(24)
    found = run(predictor, part, threat=threat)
    clean = predictor.logits(part.images).argmax(axis=1) == part.labels
    assert not clean.all()
    assert list(found.stages) == list(MEMBERS)
    left = clean.copy()
    for outcome in found.stages.values():
        assert outcome.dtype == np.int8
        np.testing.assert_array_equal(outcome != NOT_TRIED, left)
        left &= outcome != BROKEN
    np.testing.assert_array_equal(left, robust(predictor, part, found.images))
    np.testing.assert_array_equal((found.images == part.images).all(axis=(1, 2, 3)), left | ~clean)
    assert found.images.dtype == np.float32
    assert threat.size255(found.images, part.images).max() <= threat.eps255 * (1 + 1e-6)


def test_without_cascade_every_attack_sees_all(predictors, digits_split):
    predictor, part = predictors["kernel-numba"], digits_split.test.first(24)
    cascade, alone = (run(predictor, part, QUICK.model_copy(update={"cascade": cascade})) for cascade in (True, False))
    clean = predictor.logits(part.images).argmax(axis=1) == part.labels
    for outcome in alone.stages.values():
        np.testing.assert_array_equal(outcome != NOT_TRIED, clean)
    broken = np.any([outcome == BROKEN for outcome in alone.stages.values()], axis=0)
    np.testing.assert_array_equal(robust(predictor, part, alone.images), clean & ~broken)
    # the first attack is the same, and an image keeps what the first that broke it gave
    np.testing.assert_array_equal(alone.stages["apgd-ce"], cascade.stages["apgd-ce"])
    first = alone.stages["apgd-ce"] == BROKEN
    assert first.any()
    np.testing.assert_array_equal(alone.images[first], cascade.images[first])


def test_a_linear_predictor_breaks_exactly_where_it_can():
    """Of a linear predictor in two classes the ℓ∞ distance to the boundary is |f₁ − f₀| / ‖w₁ − w₀‖₁."""
    predictor = Linear(2)
    part = predictor.part(30, wrong=0)
    direction = predictor.weights[:, 1] - predictor.weights[:, 0]
    gap = np.abs(predictor.logits(part.images) @ [-1, 1])
    distance = gap / np.abs(direction).sum()
    threat = ThreatModel(norm="linf", eps255=255 * float(np.median(distance)))
    found = run(predictor, part, Options(attacks=["apgd-ce"], iterations=20), threat)
    np.testing.assert_array_equal(robust(predictor, part, found.images), distance > threat.radius)
    np.testing.assert_array_equal(found.stages["apgd-ce"] == BROKEN, distance <= threat.radius)


@pytest.mark.parametrize("threat", THREATS, ids=lambda threat: threat.norm)
def test_what_the_package_finds_is_brought_into_the_ball_and_judged_there(threat, monkeypatch):
    import pyautoattack

    predictor = Linear(4)
    part = predictor.part(40)
    offset = np.random.default_rng(1).normal(size=part.images.shape).astype(np.float32)

    def far_out(adversary, images, labels, *, batch_size):
        return images + torch.tensor(offset[-len(images) :]).permute(0, 3, 1, 2), labels

    monkeypatch.setattr(pyautoattack.AutoAttack, "run_standard_evaluation", far_out)
    found = run(predictor, part, Options(attacks=["apgd-ce"]), threat)
    shown = threat.project(part.images + offset, part.images)
    wrong = predictor.logits(shown).argmax(axis=1) != part.labels
    np.testing.assert_array_equal(found.stages["apgd-ce"][1:], np.where(wrong, BROKEN, ROBUST)[1:])
    wrong[0] = False
    np.testing.assert_allclose(found.images, np.where(wrong[:, None, None, None], shown, part.images), atol=1e-6)
    assert 0 < wrong.sum() < 39


@pytest.mark.parametrize("threat", THREATS, ids=lambda threat: threat.norm)
@pytest.mark.parametrize(
    ("classes", "names", "said"),
    [
        (2, ["apgd-ce", "fab-t", "square"], "apgd-t is left out"),
        (3, ["apgd-ce", "apgd-dlr", "fab-t", "square"], "apgd-dlr in place of apgd-t"),
        (4, list(MEMBERS), None),
        (5, list(MEMBERS), None),
    ],
)
def test_few_classes(classes, names, said, threat, recwarn):
    predictor = Linear(classes)
    part = predictor.part(9)
    each = Options(iterations=8, queries=20, cascade=False)
    found = run(predictor, part, each, scaled(threat, 0.2))
    assert list(found.stages) == names
    # of a broken image in three classes the DLR loss is constant where the true logit is the least
    others = ("weaker than", "zero gradient")
    spoken = [flag for flag in found.flags if not any(other in flag for other in others)]
    assert len(spoken) == (said is not None)
    assert all(said in flag for flag in spoken)
    assert all((outcome[1:] != NOT_TRIED).all() and outcome[0] == NOT_TRIED for outcome in found.stages.values())
    assert any((outcome == BROKEN).any() for outcome in found.stages.values())
    assert not recwarn.list


def test_an_ensemble_with_nothing_to_run_is_an_error():
    predictor = Linear(2)
    with pytest.raises(ConfigError, match="apgd-t is left out"):
        run(predictor, predictor.part(3), Options(attacks=["apgd-t"]))


@pytest.mark.parametrize("norm", ["linf", "l2", "l1"])
@pytest.mark.parametrize("shape", [(7, 5, 1), (5, 7, 2), (4, 6, 1), (9, 3, 1), (12, 12, 1), (14, 10, 1), (28, 20, 1)])
def test_square_on_images_of_every_shape(norm, shape):
    """Square is left out exactly where the package's own fails in its start."""
    from pyautoattack.square import SquareAttack

    predictor = Linear(4, shape)
    part, threat = predictor.part(3), ThreatModel(norm=norm, eps255=2)
    found = run(predictor, part, Options(iterations=2, queries=3, attacks=["apgd-ce", "square"]), threat)
    small = min(shape[:2]) < 5 and norm != "linf"
    try:
        attack = SquareAttack(torch_linear(predictor), norm={"linf": "Linf", "l2": "L2", "l1": "L1"}[norm], n_queries=3,
                              eps=threat.radius, seed=0)  # fmt: skip
        attack.perturb(torch.tensor(part.images).permute(0, 3, 1, 2).contiguous(), torch.tensor(part.labels))
        fits = True
    except (ZeroDivisionError, RuntimeError):
        fits = False
    assert ("square" in found.stages) == (fits and not small)
    assert any("square is left out" in flag for flag in found.flags) == ("square" not in found.stages)


def torch_linear(predictor):
    weights = torch.tensor(predictor.weights)
    return lambda images: (images.permute(0, 2, 3, 1).flatten(1).double() - 0.5) @ weights


class Killed(Exception):
    """Stands in for a kill."""


def test_a_network_that_is_not_what_the_predictor_computes_is_told(predictors, digits_split):
    class Wrapped:
        def __init__(self, inner):
            self.inner, self.net = inner, inner.net
            self.classes, self.input_shape = inner.classes, inner.input_shape

        def logits(self, images):
            return -self.inner.logits(images)

    part = digits_split.test.first(8)
    found = run(Wrapped(predictors["torch"]), part, Options(attacks=["square"], iterations=2, queries=1))
    assert "AutoAttack: torch sees other logits than the predictor gives" in found.flags
    assert not any("other logits" in flag for flag in run(predictors["torch"], part).flags)


@pytest.mark.parametrize("kind", ["kernel-numba", "kernel-jax"])
def test_a_killed_run_goes_on_after_the_last_finished_attack(kind, tmp_path, monkeypatch, predictors, digits_split):
    predictor, part, state = predictors[kind], digits_split.test.first(16), tmp_path / "state.npz"
    attack, done = ensemble._Ensemble._perturbed, []

    def mortal(ensemble, name, chosen):
        if name == "fab-t" and "fab-t" not in done:
            done.append(name)
            raise Killed
        done.append(name)
        return attack(ensemble, name, chosen)

    monkeypatch.setattr(ensemble._Ensemble, "_perturbed", mortal)
    with pytest.raises(Killed):
        run(predictor, part, state=state)
    found = run(predictor, part, state=state)
    assert done == ["apgd-ce", "apgd-t", "fab-t", "fab-t", "square"]
    again = run(predictor, part, state=state)
    assert len(done) == 5
    monkeypatch.setattr(ensemble._Ensemble, "_perturbed", attack)
    wanted = run(predictor, part)
    for one in (found, again):
        np.testing.assert_array_equal(one.images, wanted.images)
        assert one.flags == wanted.flags
        assert list(one.stages) == list(wanted.stages)
        for name, outcome in wanted.stages.items():
            np.testing.assert_array_equal(one.stages[name], outcome)


def test_a_state_of_another_run_is_ignored(tmp_path):
    predictor, state = Linear(4), tmp_path / "state.npz"
    part, options = predictor.part(6), Options(iterations=4, attacks=["apgd-ce"])
    run(predictor, part, options, state=state)
    other = Linear(4)
    other.weights = other.weights[:, ::-1].copy()
    shifted = Part(part.images * np.float32(0.99), part.labels)
    relabelled = Part(part.images, part.labels[::-1].copy())
    variants = [
        (other, part, options, LINF, 0),
        (predictor, shifted, options, LINF, 0),
        (predictor, relabelled, options, LINF, 0),
        (predictor, part, options.model_copy(update={"iterations": 5}), LINF, 0),
        (predictor, part, options, ThreatModel(norm="linf", eps255=8), 0),
        (predictor, part, options, LINF, 1),
    ]
    before = state.read_bytes()
    for variant in variants:
        state.write_bytes(before)
        found, wanted = run(*variant, state=state), run(*variant)
        np.testing.assert_array_equal(found.images, wanted.images)
        assert state.read_bytes() != before
    state.write_bytes(before[:100])
    np.testing.assert_array_equal(
        run(predictor, part, options, state=state).images, run(predictor, part, options).images
    )


def test_radius_zero_runs_nothing(monkeypatch):
    predictor = Linear(5)
    part = predictor.part(6)
    monkeypatch.setattr(ensemble, "as_torch_module", None)
    found = run(predictor, part, threat=ThreatModel(norm="linf", eps255=0))
    np.testing.assert_array_equal(found.images, part.images)
    assert found.images is not part.images
    for outcome in found.stages.values():
        np.testing.assert_array_equal(outcome, [NOT_TRIED] + [ROBUST] * 5)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_logits_that_are_not_finite_are_an_error(value):
    predictor = Linear(4)
    part, logits = predictor.part(5), predictor.logits
    bad = logits(part.images)
    bad[1:3, 0] = value
    predictor.logits = lambda images: bad
    with pytest.raises(NumericalError, match="2 of 5"):
        run(predictor, part)


@pytest.mark.parametrize("attack", MEMBERS)
def test_nan_logits_around_clean_images_are_an_error(attack):
    """The largest of NaN logits is the first: images of class 0 would pass for robust."""
    predictor = Linear(5)
    part, logits = predictor.part(40), predictor.logits

    def broken(images):
        away = (np.abs(images - np.round(images, 1)) > 1e-3).any(axis=(1, 2, 3))
        return np.where(away[:, None], np.nan, logits(images))

    part.images = np.round(part.images, 1)
    part.labels = logits(part.images).argmax(axis=1)
    kept = part.labels == 0
    assert kept.any()
    predictor.logits = broken
    with pytest.raises(NumericalError, match="attacked images"):
        run(predictor, Part(part.images[kept], part.labels[kept]), QUICK.model_copy(update={"attacks": [attack]}))


def test_what_the_checks_say_becomes_flags(caplog):
    """A predictor of probabilities with noise, and one whose gradient is zero."""
    part = Linear(4).part(6)

    class Doubtful(Linear):
        def __init__(self):
            super().__init__(4)
            self.generator = np.random.default_rng(0)

        def logits(self, images):
            logits = super().logits(images) / 50
            noisy = logits + 0.005 * self.generator.normal(size=logits.shape)
            return np.exp(noisy) / np.exp(noisy).sum(axis=1, keepdims=True)

        def linearize(self, images):
            return super().linearize(images)[0], lambda u: np.zeros_like(images)

    small = ThreatModel(norm="linf", eps255=4)
    found = run(Doubtful(), part, Options(iterations=2, queries=1, cascade=False), small)
    spoken = " ".join(found.flags)
    assert all(what in spoken for what in ("randomised", "probabilities", "zero gradient", "sees other logits"))
    assert "\n" not in spoken
    assert "flags_doc" not in spoken
    assert len(set(found.flags)) == len(found.flags) == 6
    assert not caplog.records


def test_a_dynamic_defence_is_told_once():
    class Dynamic(Linear):
        def logits(self, images):
            def grad():
                return super(Dynamic, self).logits(images)

            return grad()

    part, options = Linear(4).part(4), Options(iterations=2, attacks=["apgd-ce"])
    flags = [" ".join(run(kind(4), part, options).flags) for kind in (Linear, Dynamic, Linear)]
    assert ["dynamic" in flag for flag in flags] == [False, True, False]


def test_a_weaker_ensemble_says_so():
    predictor = Linear(4)
    part = predictor.part(3)
    full = Options(iterations=100, queries=5000)
    assert full == Options()
    nothing = ThreatModel(norm="linf", eps255=0)
    assert run(predictor, part, full, nothing).flags == ()
    (flag,) = run(predictor, part, Options(iterations=10, queries=5, attacks=["apgd-ce"]), nothing).flags
    assert all(part in flag for part in ("fab-t is left out", "10 of 100 iterations", "5 of 5000 queries"))


def test_options_are_checked():
    for wrong in ({"attacks": []}, {"attacks": ["square", "square"]}, {"attacks": ["fab"]}, {"iterations": 1}):
        with pytest.raises(ValidationError):
            Options(**wrong)


def test_the_process_is_left_as_it_was(predictors, digits_split, capfd):
    def trace(frame, event, argument):
        return None

    logger, before = logging.getLogger("auto-attack"), sys.gettrace()
    torch.manual_seed(5)
    wanted, filters = torch.get_rng_state(), list(logger.filters)
    sys.settrace(trace)
    try:
        run(predictors["torch"], digits_split.test.first(4))
        assert sys.gettrace() is trace
    finally:
        sys.settrace(before)
    assert torch.equal(torch.get_rng_state(), wanted)
    assert logger.filters == filters
    printed = capfd.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("autoattack: 4/4 attacks")
    assert printed.err.count("\n") == 1


def test_records_name_its_library_where_it_is_installed(monkeypatch):
    found = provenance.environment("cpu", 1)["versions"]
    assert found["pyautoattack"] == metadata.version("pyautoattack")

    def missing(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", missing)
    without = provenance.environment("cpu", 1)["versions"]
    assert without == dict.fromkeys(found.keys() - {"pyautoattack"}, "not installed")
