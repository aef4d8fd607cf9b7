"""The table of methods: what is bold and why, the same numbers in all forms, captions that say what must be known."""

import itertools
import re

import numpy as np
import pytest

from advntk.foundation import files
from advntk.telling.comparisons import comparisons_frame
from advntk.telling.figures import write_figure
from advntk.telling.frames import read_suite, results_frame
from advntk.telling.methods_table import method_listings, methods_frame
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


def bold_lines(listing):
    return [line[0] for line in listing.lines if "**" in line[-1]]


def test_the_best_and_what_the_test_does_not_tell_apart_from_it_are_bold(planted):
    suite = read_suite(planted.write())
    (listing,) = method_listings(suite)
    assert bold_lines(listing) == ["early-stopped NTK", "Adv-NTK (last)"]
    assert listing.head == ["method", ("mlp-3", "clean"), ("mlp-3", "pgd")]
    assert "**75.0 ± " in listing.body()
    assert re.findall(r"\n(.*?) & .*textbf", listing.as_latex()) == ["early-stopped NTK", "Adv-NTK (last)"]
    frame = methods_frame(suite).set_index(["method", "checkpoint"])
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
    here = methods_frame(read_suite(planted.write())).set_index(["method", "checkpoint"])["standing"]
    content = files.read_json(planted.folder / "suite.json")
    content["config"]["methods"].reverse()
    files.write_json(planted.folder / "suite.json", content)
    there = methods_frame(read_suite(planted.folder / "suite.json")).set_index(["method", "checkpoint"])["standing"]
    assert here.to_dict() == there.to_dict()


def test_numbers_are_those_of_the_table_of_results(build):
    suite = read_suite(build(attacks=["pgd", OUTSIDE]).fill().write())
    found, known = methods_frame(suite), results_frame(suite)
    key = ["architecture", "depth", "attack", "eps255", "method", "checkpoint"]
    both = found.merge(known, on=key, validate="one_to_one")
    assert len(both) == len(known)
    assert both["clean"].tolist() == both["clean_mean"].tolist()
    assert both["robust"].tolist() == both["robust_mean"].tolist()
    assert (2 * both["robust_half"]).tolist() == pytest.approx((both["robust_hi"] - both["robust_lo"]).tolist())
    printed = [cell for listing in method_listings(suite) for line in listing.lines for cell in line[1:]]
    texts = [
        (f"{100 * a:.1f} ± {100 * b:.1f}", f"{100 * c:.1f} ± {100 * d:.1f}")
        for a, b, c, d in zip(found["clean"], found["clean_half"], found["robust"], found["robust_half"], strict=True)
    ]
    assert sorted(cell.strip("*") for cell in printed) == sorted(itertools.chain(*texts))


def test_one_table_has_all_depths_side_by_side(build):
    suite = read_suite(
        build(**DEPTHS, attacks=["pgd", "pgd_margin"], seeds=3, datasets=["fashion_mnist"]).fill().write()
    )
    first, second = method_listings(suite)
    assert first.title == "fashion_mnist, mlp, pgd at ε = 8/255 (ℓ∞)"
    assert second.title == "fashion_mnist, mlp, pgd_margin at ε = 8/255 (ℓ∞)"
    assert first.head[1:] == [(name, column) for name in ("mlp-3", "mlp-5", "mlp-10") for column in ("clean", "pgd")]
    assert [line[0] for line in first.lines] == [
        *("NTK", "early-stopped NTK", "Adv-NTK (last)", "Adv-NTK (best on val)", "AT (last)", "AT (best on val)"),
    ]


def test_radii_stand_above_their_columns_and_wide_tables_are_split(build):
    (whole,) = method_listings(read_suite(build(**{**ONE, "eps255": [16, 32]}).fill().write()))
    assert list(dict(whole.head[1:])) == ["mlp-3, ε = 16/255", "mlp-3, ε = 32/255"]
    parts = list(method_listings(read_suite(build(**{**DEPTHS, "eps255": [16, 32]}).fill().write())))
    assert [len(part.head) for part in parts] == [1 + 4 * 2, 1 + 2 * 2]


def test_captions_say_what_is_bold_and_what_the_numbers_are(planted):
    (listing,) = method_listings(read_suite(planted.write()))
    assert "n_test = 400, n_train = 800, seeds = 2" in listing.caption
    assert "p adjusted by Holm over all 6 comparisons" in listing.caption
    assert "different data" not in listing.caption
    assert "reference_protocol" not in listing.caption


def test_a_caption_is_printed_once_on_a_page_and_in_every_float(build, tmp_path):
    write_table("methods", read_suite(build(**ONE, attacks=["pgd", "pgd_margin"]).fill().write()), tmp_path / "t.csv")
    assert (tmp_path / "t.md").read_text().count("Accuracy in percent") == 1
    assert (tmp_path / "t.tex").read_text().count("Accuracy in percent") == 2


def test_attacks_outside_the_threat_model_are_labelled_and_never_bold(build):
    (listing,) = method_listings(read_suite(build(**ONE, attacks=[OUTSIDE]).fill().write()))
    assert f"{OUTSIDE} (outside threat model)" in listing.title
    assert "Nothing is set in bold: this attack may leave the threat model." in listing.caption
    assert not bold_lines(listing)


def test_one_method_is_not_the_best_of_any(build):
    (listing,) = method_listings(read_suite(build(**ONE, methods=["ntk"]).fill().write()))
    assert "Nothing is set in bold: there is one method." in listing.caption
    assert not bold_lines(listing)


def test_other_training_data_and_the_reference_protocol_are_said(build):
    builder = build(**ONE, attacks=["pgd", OUTSIDE], protocol="reference", methods=["ntk", "at"]).fill()
    listing, _ = method_listings(read_suite(builder.write()))
    assert "different data (deviation D7): NTK on 800 images; AT on 1000 images (opt and val)." in listing.caption
    assert "table reference_protocol." in listing.caption


def test_doubts_are_footnotes(build):
    builder = build(**ONE)
    builder.flags["ntk", "final", 1] = ["50% of gradients are 0 & λ_max > 1e5"]
    (listing,) = method_listings(read_suite(builder.fill().write()))
    assert listing.notes == ["[a] 50% of gradients are 0 & λ_max > 1e5 (seed 1)"]


def test_an_architecture_of_one_dataset_leaves_no_gap(build, tmp_path):
    mlp, cnn = {"family": "mlp", "depth": 3}, {"family": "cnn", "depth": 3, "datasets": ["digits"]}
    path = build(datasets=["digits", "mnist"], architectures=[mlp, cnn]).fill().write()
    suite = read_suite(path)
    titles = [listing.title for listing in method_listings(suite)]
    assert sum("cnn" in title.lower() for title in titles) * 2 == sum("mlp" in title.lower() for title in titles)
    for table in TABLES:
        write_table(table, suite, tmp_path / f"{table}.csv")
    for figure in ("curves", "depth", "radius"):
        write_figure(figure, suite, tmp_path / f"{figure}.svg")
        assert "in this suite" not in (tmp_path / f"{figure}.svg").read_text()  # an empty panel would say it
    assert "nan" not in (tmp_path / "methods.md").read_text().lower()
