"""The planted faults fit the code and the tests as they are, and the program says which are not caught."""

from __future__ import annotations

import re

import pytest

from tests import mutants
from tests.mutants import ROOT, main, places, read_mutants, run

MUTANTS = read_mutants()


@pytest.mark.parametrize("name", MUTANTS)
def test_each_snippet_occurs_exactly_once(name):
    assert places(ROOT, MUTANTS[name].snippet).total() == 1
    assert MUTANTS[name].snippet != MUTANTS[name].becomes


class Collected:
    """A plugin that keeps the node ids of what would run."""

    ids: frozenset[str] = frozenset()

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        self.ids = frozenset(item.nodeid for item in session.items)


def test_each_named_test_is_collected(monkeypatch):
    """Whatever markers leave out by default, such as ``slow``, is not. In this process: a whole run has the modules."""
    named = {test for mutant in MUTANTS.values() for test in mutant.tests}
    monkeypatch.chdir(ROOT)
    found = Collected()
    assert pytest.main(["--collect-only", "-q", "-p", "no:cacheprovider", *sorted(named)], plugins=[found]) == 0
    assert {test.partition("[")[0] for test in named} == {test.partition("[")[0] for test in found.ids}


def test_a_fault_is_caught_in_a_copy(capsys):
    assert main(["--only", "holm-factor-1"]) == 0
    first, line, summary = capsys.readouterr().out.splitlines()
    assert "all tests pass" in first
    assert re.search(r"^caught +[\d.]+ s  holm-factor-1 \(advntk/foundation/statistics\.py\)$", line)
    assert summary == "1 caught"
    assert places(ROOT, MUTANTS["holm-factor-1"].snippet).total() == 1


@pytest.mark.parametrize(
    ("snippet", "outcome"),
    [
        (None, "survived"),
        (None, "timed out"),
        (None, "not run"),
        ("no such code", "snippet missing"),
        ("import", "snippet not unique"),
    ],
)
def test_what_is_not_caught_is_reported(snippet, outcome, capsys, monkeypatch):
    fault = MUTANTS["holm-factor-1"]
    monkeypatch.setattr(mutants, "read_mutants", lambda: {"it": fault._replace(snippet=snippet or fault.snippet)})
    outcomes = iter(["survived", outcome])  # the first without a fault
    monkeypatch.setattr(mutants, "run", lambda *given: (next(outcomes), ""))
    assert main([]) == 1
    _, line, summary = capsys.readouterr().out.splitlines()
    assert line.startswith(outcome)
    assert summary == f"1 {outcome}"


@pytest.mark.parametrize(
    ("test", "outcome"),
    [
        ("def test_it():\n    assert True", "survived"),
        ("def test_it():\n    assert False", "caught"),
        ("import nothing", "not run"),
        ("import time\n\ndef test_it():\n    time.sleep(60)", "timed out"),
    ],
)
def test_only_a_test_that_fails_catches_a_fault(test, outcome, tmp_path):
    (tmp_path / "test_it.py").write_text(test)
    assert run(tmp_path, ["test_it.py"], 2.0 if outcome == "timed out" else 300.0)[0] == outcome


def test_nothing_is_planted_where_tests_fail_already(capsys, monkeypatch):
    monkeypatch.setattr(mutants, "run", lambda *given: ("caught", "1 failed"))
    assert main([]) == 1
    assert "without a fault, the tests must pass" in capsys.readouterr().out
