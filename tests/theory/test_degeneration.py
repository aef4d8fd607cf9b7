"""E3: units, finite networks in adversarial training, and each verdict of the story on findings of known answer."""

import jax
import numpy as np
import pytest

from advntk.foundation.architecture import Architecture
from advntk.foundation.threat import ThreatModel
from advntk.ingredients.kernels.neural_tangents_wall import finite_network
from advntk.ingredients.splits import Part
from advntk.telling.contents import Suite
from advntk.telling.stories.degeneration import ENTRY as STORY
from advntk.telling.story import Told
from advntk.theory.experiments.degeneration import ENTRY, Options
from advntk.theory.finite_at import Problem, finite_curves
from tests.theory.conftest import finding_of

TIMES = [0.5, 5.0, 50.0]


def part(count, seed):
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 256, (count, 2, 2, 1), dtype=np.uint8)
    return Part(pixels=pixels, labels=np.arange(count) % 2, indices=np.arange(count))


@pytest.fixture(scope="module")
def curves():
    init, apply = finite_network(Architecture(family="mlp", depth=2, activation="erf", width=48), (2, 2, 1), 2)
    sets = {"train": part(4, 0), "val": part(6, 1), "test": part(8, 2)}
    problem = Problem(apply=apply, initial=init(jax.random.key(0)), classes=2, **sets)
    threat = ThreatModel(eps255=16)
    return finite_curves(problem, times=TIMES, beyond=20.0, exposure=0.2, threat=threat)


def test_the_inner_flow_fades_with_the_error_and_pgd_does_not(curves):
    assert curves["clean"]["factor"] == pytest.approx(np.ones(3))
    assert (curves["flow"]["factor"] > 1.05).all()
    assert curves["flow"]["factor"][-1] < 3 * curves["flow"]["factor"][0]
    assert curves["pgd"]["factor"][-1] > 1.5 * curves["pgd"]["factor"][0]
    assert curves["pgd"]["error"] > 3 * curves["clean"]["error"]


def test_clean_training_ends_at_itself_and_the_flow_near_it(curves):
    ends = {name: curves[name]["distance"][-1] for name in curves}
    assert ends["clean"] < 0.1
    assert ends["clean"] < curves["clean"]["distance"][0]
    assert ends["flow"] < ends["pgd"]


def test_units_have_plain_names_and_their_splits():
    options = Options(networks={"digits": ["mlp"], "fashion_mnist": ["mlp"]}, seeds=3, finite_seeds=5)
    units = ENTRY.units(options)
    assert len(units) == len({unit.name for unit in units}) == 2 * 2 * 3 + 3 * 3
    assert {unit.settings["width"] for unit in units if unit.settings["part"] == "finite"} == {64, 16}
    assert {unit.dataset for unit in units} == {"digits", "fashion_mnist"}
    assert all(set(unit.name) <= set("abcdefghijklmnopqrstuvwxyz_.0123456789") for unit in units)


def kernel_found(noise, jitter, *, overfits, degenerates=True):
    """Clean training is best at the second time, the strong one at the first."""
    end = 0.3 if overfits and noise else 0.595
    weak, strong = [0.2, 0.6 + jitter, end], [0.6 + jitter, 0.5, end]
    left = 1e-4 if degenerates else 0.4
    return {
        "times": [0.1, 1.0, 10.0],
        "rate": [1.0, np.e**4],
        "distance": [[0.9, 0.5, 0.3], [0.5, 0.1, left + jitter * 1e-3]],
        "clean_test": [weak, strong],
        "robust_test": [weak, strong],
        "robust_val": [weak, strong],
        "natural": {"clean_test": 0.7, "robust_test": end, "robust_val": end},
    }


def finite_found(jitter, *, steady):
    one = {"robust_test": [0.5, 0.7 + jitter, 0.3], "robust_val": [0.5, 0.7, 0.3], "clean_test": [0.5, 0.7, 0.6]}
    factors = {
        "clean": [1.0, 1, 1],
        "flow": [2.0, 2, 2 + jitter],
        "pgd": [2.0, 2 if steady else 4, (2 if steady else 50) + jitter],
    }
    ends = {"clean": 0.001, "flow": 0.02, "pgd": 0.5}
    higher = {**one, "robust_test": [0.5, 0.9 + jitter, 0.3]}
    trainings = {
        name: {
            **(higher if name == "pgd" else one),
            "factor": factors[name],
            "distance": [1.0, 0.6, ends[name] + jitter / 10],
            "error": 0.1,
        }
        for name in factors
    }
    return {"times": [0.1, 1.0, 10.0], "trainings": trainings, "n_train": 60, "n_val": 50, "n_test": 9000}


def told(*, overfits=True, degenerates=True, steady=False, spread=0.002):
    options = Options(exposures=[0.0, 4.0], networks={"digits": ["mlp"]}, seeds=4, finite_seeds=4, finite_noise=[0.0])
    findings = []
    for unit in ENTRY.units(options):
        jitter = spread * (unit.seed - 1.5)
        if unit.settings["part"] == "kernel":
            found = kernel_found(unit.settings["noise"], jitter, overfits=overfits, degenerates=degenerates)
        else:
            found = finite_found(jitter, steady=steady)
            if unit.settings["width"] == 16:
                found["trainings"]["pgd"]["robust_test"] = [0.5, 0.6 + jitter, 0.3]
        findings.append(finding_of("degeneration", options, unit, found))
    return Told(findings=findings, suite=Suite(config=None))


def verdicts(story):
    return {claim.claim: claim for claim in STORY.claims(story)}


def test_each_claim_is_decided_by_its_interval():
    found = verdicts(told())
    assert found["AT tends to the natural solution Θ⁻¹Y (digits mlp-3, true labels)"].verdict == "holds"
    falls = "robust accuracy falls on the way (robust overfitting; digits mlp-3, {})"
    assert found[falls.format("30% wrong labels")].verdict == "holds"
    assert found[falls.format("30% wrong labels")].interval[0] == pytest.approx(0.3)
    assert found[falls.format("true labels")].verdict == "does not hold"
    earlier = found["a stronger attack reaches its best robust accuracy earlier (digits mlp-3, true labels)"]
    assert (earlier.verdict, earlier.interval[0]) == ("holds", pytest.approx(np.log(10)))
    ends = "AT with {} has come to the standard-trained network at ln t = 4 (finite mlp, true labels)"
    assert found[ends.format("inner flow")].verdict == "holds"
    assert found[ends.format("PGD")].verdict == "does not hold"
    more = "AT with {} reaches more robust accuracy than clean training at its own best time (finite mlp, true labels)"
    assert found[more.format("PGD")].verdict == "holds"
    assert found[more.format("PGD")].interval[0] == pytest.approx(0.2)
    assert found[more.format("inner flow")].verdict == "does not hold"
    wide = "width 64 reaches more robust accuracy than width 16 (finite mlp, {}, true labels)"
    assert found[wide.format("PGD")].verdict == "holds"
    assert found[wide.format("PGD")].interval[0] == pytest.approx(0.3)
    assert found[wide.format("clean")].verdict == "does not hold"
    factor = "{} multiplies the training error by a factor that stays the same (finite mlp, true labels)"
    assert found[factor.format("inner flow")].verdict == "holds"
    assert found[factor.format("PGD")].verdict == "does not hold"


def test_other_findings_give_other_verdicts():
    found = verdicts(told(overfits=False, degenerates=False, steady=True))
    assert found["AT tends to the natural solution Θ⁻¹Y (digits mlp-3, true labels)"].verdict == "does not hold"
    assert "does not hold" in {
        claim.verdict for name, claim in found.items() if "30%" in name and "robust overfitting" in name
    }
    factor = "PGD multiplies the training error by a factor that stays the same (finite mlp, true labels)"
    assert found[factor].verdict == "holds"
    assert "open" in {claim.verdict for claim in verdicts(told(spread=0.3)).values()}
