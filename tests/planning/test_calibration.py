"""Rates from measurements: what is put in comes out, one disturbed job does not lead, other files are refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from advntk.cli import main
from advntk.foundation.errors import InputError
from advntk.planning import calibration
from advntk.planning.calibration import Observation
from advntk.planning.memory import Memory
from advntk.planning.probes import PROBES, Probe, Probed, read_probes, write_probes
from advntk.planning.rates import BASES, RATES, read_rates
from advntk.planning.work import UNITS

ROOT = Path(__file__).parents[2]
COSTS = ROOT / "results/reference/costs"
TRUE = {"start": 0.5, "mlp.value": 2e-9, "theta": 3e-10}


def observed(amounts: list[dict[str, float]], *, disturbed: int = -1) -> list[Observation]:
    found = []
    for index, work in enumerate(amounts):
        seconds = sum(TRUE[unit] * amount for unit, amount in work.items())
        seconds *= 30 if index == disturbed else 1
        found.append(Observation(source="s", rule="fit", label=str(index), work=work, cpu_s=seconds))
    return found


AMOUNTS = [{"start": 1, "mlp.value": 10.0**power, "theta": 10.0 ** (18 - power)} for power in (7, 8, 9, 10, 11)] + [
    {"start": 1.0},
    {"start": 2.0},
]


def test_rates_that_made_the_times_are_found():
    assert calibration.fitted(observed(AMOUNTS)) == pytest.approx(TRUE, rel=1e-3)


def test_one_disturbed_job_does_not_lead():
    amounts = [*AMOUNTS, *AMOUNTS, *AMOUNTS]
    found = calibration.fitted(observed(amounts, disturbed=2))
    assert found["mlp.value"] == pytest.approx(TRUE["mlp.value"], rel=0.3)
    assert found["theta"] == pytest.approx(TRUE["theta"], rel=0.3)


def test_units_that_nothing_has_are_left_out():
    assert "factor" not in calibration.fitted(observed(AMOUNTS))


def test_the_memory_of_libraries_bounds_every_peak():
    peaks = [(Memory(held_mb=20, base="kernel"), 180.0), (Memory(held_mb=10, mapped_mb=50, base="kernel"), 200.0)]
    assert calibration.bases(peaks) == {**dict.fromkeys(BASES, 0.0), "kernel": 160.0}


def test_the_rates_are_those_that_the_command_makes(tmp_path, capsys):
    """``advntk calibrate`` on what is kept gives the file of the package."""
    suites = sorted(str(path) for path in COSTS.glob("*.json") if path.stem != "probes")
    out = tmp_path / "rates.json"
    assert main(["calibrate", *suites, "--probes", str(COSTS / "probes.json"), "--out", str(out)]) == 0
    made, kept = json.loads(out.read_text()), json.loads(RATES.read_text())
    for unit, seconds in kept["seconds"].items():
        assert made["seconds"][unit] == pytest.approx(seconds, rel=0.02, abs=1e-16), unit
    for key in ("bases_mb", "machine", "sources", "schema"):
        assert made[key] == kept[key]
    assert "ratio" in capsys.readouterr().out


def test_probes_are_kept_and_read_back(tmp_path):
    found = [Probed(probe=Probe(what="theta", n=100), cpu_s=0.25)]
    write_probes(found, tmp_path / "probes.json", machine="M")
    assert read_probes(tmp_path / "probes.json") == found
    assert found[0].work == {"theta": 10 * 100**2}


def test_every_probe_runs_and_is_told(monkeypatch):
    from advntk.planning import probes

    few = Probe(what="values", depth=3, n=20, side=6, channels=1), Probe(what="update", width=8, side=6, batch=4)
    monkeypatch.setattr(probes, "PROBES", (*few, Probe(what="eigenvalues", n=20)))
    monkeypatch.setattr(probes, "LEAST_S", 0.0)
    found = probes.run_probes()
    assert [one.probe.what for one in found] == ["values", "update", "eigenvalues"]
    assert all(one.cpu_s >= 0 and set(one.work) <= set(UNITS) for one in found)
    assert len({Probed(probe=probe, cpu_s=0).label for probe in PROBES}) == len(PROBES)


def test_other_files_are_refused(tmp_path):
    wrong = tmp_path / "rates.json"
    wrong.write_text('{"schema": "x"}')
    with pytest.raises(InputError, match="advntk calibrate"):
        read_rates(wrong)
    wrong.write_text(json.dumps(json.loads(RATES.read_text()) | {"seconds": {"no such unit": 1.0}}))
    with pytest.raises(InputError, match="no such unit"):
        read_rates(wrong)
    with pytest.raises(InputError, match="--probe"):
        read_probes(wrong)


def test_nothing_to_fit_to_is_an_error(capsys):
    assert main(["calibrate"]) == 1
    assert "nothing to fit to" in capsys.readouterr().err


def test_the_page_is_what_the_commands_write(tmp_path, monkeypatch):
    """docs/cost.md is up to date."""
    monkeypatch.chdir(ROOT)
    page = tmp_path / "cost.md"
    page.write_text((ROOT / "docs/cost.md").read_text(encoding="utf-8"), encoding="utf-8")
    limits = ["--cores", "64", "--memory-mb", "16000", "--disk-gb", "100", "--hours", "24"]
    assert main(["plan", "--configfile", "suites/paper.yaml", *limits, "--into", str(page)]) == 0
    suites = sorted(str(path) for path in COSTS.glob("*.json") if path.stem != "probes")
    out = tmp_path / "rates.json"
    assert (
        main(["calibrate", *suites, "--probes", str(COSTS / "probes.json"), "--out", str(out), "--into", str(page)])
        == 0
    )
    assert page.read_text(encoding="utf-8") == (ROOT / "docs/cost.md").read_text(encoding="utf-8")
