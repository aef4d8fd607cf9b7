"""Tables: numbers that survive in all forms, what is bold and why, footnotes, stages; the registry."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from advntk.foundation import files
from advntk.foundation.errors import ConfigError
from advntk.foundation.records import AttackRecord
from advntk.telling.accuracy_tables import method_listings, results_listings, standing
from advntk.telling.comparisons import comparisons
from advntk.telling.frames import attack_settings, method_settings, results
from advntk.telling.listing import Column, csv_text, latex, listing_of
from advntk.telling.report import TABLES, write_figure, write_table
from advntk.telling.suite_file import read_suite
from tests.telling.test_telling_comparisons import plant

REFERENCE = Path(__file__).parents[2] / "results/reference"
OUTSIDE = "reference_fixed_gradient"
MLP = {"family": "mlp", "depth": 3}
ONE = {"architectures": [MLP], "eps255": [16]}
NAMES = {
    ("ntk", "final"): "NTK",
    ("early_stopped_ntk", "final"): "early-stopped NTK",
    ("advntk", "last"): "Adv-NTK (last)",
    ("advntk", "best_val"): "Adv-NTK (best on val)",
    ("at", "last"): "AT (last)",
    ("at", "best_val"): "AT (best on val)",
}
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


def test_one_list_of_columns_is_printed_with_dashes_for_unknowns():
    title, _, caption, _, head, _, *lines, _, note = LISTING.as_markdown(2).splitlines()
    assert (title, caption, note) == ("## Costs & benefits", "Share in %.", "* One note: λ ≤ 1.")
    cells = [re.split(r" *(?<!\\)\| *", line)[1:-1] for line in (head, *lines)]
    assert cells == [["A_1", "%", "p"], [r"\|f\|", "50 in 40 to 60", "0.5"], ["**AT**", "9 in 8 to 10", "—"]]


def test_latex_is_escaped():
    text = LISTING.as_latex()
    assert r"\caption{Costs \& benefits. Share in \%.}" in text
    assert r"\textbf{AT} & 9 in 8 to 10 & --- \\" in text
    assert r"One note: $\lambda$ $\le$ 1.\par" in text
    assert latex(r"a_b & 5% ~ \x") == r"a\_b \& 5\% \textasciitilde{} \textbackslash{}x"


def test_csv_has_fractions_short_radii_empty_unknowns_and_small_p():
    frame = pd.DataFrame({"eps255": [16.0, 0.5, 8.0, 8.0], "p": [1 / 3, np.nan, 1.5e-30, 0.0]})
    assert csv_text(frame).split() == ["eps255,p", "16,0.333333", "0.5,", "8,1.500e-30", "8,0.000000"]


def numbers(text):
    """Numbers of the tables' lines, in order."""
    lines = [line for line in text.splitlines() if re.match(r"\| (?!method|network)", line) or line.endswith(r"\\")]
    return re.findall(r"\d+\.\d+", "\n".join(lines))


@pytest.mark.parametrize("name", TABLES)
@pytest.mark.parametrize("norm", ["linf", "l1"])
def test_every_table_of_a_small_and_of_an_empty_suite_is_written(build, tmp_path, name, norm):
    attacks = ["pgd", "autoattack", OUTSIDE]
    builder = build(**ONE, norm=norm, attacks=attacks, seeds=1)
    for fill in (lambda: builder, builder.fill):
        suite = read_suite(fill().write())
        write_table(name, suite, tmp_path / "t.csv")
        markdown, tex = ((tmp_path / f"t.{suffix}").read_text() for suffix in ("md", "tex"))
        assert "suite quick" in markdown.splitlines()[0]
        assert numbers(markdown) == numbers(tex)
        assert tex.isascii()
        body = re.sub(r"^%.*$|\{!\}\{%$|\\[{}]", "", tex, flags=re.M)
        assert not re.search(r"(?<!\\)[%#]", body)
        assert "_" not in re.sub(r"\$[^$]*\$|\\_", "", body)
        assert (plain := re.sub(r"\\[{}]", "", tex)).count("{") == plain.count("}")
        frame = TABLES[name].frame(suite)
        assert (tmp_path / "t.csv").read_text() == csv_text(frame)
        assert frame.empty == (not suite.measured or name in ("transfer", "certified", "claims"))
        assert ("Nothing was measured" in markdown) == frame.empty


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


def cells_of(suite):
    """Cells of the table of results by the title of the table, network, method and column."""
    return {
        (listing.title, *line[:2], title): cell
        for listing in results_listings(suite)
        for line in listing.lines
        for title, cell in zip(listing.head[2:], line[2:], strict=True)
    }


def test_results_in_print_are_those_of_the_frame_with_doubts_in_footnotes(build):
    builder = build(attacks=["pgd", OUTSIDE])
    builder.flags["ntk", "final", 1] = ["50% of gradients are 0 & λ_max > 1e5"]
    suite = read_suite(builder.fill().write())
    cells, seen = cells_of(suite), set()
    for row in results(suite).itertuples():
        table = f"digits, {row.architecture}, ε = {row.eps255:g}/255 (ℓ∞)"
        line = (table, f"{row.architecture}-{row.depth}", NAMES[row.method, row.checkpoint])
        for title, kind in (("clean", "clean"), (row.attack_label, "robust")):
            mean, low, high = (100 * getattr(row, f"{kind}_{end}") for end in ("mean", "lo", "hi"))
            text, _, mark = cells[*line, title].partition(" [")
            assert text == f"{mean:.1f} ± {(high - low) / 2:.1f}"
            assert mark == ("a]" if row.method == "ntk" and kind == "robust" else "")
            seen.add((*line, title))
    assert seen == set(cells)
    assert {title for *_, title in cells} == {"clean", "pgd", f"{OUTSIDE} (outside threat model)"}
    for listing in (*results_listings(suite), *method_listings(suite)):
        assert [note for note in listing.notes if note[0] == "["] == [
            "[a] 50% of gradients are 0 & λ_max > 1e5 (seed 1)"
        ]


def test_stages_of_an_attack_stand_below_the_grids(build):
    builder = build(attacks=["pgd", "autoattack"], eps255=[16], methods=["ntk", "at"]).fill()
    *_, stages = results_listings(read_suite(builder.write()))
    clean, robust = builder.rates(builder.config.specs()[0], "at", "last", "autoattack", 16)
    n = builder.n_test  # seed 1 has 4 more clean and 6 fewer robust examples
    counts = [(round(n * clean) + 4 * seed, round(n * robust) - 6 * seed) for seed in range(2)]
    after = [right - (right - standing) // 2 for right, standing in counts]
    found = [sum(pair) / 2 / n for pair in (*zip(*counts, strict=True), after)]
    (line,) = [line for line in stages.lines if line[:2] == ["mlp-3", "AT (last)"]]
    assert line[2:] == [f"{100 * found[i]:.1f}" for i in (0, 2, 1)]
    assert len(stages.lines) == 3 * 3


def test_settings_are_words(build):
    builder = build(**ONE, attacks=["pgd"], methods=["ntk"], seeds=1)
    own = {"attacks": ["apgd-ce", "square"], "cascade": True}
    attack = AttackRecord(name="pgd", kind="autoattack", options=own, seed=0, inside_threat_model=False)
    builder.record("digits", builder.config.specs()[0], "ntk", 16, "pgd", 0, attack=attack)
    words = "autoattack: attacks apgd-ce + square, cascade True; outside threat model: its points may lie beyond ε"
    assert attack_settings(read_suite(builder.write())) == {"pgd": words}


def test_methods_of_other_names_are_told_by_what_sets_them_apart(build):
    """Differences from the suite's method of the same kind; a searched option lists all values that are tried."""
    attack = {"loss": "cross_entropy", "steps": 7}
    options = {
        "at": {"steps": 500, "batch": 64, "learning_rate": 0.1, "attack": attack},
        "longer": {"kind": "at", "steps": 900, "batch": 64, "learning_rate": 0.1, "attack": attack | {"steps": 9}},
        "searched": {"kind": "at", "learning_rate": 0.2, "search": [{"learning_rate": 0.3}, {"learning_rate": 0.4}]},
        "same": {"kind": "at", "steps": 500, "report_every": 7},
        "alone": {"kind": "advntk", "diagonal": "per_class"},
    }
    assert method_settings(build(methods=["ntk", *options], method_options=options).config) == {
        "longer": "AT: steps 900, attack.steps 9",
        "searched": "AT: search.learning_rate 0.3 or 0.4",
        "same": "AT",
        "alone": "Adv-NTK: diagonal per_class",
    }


def test_a_kernel_fit_made_at_another_width_is_shown(build):
    builder = build(**ONE, methods=["ntk"], seeds=1)
    spec = builder.config.specs()[0]
    builder.record("digits", spec, "ntk", 16, "pgd", 0, architecture=spec.model_copy(update={"width": 7}))
    assert len(cells_of(read_suite(builder.write()))) == 2


@pytest.fixture
def planted(build):
    """Of 400 images 300 are robust under Adv-NTK, 299 of them under early-stopped NTK, 200 under NTK and AT."""
    builder = build(**ONE)
    compared = {"advntk": ("last", "best_val"), "at": ("best_val", "last")}  # and the checkpoint that is not
    for seed in range(2):
        for method, count in {"ntk": 200, "early_stopped_ntk": 299, "advntk": 300, "at": 200}.items():
            place = builder.record("digits", builder.config.specs()[0], method, 16, "pgd", seed)
            checkpoint, other = compared.get(method, ("final", ""))
            plant(place, checkpoint, np.arange(400) < count)
            if other:
                plant(place, other, np.arange(400) < 310)  # better than any, and yet not compared
    return builder


def bold_lines(listing):
    return [line[0] for line in listing.lines if "**" in line[-1]]


def test_the_best_and_what_the_test_does_not_tell_apart_from_it_are_bold(planted):
    suite = read_suite(planted.write())
    (listing,) = method_listings(suite)
    assert bold_lines(listing) == ["early-stopped NTK", "Adv-NTK (last)"]
    assert listing.head == ["method", ("mlp-3", "clean"), ("mlp-3", "pgd")]
    frame = standing(suite).set_index(["method", "checkpoint"])
    assert frame["standing"].to_dict() == {
        ("ntk", "final"): "worse",
        ("early_stopped_ntk", "final"): "not significantly different",
        ("advntk", "last"): "best",
        ("advntk", "best_val"): "",
        ("at", "last"): "",
        ("at", "best_val"): "worse",
    }
    pairs, p = comparisons(suite).set_index(["method_a", "method_b"])["p_holm"], frame["p_holm"]
    assert p["early_stopped_ntk", "final"] == pairs["early_stopped_ntk", "advntk"] > 0.05
    assert p["at", "best_val"] == pairs["advntk", "at"] < 0.05
    assert np.isnan([p["advntk", "last"], p["at", "last"]]).all()
    content = files.read_json(planted.folder / "suite.json")
    content["config"]["methods"].reverse()
    files.write_json(planted.folder / "suite.json", content)
    turned = standing(read_suite(planted.folder / "suite.json")).set_index(["method", "checkpoint"])
    assert turned["standing"].to_dict() == frame["standing"].to_dict()


def test_the_table_of_methods_has_the_numbers_of_the_table_of_results(build):
    suite = read_suite(build(attacks=["pgd", OUTSIDE]).fill().write())
    found, printed = standing(suite), [line[1:] for listing in method_listings(suite) for line in listing.lines]
    texts = []
    for row in found.itertuples():
        assert (row.clean, row.robust) == (row.clean_mean, row.robust_mean)
        assert 2 * row.robust_half == pytest.approx(row.robust_hi - row.robust_lo)
        texts += [f"{100 * row.clean:.1f} ± {100 * row.clean_half:.1f}"]
        texts += [f"{100 * row.robust:.1f} ± {100 * row.robust_half:.1f}"]
    assert sorted(cell.strip("*") for line in printed for cell in line) == sorted(texts)


def test_radii_stand_above_their_columns_and_wide_tables_are_split(build):
    depths = {"architectures": [{"family": "mlp", "depth": depth} for depth in (3, 5, 10)], "eps255": [16, 32]}
    first, second = method_listings(read_suite(build(**depths).fill().write()))
    assert list(dict(first.head[1:]))[:2] == ["mlp-3, ε = 16/255", "mlp-3, ε = 32/255"]
    assert (len(first.head), len(second.head)) == (1 + 4 * 2, 1 + 2 * 2)
    assert [line[0] for line in first.lines] == list(NAMES.values())


@pytest.mark.parametrize(
    ("changes", "why"),
    [({"attacks": [OUTSIDE]}, "this attack may leave the threat model"), ({"methods": ["ntk"]}, "there is one method")],
)
def test_where_nothing_is_compared_nothing_is_bold(build, changes, why):
    (listing,) = method_listings(read_suite(build(**ONE, **changes).fill().write()))
    assert f"Nothing is set in bold: {why}." in listing.caption
    assert not bold_lines(listing)


def test_other_training_data_and_the_reference_protocol_are_said(build):
    builder = build(**ONE, attacks=["pgd", OUTSIDE], protocol="reference", methods=["ntk", "at"]).fill()
    listing, _ = method_listings(read_suite(builder.write()))
    *_, data, protocol = listing.notes
    assert "(deviation D7): NTK on 800 images; AT on 1000 images (opt and val)." in data
    assert "table reference_protocol" in protocol


def test_an_architecture_of_one_dataset_leaves_no_gap(build, tmp_path):
    cnn = {"family": "cnn", "depth": 3, "datasets": ["digits"]}
    suite = read_suite(build(datasets=["digits", "mnist"], architectures=[MLP, cnn], eps255=[8, 16]).fill().write())
    kinds = [listing.title.split(", ")[1] for listing in method_listings(suite)]
    assert kinds.count("mlp") == 2 * kinds.count("cnn")
    for figure in ("curves", "depth", "radius"):
        write_figure(figure, suite, tmp_path / f"{figure}.svg")
        assert "in this suite" not in (tmp_path / f"{figure}.svg").read_text()  # an empty panel would say it
