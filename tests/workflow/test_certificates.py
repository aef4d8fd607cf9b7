"""Certificates from images to table and figure, beside a plain attack and the exact one."""

from __future__ import annotations

import json

import pandas as pd

SMALL = {"exact": {"attacks": ["apgd-ce"], "iterations": 2, "pgd_steps": 4, "pgd_restarts": 1}}


def test_certificates_end_to_end(checkout):
    overlay = checkout.suite(
        methods=["ntk", "early_stopped_ntk"],
        attacks=["pgd", "exact"],
        attack_options=SMALL,
        dataset_options={"digits": {"n_opt": 60, "n_val": 30, "n_test": 10}},
        certificates={"radii": [4, 16], "attack": "pgd"},
    )
    root = checkout.folder / "results/tiny"
    targets = [f"results/tiny/{name}" for name in ("tables/certified.csv", "figures/certified.svg", "tables/cost.csv")]
    checkout.run("--cores", "2", "--configfile", str(overlay), "--", *targets)
    found = pd.read_csv(root / "tables/certified.csv")
    assert [*zip(found.method, found.eps255, found.attack.fillna(""), strict=True)] == [
        *[("ntk", 4, ""), ("ntk", 16, "pgd"), ("ntk", 16, "exact")],
        *[("early_stopped_ntk", 4, ""), ("early_stopped_ntk", 16, "pgd"), ("early_stopped_ntk", 16, "exact")],
    ]
    measured = found.dropna(subset="attack")
    assert (measured.certified_mean <= measured.robust_mean).all()
    assert found.certified_mean.iloc[0] > 0
    place = "digits/seed0/mlp-2/ntk"
    record = json.loads((root / f"records/{place}/eps16/exact.json").read_text())
    proven = json.loads((root / f"certificates/{place}/anyeps.json").read_text())
    health, point = record["evaluations"]["final"]["health"], proven["checkpoints"]["final"][1]
    assert point["certified"] + point["broken"] + point["undecided"] == 10
    assert health["certified"] + health["broken"] + health["undecided"] == 10
    assert "certify" in pd.read_csv(root / "tables/cost.csv").rule.tolist()
    chain = json.loads(checkout.advntk("provenance", str(root / f"certificates/{place}/anyeps.json"), "--json").stdout)
    assert [link["kind"] for link in chain][:3] == ["certificates", "fit", "gram"]
