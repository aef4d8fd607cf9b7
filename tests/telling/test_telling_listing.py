"""Listings: numbers that survive, LaTeX that is balanced; the registry of tables."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from advntk.foundation import files
from advntk.foundation.errors import ConfigError
from advntk.telling.frames import read_suite
from advntk.telling.listing import Column, csv_text, latex, latex_page, listing_of
from advntk.telling.tables import TABLES, write_table

REFERENCE = Path(__file__).parents[2] / "results/reference"
COLUMNS = (
    Column("method", head="A_1", words=True),
    *map(Column, ("robust", "lo", "hi")),
    Column(of=("robust", "lo", "hi"), head="%", text="{0[0]:.0f} in {0[1]:.0f} to {0[2]:.0f}".format),
    Column("p", head="p"),
)
LINES = pd.DataFrame(
    {"method": ["|f|", "**AT**"], "robust": [50, 9], "lo": [40, 8], "hi": [60, 10], "p": [0.5, np.nan]}
)
LISTING = listing_of(COLUMNS, LINES, title="Costs & benefits", caption="Share in %.", notes=["One note: λ ≤ 1."])


def test_one_list_of_columns_is_printed_with_words_to_the_left_and_dashes_for_unknowns():
    title, _, caption, _, head, rule, first, second, _, note = LISTING.as_markdown(2).splitlines()
    assert (title, caption, note) == ("## Costs & benefits", "Share in %.", "* One note: λ ≤ 1.")
    assert head.split() == ["|", "A_1", "|", "%", "|", "p", "|"]
    assert re.fullmatch(r"\|:-+\|-+:\|-+:\|", rule)
    assert re.split(r" *\| *", first.replace(r"\|", "!"))[1:-1] == ["!f!", "50 in 40 to 60", "0.5"]
    assert re.split(r" *\| *", second)[1:-1] == ["**AT**", "9 in 8 to 10", "—"]


def test_latex_is_escaped_and_balanced():
    text = LISTING.as_latex()
    assert text.isascii()
    assert r"\begin{tabular}{lrr}" in text
    assert r"\caption{Costs \& benefits. Share in \%.}" in text
    assert r"\textbf{AT} & 9 in 8 to 10 & --- \\" in text
    assert r"One note: $\lambda$ $\le$ 1.\par" in text
    assert latex(r"a_b & 5% ~ \x") == r"a\_b \& 5\% \textasciitilde{} \textbackslash{}x"


def test_long_runs_of_floats_are_broken():
    text = latex_page("Nine", [LISTING] * 9)
    assert re.findall(r"\\clearpage|\\begin\{table\}", text) == [r"\begin{table}"] * 4 + [
        *([r"\clearpage"] + [r"\begin{table}"] * 4),
        *[r"\clearpage", r"\begin{table}"],
    ]


def test_csv_has_fractions_short_radii_empty_unknowns_and_small_p():
    frame = pd.DataFrame({"eps255": [16.0, 0.5, 8.0, 8.0], "p": [1 / 3, np.nan, 1.5e-30, 0.0]})
    assert csv_text(frame).split() == ["eps255,p", "16,0.333333", "0.5,", "8,1.500e-30", "8,0.000000"]
    assert frame["eps255"].tolist() == [16.0, 0.5, 8.0, 8.0]


def numbers(text):
    """Numbers of the tables' lines, in order."""
    lines = [line for line in text.splitlines() if re.match(r"\| (?!method|network)", line) or line.endswith(r"\\")]
    return re.findall(r"\d+\.\d+", "\n".join(lines))


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
        markdown, tex = ((tmp_path / f"a/t.{suffix}").read_text() for suffix in ("md", "tex"))
        assert (markdown, tex) == tuple((tmp_path / f"b/t.{suffix}").read_text() for suffix in ("md", "tex"))
        assert "suite quick" in markdown.splitlines()[0]
        assert numbers(markdown) == numbers(tex)
        assert tex.isascii()
        body = re.sub(r"^%.*$|\{!\}\{%$|\\[{}]", "", tex, flags=re.M)
        assert not re.search(r"(?<!\\)[%#]", body)
        assert "_" not in re.sub(r"\$[^$]*\$|\\_", "", body)
        for begin, end in ((r"\begin{table}", r"\end{table}"), (r"\begin{tabular}", r"\end{tabular}")):
            assert body.count(begin) == body.count(end)
        plain = tex.replace(r"\{", "").replace(r"\}", "")
        assert plain.count("{") == plain.count("}")
        frame = TABLES[name].frame(suite)
        assert (tmp_path / "a/t.csv").read_text() == csv_text(frame)
        assert frame.empty == (not suite.measured or name in ("transfer", "claims"))
        if frame.empty:
            assert "Nothing was measured" in markdown


def test_unknown_table(build, tmp_path):
    with pytest.raises(ConfigError, match="did you mean 'cost'"):
        write_table("costs", read_suite(build().write()), tmp_path / "t.csv")


@pytest.mark.parametrize("suite", files.read_json(REFERENCE / "index.json")["published"])
def test_published_tables_are_those_of_the_published_outcomes(suite):
    read = read_suite(REFERENCE / suite / "suite.json")
    for name, table in TABLES.items():
        frame, path = table.frame(read), REFERENCE / suite / f"{name}.csv"
        assert path.is_file() == (not frame.empty)
        if not frame.empty:
            assert csv_text(frame) == path.read_text(), name
