"""Steps: one job of each, run with the words of its rule, loads no code but that which its digest is of."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from advntk import suite as suites
from advntk.foundation.provenance import modules_behind
from advntk.planning.jobs import Job, jobs_of
from advntk.step import steps

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[1]
SUITE = {
    "suite": "steps",
    "seeds": 1,
    "datasets": ["digits"],
    "architectures": [{"family": "mlp", "depth": 2}],
    "methods": ["early_stopped_ntk", "at"],
    "eps255": [16],
    "attacks": ["pgd", "autoattack"],
    "network": {"width": {"mlp": 16}},
    "dataset_options": {"digits": {"n_opt": 600, "n_val": 10, "n_test": 10}},
    "method_options": {
        "early_stopped_ntk": {"decades": 1, "halvings": 0},
        "at": {"steps": 2, "batch": 8, "report_every": 1, "warmup": 0, "search": [{"learning_rate_fraction": 1.0}]},
    },
    "attack_options": {"autoattack": {"iterations": 2, "queries": 2, "chunks": 1}},
    "sweeps": {"radius": {"attack": "pgd", "values": [16]}},
    "transfer": ["pgd"],
    "certificates": {"radii": [16], "images": 2, "attack": "pgd"},
    "experiments": {"ark_limit": {"families": ["mlp"], "seeds": 2, "widths": [16, 64], "sides": [4]}},
    "compute": {"gram_parts": 2},
}
OF_THE_COMMAND_LINE = ("advntk.verbs", "advntk.step", "advntk.foundation.config")
"""What checks the words of a job before it computes."""
CHILD = """
import json, sys
from advntk import cli
cli.parser(sys.argv[1])
before = set(sys.modules)
status = cli.main(sys.argv[1:])
print(json.dumps(sorted(name for name in set(sys.modules) - before if name.startswith("advntk."))))
sys.exit(status)
"""


def first_of_each(jobs: list[Job]) -> list[Job]:
    """The first job of each step, with all that come before it."""
    known = {job.key: job for job in jobs}
    wanted = list({job.rule: job for job in reversed(jobs)}.values())
    found = set()
    while wanted:
        job = wanted.pop()
        if job.key not in found:
            found.add(job.key)
            wanted += [known[key] for key in job.after]
    return [job for job in jobs if job.key in found]


@pytest.fixture(scope="module")
def loaded(tmp_path_factory):
    """By step, the modules that its jobs loaded, and the roots of their code."""
    folder = tmp_path_factory.mktemp("steps")
    config = yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))
    places = {"results": str(folder / "results"), "data": str(folder / "data")}
    suite = suites.resolve(suites.merged(suites.merged(config, SUITE), places))
    found = {}
    for job in first_of_each(jobs_of(suite)):
        words = [job.step.verb, *job.step.words(suite, job.wildcards)]
        words += ["--threads", "1", "--device", "cpu"] if job.step.gpu else []
        done = subprocess.run([sys.executable, "-c", CHILD, *words], capture_output=True, text=True, cwd=folder)
        assert done.returncode == 0, done.stderr[-3000:]
        found.setdefault(job.rule, []).append((json.loads(done.stdout), job.step.roots(suite, job.wildcards)))
    return found


def test_a_job_loads_no_code_but_that_of_its_digest(loaded):
    unseen = {}
    for rule, jobs in loaded.items():
        if rule == "expand":  # it resolves the suite, as the rule itself does: what it writes is a parameter
            continue
        for modules, roots in jobs:
            behind = modules_behind(*roots)
            more = {name for name in modules if name not in behind and not name.startswith(OF_THE_COMMAND_LINE)}
            more -= {name for name in more if ROOT.joinpath(*name.split(".")).is_dir()}  # a package: names, no code
            unseen.setdefault(rule, set()).update(more)
    assert not {rule: sorted(more) for rule, more in unseen.items() if more}


def test_every_step_was_run(loaded):
    assert set(steps()) - loaded.keys() == {"gram", "export"}  # one of two ways; only where it is asked for
