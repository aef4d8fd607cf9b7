"""The table of methods: what is bold and why, the same numbers in all forms, captions that say what must be known."""

import re

import numpy as np
import pandas as pd
import pytest

from advntk.foundation import files
from advntk.telling.comparisons import comparisons, comparisons_frame
from advntk.telling.figures import write_figure
from advntk.telling.frames import read_suite, results_frame
from advntk.telling.methods_table import COLUMNS, method_grids, methods_frame, standings, write_methods
from advntk.telling.tables import TABLES, write_table
from tests.telling.test_telling_comparisons import plant

OUTSIDE = "reference_fixed_gradient"
ONE = {"architectures": [{"family": "mlp", "depth": 3}], "eps255": [16]}
DEPTHS = {"architectures": [{"family": "mlp", "depth": depth} for depth in (3, 5, 10)], "eps255": [8]}

COMPARED = {"advntk": ("last", "best_val"), "at": ("best_val", "last")}
"""The checkpoint that is compared, and the other one."""


@pytest.fixture
def planted(build):
    """Of 400 images 300 are robust under Adv-NTK, 299 of them under early-stopped NTK, 200 under NTK and AT."""
    builder = build(**ONE)
    spec = builder.config.specs()[0]
    counts = {"ntk": 200, "early_stopped_ntk": 299, "advntk": 300, "at": 200}
    for seed in range(2):
        for method, count in counts.items():
            place = builder.record("digits", spec, method, 16, "pgd", seed)
            checkpoint, other = COMPARED.get(method, ("final", ""))
            plant(place, checkpoint, np.arange(400) < count)
            if other:
                plant(place, other, np.arange(400) < 310)  # better than any, and yet not compared
    return builder


def bold_lines(text):
    return [line.split("|")[1].strip() for line in text.splitlines() if "**" in line]


def test_the_best_and_what_the_test_does_not_tell_apart_from_it_are_bold(planted, tmp_path):
    suite = read_suite(planted.write())
    write_methods(suite, tmp_path / "t.csv")
    text = (tmp_path / "t.md").read_text()
    assert bold_lines(text) == ["early-stopped NTK", "Adv-NTK (last)"]
    assert "**75.0 ± " in text
    assert "mlp-3 pgd" in text
    tex = (tmp_path / "t.tex").read_text()
    assert re.findall(r"\n(.*?) & .*mathbf", tex) == ["early-stopped NTK", "Adv-NTK (last)"]
    frame = methods_frame(suite).set_index(["method", "checkpoint"])
    assert tuple(methods_frame(suite).columns) == COLUMNS
    assert frame["standing"].to_dict() == {
        ("ntk", "final"): "worse",
        ("early_stopped_ntk", "final"): "not significantly different",
        ("advntk", "last"): "best",
        ("advntk", "best_val"): "",
        ("at", "last"): "",
        ("at", "best_val"): "worse",
    }


def test_the_p_are_those_of_the_table_of_comparisons(planted):
    suite = read_suite(planted.write())
    pairs = comparisons_frame(suite).set_index(["method_a", "method_b"])["p_holm"]
    found = methods_frame(suite).set_index(["method", "checkpoint"])["p_holm"]
    assert found["early_stopped_ntk", "final"] == pairs["early_stopped_ntk", "advntk"] > 0.05
    assert found["at", "best_val"] == pairs["advntk", "at"] < 0.05
    assert np.isnan(found["advntk", "last"])
    assert np.isnan(found["at", "last"])


def test_whole_columns_decide_not_the_order_of_methods(planted):
    suite = read_suite(planted.write())
    content = files.read_json(planted.folder / "suite.json")
    content["config"]["methods"].reverse()
    files.write_json(planted.folder / "suite.json", content)
    turned = read_suite(planted.folder / "suite.json")
    ((_, here),), ((_, there),) = (standings(comparisons(one)).items() for one in (suite, turned))
    assert {name: standing.word for name, standing in here.items()} == {name: one.word for name, one in there.items()}


def test_numbers_are_those_of_the_table_of_results(build, tmp_path):
    suite = read_suite(build(attacks=["pgd", OUTSIDE]).fill().write())
    write_methods(suite, tmp_path / "t.csv")
    found, known = methods_frame(suite), results_frame(suite)
    key = ["architecture", "depth", "attack", "eps255", "method", "checkpoint"]
    both = found.merge(known, on=key, validate="one_to_one")
    assert len(both) == len(known)
    assert both["clean"].tolist() == both["clean_mean"].tolist()
    assert both["robust"].tolist() == both["robust_mean"].tolist()
    assert (2 * both["robust_half"]).tolist() == pytest.approx((both["robust_hi"] - both["robust_lo"]).tolist())
    read = pd.read_csv(tmp_path / "t.csv", keep_default_na=False, na_values={"p_holm": [""]})
    pd.testing.assert_frame_equal(read, found, check_dtype=False, atol=1e-6)
    numbers = re.findall(r"([\d.]+) ± ([\d.]+)", (tmp_path / "t.md").read_text())
    printed = re.findall(r"([\d.]+) \\pm ([\d.]+)", (tmp_path / "t.tex").read_text())
    assert set(numbers) == set(printed)
    assert len(numbers) == 2 * len(known)


def test_one_grid_has_all_depths_side_by_side(build):
    suite = read_suite(
        build(**DEPTHS, attacks=["pgd", "pgd_margin"], seeds=3, datasets=["fashion_mnist"]).fill().write()
    )
    first, second = method_grids(suite)
    assert first.title == "fashion_mnist, mlp, pgd at ε = 8/255 (ℓ∞)"
    assert second.title == "fashion_mnist, mlp, pgd_margin at ε = 8/255 (ℓ∞)"
    assert first.groups == ["mlp-3", "mlp-5", "mlp-10"]
    assert first.quantities == ["clean", "pgd"]
    assert [label for label, _ in first.lines] == [
        *("NTK", "early-stopped NTK", "Adv-NTK (last)", "Adv-NTK (best on val)", "AT (last)", "AT (best on val)"),
    ]


def test_radii_stand_above_their_columns_and_wide_grids_are_split(build):
    (whole,) = method_grids(read_suite(build(**{**ONE, "eps255": [16, 32]}).fill().write()))
    assert whole.groups == ["mlp-3, ε = 16/255", "mlp-3, ε = 32/255"]
    parts = list(method_grids(read_suite(build(**{**DEPTHS, "eps255": [16, 32]}).fill().write())))
    assert len(parts) > 1
    assert sum(len(part.groups) for part in parts) == 6
    assert all(len(line) <= 150 for part in parts for line in part.as_markdown(2).splitlines() if line[:1] == "|")


def test_captions_say_what_is_bold_and_what_the_numbers_are(planted, tmp_path):
    write_methods(read_suite(planted.write()), tmp_path / "t.csv")
    text = (tmp_path / "t.md").read_text()
    assert "n_test = 400, n_train = 800, seeds = 2" in text
    assert "95% interval over seeds and test examples" in text
    assert "p adjusted by Holm over all 6 comparisons" in text
    assert "Networks are compared at the checkpoint best on val" in text
    assert "different data" not in text
    assert "reference_protocol" not in text


def test_a_caption_is_told_once_on_a_page_and_in_every_float(build, tmp_path):
    write_methods(read_suite(build(**ONE, attacks=["pgd", "pgd_margin"]).fill().write()), tmp_path / "t.csv")
    assert (tmp_path / "t.md").read_text().count("Accuracy in percent") == 1
    assert (tmp_path / "t.tex").read_text().count("Accuracy in percent") == 2


def test_attacks_outside_the_threat_model_are_labelled_and_never_bold(build, tmp_path):
    write_methods(read_suite(build(**ONE, attacks=[OUTSIDE]).fill().write()), tmp_path / "t.csv")
    text = (tmp_path / "t.md").read_text()
    assert f"{OUTSIDE} (outside threat model)" in text
    assert "Nothing is set in bold: this attack may leave the threat model." in text
    assert not bold_lines(text)
    assert "mathbf" not in (tmp_path / "t.tex").read_text()


def test_one_method_is_not_the_best_of_any(build, tmp_path):
    write_methods(read_suite(build(**ONE, methods=["ntk"]).fill().write()), tmp_path / "t.csv")
    text = (tmp_path / "t.md").read_text()
    assert "Nothing is set in bold: there is one method." in text
    assert not bold_lines(text)


def test_other_training_data_and_the_reference_protocol_are_said(build, tmp_path):
    builder = build(**ONE, attacks=["pgd", OUTSIDE], protocol="reference", methods=["ntk", "at"]).fill()
    write_methods(read_suite(builder.write()), tmp_path / "t.csv")
    text = (tmp_path / "t.md").read_text()
    assert "different data (deviation D7): NTK on 800 images; AT on 1000 images (opt and val)." in text
    assert "What the reference code's protocol gives instead (deviations D2, D15): table reference_protocol." in text


def test_doubts_are_footnotes(build, tmp_path):
    builder = build(**ONE)
    builder.flags["ntk", "final", 1] = ["50% of gradients are 0 & λ_max > 1e5"]
    write_methods(read_suite(builder.fill().write()), tmp_path / "t.csv")
    assert "* [a] 50% of gradients are 0 & λ_max > 1e5 (seed 1)" in (tmp_path / "t.md").read_text()


def test_latex_is_balanced_and_escaped(build, tmp_path):
    write_methods(read_suite(build(attacks=["pgd", OUTSIDE]).fill().write()), tmp_path / "t.csv")
    text = (tmp_path / "t.tex").read_text()
    assert text.isascii()
    body = "\n".join(line for line in text.splitlines() if not line.startswith("%"))
    assert "_" not in re.sub(r"\$[^$]*\$|\\_", "", body)
    assert body.replace(r"\{", "").count("{") == body.replace(r"\}", "").count("}")
    for columns, content in re.findall(r"\\begin\{tabular\}\{l(r+)\}(.*?)\\end\{tabular", body, flags=re.S):
        lines = [line for line in content.splitlines() if line.endswith(r"\\") and "multicolumn" not in line]
        assert len(lines) == 7
        assert {len(re.findall(r"(?<!\\)&", line)) for line in lines} == {len(columns)}


def test_an_architecture_of_one_dataset_leaves_no_gap(build, tmp_path):
    mlp, cnn = {"family": "mlp", "depth": 3}, {"family": "cnn", "depth": 3, "datasets": ["digits"]}
    path = build(datasets=["digits", "mnist"], architectures=[mlp, cnn]).fill().write()
    suite = read_suite(path)
    titles = [grid.title for grid in method_grids(suite)]
    assert sum("cnn" in title.lower() for title in titles) * 2 == sum("mlp" in title.lower() for title in titles)
    for table in TABLES:
        write_table(table, suite, tmp_path / f"{table}.csv")
    for figure in ("curves", "depth", "radius"):
        write_figure(figure, suite, tmp_path / f"{figure}.svg")
        assert "in this suite" not in (tmp_path / f"{figure}.svg").read_text()  # an empty panel would say it
    assert "nan" not in (tmp_path / "methods.md").read_text().lower()
