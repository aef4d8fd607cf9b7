"""``snakemake --sdm conda`` with the environment files as they are: made by a real conda, each job in its own."""

from __future__ import annotations

import json
import subprocess

import pytest
from stacks import locks, pins_of, pip_part

from tests.conda.conftest import DeployedCheckout
from tests.envs.test_envs import RULES, bare_pins
from tests.workflow.conftest import Checkout

pytestmark = pytest.mark.conda
STACKS = sorted({stack for stack, _ in RULES.values()})


def told_by(checkout: DeployedCheckout, stack: str, program: str) -> str:
    """What a program prints, run by the interpreter of an environment alone."""
    python = checkout.deployed(stack) / "bin/python"
    return subprocess.run([python, "-I", "-c", program], capture_output=True, text=True, check=True).stdout


VERBS = {"prepare", "split", "gram", "fit", "search", "train", "check", "evaluate"}
VERBS |= {"expand", "tabulate", "plot", "webpage"}
"""Those of the rules that a suite without experiments, sweeps and chunks runs."""


def assert_each_in_its_own(checkout: DeployedCheckout, verbs: set[str]) -> None:
    """The interpreter of each verb lies in the environment of the verb's stack, and in no other place."""
    stacks = {verb: stack for stack, verb in RULES.values()}
    found = checkout.interpreters()
    assert set(found) == verbs
    assert found == {verb: {str(checkout.deployed(stacks[verb]))} for verb in verbs}


def test_every_job_runs_in_the_environment_of_its_rule(tiny_deployed):
    assert len({tiny_deployed.deployed(stack) for stack in STACKS}) == len(STACKS)
    assert_each_in_its_own(tiny_deployed, VERBS)


@pytest.mark.parametrize("stack", STACKS)
def test_an_environment_holds_what_its_file_says_and_no_more(tiny_deployed, stack):
    program = (
        "import importlib.metadata as m, json; print(json.dumps([[d.name, d.version] for d in m.distributions()]))"
    )
    found = pins_of(f"{name}=={version}" for name, version in json.loads(told_by(tiny_deployed, stack, program)))
    wanted = pins_of(pip_part(tiny_deployed.folder / f"envs/{stack}.yaml")) | bare_pins(stack)
    assert {name: version for name, version in found.items() if name not in ("pip", "advntk")} == wanted
    assert "advntk" in found


def test_the_project_itself_is_installed(tiny_deployed):
    """Not only found in the checkout: a verb runs from an empty folder."""
    for stack in STACKS:
        assert told_by(tiny_deployed, stack, "import advntk; print(advntk.__file__)").startswith(
            str(tiny_deployed.deployed(stack))
        )


def test_the_checkout_is_left_clean(tiny_deployed):
    assert not [name for name in ("build", "advntk.egg-info") if (tiny_deployed.folder / name).exists()]


def test_a_second_run_does_nothing(tiny_deployed):
    assert not tiny_deployed.jobs("--configfile", str(tiny_deployed.suite()))


def test_numbers_are_those_of_one_environment(tiny_deployed, tmp_path):
    """The same versions in one interpreter, without conda, give the same records."""
    lock, here = locks()["cpu"].pins, told_versions()
    assert here == {name: lock[name] for name in here}, "run the tests with the versions of the lock"
    plain = Checkout(tmp_path)
    plain.run("--cores", "2", "--configfile", str(plain.suite()))
    assert plain.records()
    assert plain.records() == tiny_deployed.records()


def told_versions() -> dict[str, str]:
    """Versions of the libraries that compute, in this interpreter."""
    from importlib.metadata import version

    return {name: version(name) for name in ("jax", "jaxlib", "numba", "numpy", "scipy", "torch", "neural-tangents")}


def test_a_broken_environment_is_told(conda, tmp_path):
    """No version of that number: the run stops before any job, and names file and package."""
    checkout = DeployedCheckout(tmp_path / "broken", conda)
    file = checkout.folder / "envs/telling.yaml"
    pins = pins_of(pip_part(file))
    file.write_text(file.read_text().replace(f"pandas=={pins['pandas']}", "pandas==0.0.99"))
    output = checkout.run("--cores", "1", "--configfile", str(checkout.suite()), "--until", "expand", expect=1)
    assert "Could not create conda environment from" in output
    assert "envs/telling.yaml" in output
    assert "pandas==0.0.99" in output
    assert not (checkout.folder / "results/tiny/suite.json").exists()


def test_the_default_suite(conda, tmp_path):
    """All of ``config.yaml``: minutes."""
    checkout = DeployedCheckout(tmp_path / "quick", conda)
    checkout.deploy()
    checkout.run("--cores", "2")
    assert_each_in_its_own(checkout, VERBS)
    assert (checkout.folder / "results/quick/tables/robust_accuracy.csv").is_file()
    assert not checkout.jobs()
