"""The page of results: written from reference results alone."""

import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from advntk.cli import main
from advntk.foundation import files
from advntk.foundation.errors import InputError
from advntk.telling.accuracy_tables import method_listings
from advntk.telling.comparisons import comparisons, differences
from advntk.telling.pages import write_page
from advntk.telling.publishing.publish import publish
from advntk.telling.suite_file import read_suite
from tests.telling.conftest import Builder

ROOT = Path(__file__).parents[2]
OUTSIDE = "reference_fixed_gradient"
DEPTHS = {"architectures": [{"family": "mlp", "depth": depth} for depth in (3, 5, 10)], "eps255": [8]}
MADE = {
    "code": "0123456789ab", "versions": {"jax": "1.2.3", "advntk": "9"}, "processor": "A processor", "threads": 2,
    "finished": "2026-01-02T03:04:05Z", "python": "3.11.7", "host": "secret",
}  # fmt: skip


def test_a_page_is_written_from_a_published_suite_and_names_no_host(tmp_path, monkeypatch):
    builder = Builder(tmp_path, **DEPTHS, attacks=["pgd", OUTSIDE], datasets=["fashion_mnist"], seeds=3)
    builder.provenance = MADE
    suite = read_suite(builder.fill().write())
    monkeypatch.chdir(tmp_path)
    publish(suite, Path("results/reference/quick"))
    shutil.copy(ROOT / "results/reference/README.md", "results/reference/README.md")
    assert main(["page", "--reference", "results/reference", "--out", "docs/results.md"]) == 0
    text = Path("docs/results.md").read_text()
    assert "digest 0123456789ab" in text
    assert "secret" not in text
    for listing in method_listings(suite):
        assert listing.as_markdown(4).splitlines()[-1] in text
    assert re.findall(r"!\[.*\]\(figures/results_quick_(.*)\.png\)", text) == ["curves", "depth", "overfitting"]
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        assert (Path("docs") / target).exists(), target


def test_differences_have_the_sign_of_the_method_that_is_set_against_the_others(build, tmp_path):
    suite = read_suite(build(**DEPTHS, seeds=1).fill().write())
    listing = differences(suite)["digits"]
    assert listing.head == ["network", "ε", "attack", "− NTK", "− early-stopped NTK", "− AT (best on val)"]
    frame = comparisons(suite).set_index(["depth", "method_a", "method_b"])
    for line, depth in zip(listing.lines, (3, 5, 10), strict=True):
        ntk, at = frame.loc[depth, "ntk", "advntk"], frame.loc[depth, "advntk", "at"]
        assert line[3].strip("*").startswith(f"{-100 * ntk['difference']:+.1f} [{-100 * ntk['difference_hi']:+.1f}")
        assert line[5].strip("*").startswith(f"{100 * at['difference']:+.1f} [{100 * at['difference_lo']:+.1f}")
        assert ("**" in line[5]) == (at["p_holm"] <= 0.05)
        assert "**" in line[3]


def test_a_page_without_suites_shows_kept_tables_and_names_what_left_the_threat_model(tmp_path):
    """In l2 its points may lie within ε of the images in ℓ∞, the only norm that a kept table has."""
    shutil.copytree(ROOT / "results/reference/attacks", tmp_path / "reference/attacks")
    kept = [{"suite": "attacks", "command": "c", "tables": ["robust_accuracy", "transfer"]}]
    files.write_json(tmp_path / "reference/index.json", {"schema": "advntk-reference-1", "published": [], "kept": kept})
    table = tmp_path / "reference/attacks/robust_accuracy.csv"
    frame = pd.read_csv(table)
    for changed in (frame, frame.assign(max_linf255=np.minimum(frame["max_linf255"], frame["eps255"]))):
        changed.to_csv(table, index=False)
        assert write_page(tmp_path / "reference", tmp_path / "page.md") == [tmp_path / "page.md"]
        text = (tmp_path / "page.md").read_text()
        assert f"{OUTSIDE} (outside threat model)" in text
        assert "autoattack (outside" not in text
    assert "No suite is published yet." in text
    assert re.search(r"\| mlp, depth 3 \| NTK +\| 100\.0 ± 1\.8 \| 95\.0 ± 4\.8 ", text)
    assert "[transfer](reference/attacks/transfer.csv)" in text


def test_a_folder_without_a_list_is_told(tmp_path):
    with pytest.raises(InputError, match=r"index\.json: file not found"):
        write_page(tmp_path, tmp_path / "page.md")
    files.write_json(tmp_path / "index.json", {"schema": "other"})
    with pytest.raises(InputError, match="not a list of schema advntk-reference-1"):
        write_page(tmp_path, tmp_path / "page.md")


def test_no_reference_interval_of_an_accuracy_is_without_width():
    ends = (("clean_lo", "clean_hi"), ("robust_lo", "robust_hi"), ("difference_lo", "difference_hi"), ("lo", "hi"))
    for path in (ROOT / "results/reference").glob("*/*.csv"):
        frame = pd.read_csv(path)
        if "quantity" in frame:
            frame = frame[frame["quantity"].str.contains("accura")]
        for low, high in ends:
            if low in frame:
                assert (frame[low] < frame[high]).all(), (path, low)


def test_reference_results_are_small_csv_and_json():
    listed = files.read_json(ROOT / "results/reference/index.json")
    for name in listed["published"]:
        for path in (ROOT / "results/reference" / name).iterdir():
            assert path.suffix in {".csv", ".json"}
            assert path.stat().st_size < 2**20
