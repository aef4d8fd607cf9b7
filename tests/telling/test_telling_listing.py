"""Listings: columns that line up, numbers that survive, LaTeX that is balanced; the registry of tables."""

import re

import numpy as np
import pandas as pd
import pytest

from advntk.foundation.errors import ConfigError
from advntk.telling.frames import read_suite
from advntk.telling.listing import Listing, latex_page, write_listings
from advntk.telling.tables import TABLES, write_table

LISTING = Listing(
    title="Costs & benefits",
    caption="Share in %.",
    head=["network", "A_1", "p"],
    lines=[["mlp-3", "early-stopped NTK", "<0.001"], ["cnn-10", "AT", "1.000"]],
    notes=["One note: λ ≤ 1."],
    words=2,
)
FRAME = pd.DataFrame({"eps255": [16.0, 0.5], "robust": [1 / 3, np.nan], "word": ["a", "b"]})


def test_markdown_lines_up_with_words_to_the_left():
    assert LISTING.as_markdown(2).splitlines() == [
        "## Costs & benefits",
        "",
        "Share in %.",
        "",
        "| network | A_1               |      p |",
        "| ------- | ----------------- | -----: |",
        "| mlp-3   | early-stopped NTK | <0.001 |",
        "| cnn-10  | AT                |  1.000 |",
        "",
        "* One note: λ ≤ 1.",
    ]


def test_latex_is_escaped_and_balanced():
    text = LISTING.as_latex()
    assert text.isascii()
    assert r"\begin{tabular}{llr}" in text
    assert r"\caption{Costs \& benefits. Share in \%.}" in text
    assert r"mlp-3 & early-stopped NTK & \textless{}0.001 \\" in text
    assert r"One note: $\lambda$ $\le$ 1.\par" in text
    for name in ("table", "tabular"):
        assert text.count(f"\\begin{{{name}}}") == text.count(f"\\end{{{name}}}") == 1
    bare = re.sub(r"\\[{}]", "", text)
    assert bare.count("{") == bare.count("}")


def test_long_runs_of_floats_are_broken():
    text = latex_page("Nine", [f"float {i}" for i in range(9)])
    assert re.findall(r"\\clearpage\n(.*)", text) == ["float 4", "float 8"]


def test_csv_has_fractions_short_radii_and_empty_unknowns(tmp_path):
    write_listings("One", FRAME, [LISTING], tmp_path / "deep" / "t.csv")
    lines = (tmp_path / "deep/t.csv").read_text().splitlines()
    assert lines == ["eps255,robust,word", "16,0.333333,a", "0.5,,b"]
    assert FRAME["eps255"].tolist() == [16.0, 0.5]


def test_small_p_values_stay_in_the_csv(tmp_path):
    frame = pd.DataFrame({"p": [1.5e-30, 0.0, 0.05, -2e-5]})
    write_listings("One", frame, [LISTING], tmp_path / "t.csv")
    assert (tmp_path / "t.csv").read_text().split() == ["p", "1.500e-30", "0.000000", "0.050000", "-2.000e-05"]


def test_parts_stand_under_one_title(tmp_path):
    write_listings("Both", FRAME, [LISTING, LISTING], tmp_path / "t.csv")
    assert (tmp_path / "t.md").read_text() == f"# Both\n\n{LISTING.as_markdown(2)}\n{LISTING.as_markdown(2)}"
    assert (tmp_path / "t.tex").read_text().count(LISTING.as_latex()) == 2


@pytest.mark.parametrize("name", TABLES)
@pytest.mark.parametrize("norm", ["linf", "l1"])
def test_every_table_of_a_small_and_of_an_empty_suite_is_written(build, tmp_path, name, norm):
    small = {"architectures": [{"family": "mlp", "depth": 3}], "eps255": [16], "norm": norm}
    small |= {"attacks": ["pgd", "autoattack", "reference_fixed_gradient"], "seeds": 1}
    builder = build(**small)
    for fill in (lambda: builder, builder.fill):
        suite = read_suite(fill().write())
        for folder in ("a", "b"):
            write_table(name, suite, tmp_path / folder / "t.csv")
        for suffix in ("csv", "md", "tex"):
            first, second = ((tmp_path / folder / f"t.{suffix}").read_bytes() for folder in ("a", "b"))
            assert first == second
        assert "suite quick" in (tmp_path / "a/t.md").read_text().splitlines()[0]
        found = len(pd.read_csv(tmp_path / "a/t.csv"))
        assert (found > 0) == (bool(suite.measured) and name not in ("transfer", "claims"))
        if not found:
            assert re.search("Nothing was measured|has no records|no transfers", (tmp_path / "a/t.md").read_text())


def test_unknown_table(build, tmp_path):
    with pytest.raises(ConfigError, match="did you mean 'cost'"):
        write_table("costs", read_suite(build().write()), tmp_path / "t.csv")
