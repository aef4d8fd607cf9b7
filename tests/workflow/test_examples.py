"""The examples of docs/extend.md run: each copied to where it belongs, in one suite, from images to a table."""

from __future__ import annotations

import json

import pandas as pd

from tests.test_docs import EXAMPLES
from tests.workflow.conftest import TINY, Checkout

EXTENDED = {
    "datasets": ["stripes"],
    "architectures": [{"family": "cnn_head", "depth": 2}],
    "methods": ["one_step", "paired"],
    "attacks": ["rfgsm_margin", "pgd_true_logit"],
    "network": {"width": {"cnn_head": 8}},
    "dataset_options": {"stripes": {"n_opt": 60, "n_val": 30, "n_test": 40}},
    "attack_options": {
        "rfgsm_margin": {"kind": "rfgsm", "loss": "margin"},
        "pgd_true_logit": {"kind": "pgd", "loss": "true_logit"},
    },
    "method_options": {
        **TINY["method_options"],
        "paired": {
            **{"kind": "at", "steps": 20, "batch": 16, "learning_rate": 0.05, "network": "reference"},
            **{"loss": {"name": "logit_pairing", "weight": 0.1}, "techniques": ["noisy", "ema"]},
            **{"report_every": 10, "attack": {"loss": "true_logit"}, "convergence_check": False},
        },
    },
}


def test_the_examples_run_together(checkout: Checkout):
    for place, code in EXAMPLES.items():
        assert not (checkout.folder / place).exists()
        (checkout.folder / place).write_text(code, encoding="utf-8")
    assert len(EXAMPLES) == 7
    overlay = str(checkout.suite(**EXTENDED))
    planned = checkout.advntk("plan", "--configfile", overlay, "--json")
    assert {"gram", "fit", "train", "evaluate"} <= {job["rule"] for job in json.loads(planned.stdout)["rules"]}
    target = f"results/{TINY['suite']}/tables/robust_accuracy.csv"
    checkout.run("--cores", "2", "--configfile", overlay, "--", target)
    table = pd.read_csv(checkout.folder / target)
    assert set(table["dataset"]) == {"stripes"}
    assert set(table["method"]) == set(EXTENDED["methods"])
    assert set(table["attack"]) == set(EXTENDED["attacks"])
    # what the images show is learned, by the method of the example too
    assert table.loc[table["method"] == "one_step", "clean_mean"].min() > 0.9
