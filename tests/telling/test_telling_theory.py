"""Findings on their way to the table of claims, to figures, a published suite and the page of the theory."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from advntk.foundation.errors import InputError
from advntk.foundation.findings import Finding, write_finding
from advntk.telling.kinds.findings import claims_of
from advntk.telling.pages import write_theory_page
from advntk.telling.publishing.publish import publish
from advntk.telling.report import write_table
from advntk.telling.suite_file import read_suite
from tests.telling.conftest import placed
from tests.theory.test_ark_limit import findings

ONE = {"architectures": [{"family": "mlp", "depth": 3}], "eps255": [16], "attacks": ["pgd"]}


@pytest.fixture
def measured(build, tmp_path):
    """Path of a suite file that lists records and findings."""
    path = build(**ONE).fill().write()
    content = json.loads(path.read_text())
    for finding in findings(-0.01).findings:
        place = tmp_path / f"{finding.unit}.json"
        write_finding(place, finding)
        content.setdefault("findings", []).append(str(place))
    path.write_text(json.dumps(content))
    return path


def test_claims_stand_in_the_table_with_values_and_verdicts(measured, tmp_path):
    write_table("claims", read_suite(measured), tmp_path / "claims.csv")
    table = pd.read_csv(tmp_path / "claims.csv")
    assert table["experiment"].tolist() == ["E2"] * 4
    assert table["verdict"].tolist() == ["does not hold", "does not hold", "holds", "holds"]
    assert (table["lo"] <= table["value"]).all()
    assert (table["value"] <= table["hi"]).all()
    assert table["figure"].unique().tolist() == ["theory_ark_limit"]
    page = (tmp_path / "claims.md").read_text()
    assert "does not hold" in page
    assert "E2" in (tmp_path / "claims.tex").read_text()


def test_claims_about_accuracies_have_intervals_of_some_width_even_where_seeds_agree():
    """All seeds of the published findings are made the first one's."""
    suite, first = read_suite(Path(__file__).parents[2] / "results/reference/theory/suite.json"), {}
    findings = [
        one.model_copy(update={"found": first.setdefault((one.experiment, str(one.settings)), one.found)})
        for one in suite.of(Finding)
    ]
    found = claims_of(replace(suite, results={**suite.results, **placed(findings)}))
    found = found[found["quantity"].str.contains("accura")]
    assert len(found) > 50
    assert ((found["lo"] < found["value"]) & (found["value"] < found["hi"])).all()


def test_a_suite_without_experiments_has_no_claims(build, tmp_path):
    suite = read_suite(build(**ONE).fill().write())
    write_table("claims", suite, tmp_path / "claims.csv")
    assert pd.read_csv(tmp_path / "claims.csv").empty
    assert "Nothing was measured." in (tmp_path / "claims.md").read_text()


def test_published_findings_are_read_back_whole_and_name_no_machine(measured, tmp_path):
    suite = read_suite(measured)
    out = tmp_path / suite.config.suite
    publish(suite, out)
    back = read_suite(out / "suite.json")
    assert [one.found for one in back.of(Finding)] == [one.found for one in suite.of(Finding)]
    assert "findings-ark_limit.json" in json.loads((out / "suite.json").read_text())["parts"]
    assert (out / "claims.csv").is_file()


def test_a_page_needs_findings(build, tmp_path):
    with pytest.raises(InputError, match="no findings"):
        write_theory_page(build(**ONE).fill().write(), tmp_path / "theory.md")
