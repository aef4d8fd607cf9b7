"""The reference protocol: which attack counts for kernels and networks, and what is counted."""

import pytest

from advntk.foundation import files
from advntk.telling.protocol import attack_pair, protocol_listings, protocols
from advntk.telling.suite_file import read_suite

OUTSIDE = "reference_fixed_gradient"
ONE = {"architectures": [{"family": "mlp", "depth": 3}], "methods": ["ntk", "at"]}


def test_numbers_by_hand(build):
    builder = build(**ONE, attacks=["pgd_margin", "pgd", OUTSIDE]).fill()
    suite = read_suite(builder.write())
    assert attack_pair(suite) == ("pgd", OUTSIDE)
    frame = protocols(suite)
    assert frame[["eps255", "method", "checkpoint"]].to_numpy().tolist() == [
        [eps255, *cell] for eps255 in (16, 32) for cell in (("ntk", "final"), ("at", "last"), ("at", "best_val"))
    ]
    n, spec = builder.n_test, builder.config.specs()[0]
    for row in frame.itertuples():
        attack = OUTSIDE if row.method == "ntk" else "pgd"
        clean, robust = builder.rates(spec, row.method, row.checkpoint, "pgd", row.eps255)
        _, theirs = builder.rates(spec, row.method, row.checkpoint, attack, row.eps255)
        # the builder adds 4 clean and takes 6 robust examples at seed 1, and counts one more as attacked_correct
        assert row.clean == pytest.approx((round(n * clean) + 2) / n)
        assert row.robust == pytest.approx((round(n * robust) - 3) / n)
        assert row.reference_robust == pytest.approx((round(n * theirs) - 3) / n)
        assert row.reference == pytest.approx(row.reference_robust + 1 / n)
        assert (row.attack, row.reference_attack) == ("pgd", attack)
        assert row.kind == ("kernel" if row.method == "ntk" else "network")
        assert row.max_size255 == row.eps255
        assert row.reference_max_size255 == row.eps255 * (2 if row.method == "ntk" else 1)
    cells, row = next(protocol_listings(suite)).lines[0], frame.iloc[0]
    assert cells[:2] == ["mlp-3", "NTK"]
    assert cells[3:7] == [f"{100 * row[name]:.1f}" for name in ("clean", "robust", "reference", "reference_robust")]
    assert cells[7:] == ["16.00", "32.00"]


def test_sizes_are_in_the_norm_of_the_threat_model(build):
    for norm, factor in (("linf", 1), ("l2", 8), ("l1", 64)):
        suite = read_suite(build(**ONE, norm=norm, eps255=[16], attacks=["pgd", OUTSIDE]).fill().write())
        assert protocols(suite)["reference_max_size255"].tolist() == [factor * 32, factor * 16, factor * 16]


@pytest.mark.parametrize("attacks", [["pgd"], [OUTSIDE], ["pgd_margin", OUTSIDE]])
def test_a_suite_without_the_pair_says_so(build, attacks):
    suite = read_suite(build(**ONE, attacks=attacks).fill().write())
    assert attack_pair(suite) is None
    (listing,) = protocol_listings(suite)
    assert "set `protocol: reference`" in listing.caption
    assert protocols(suite).empty


@pytest.mark.parametrize(
    ("attack", "changes"),
    [
        ("pgd", {"restarts": 5}),
        ("pgd", {"keep": "best"}),
        ("pgd", {"schedule": "cosine"}),
        ("pgd", {"targets": 3}),
        ("pgd", {"loss": "margin"}),
        ("pgd", {"steps": 11}),
        (OUTSIDE, {"step_ratio": 0.1}),
        (OUTSIDE, {"random_start": False}),
    ],
)
def test_attacks_that_differ_by_more_than_the_gradient_are_no_pair(build, attack, changes):
    builder = build(**ONE, eps255=[16], attacks=["pgd", "plain", OUTSIDE])
    builder.attack_options["plain"] = {"steps": 20}
    builder.attack_options[attack] = changes
    assert attack_pair(read_suite(builder.fill().write())) is None


def test_the_pair_may_have_other_options_and_names(build):
    builder = build(**ONE, eps255=[16], attacks=["pgd", "mine", OUTSIDE])
    builder.attack_options |= {name: {"steps": 20, "random_start": False} for name in ("mine", OUTSIDE)}
    assert attack_pair(read_suite(builder.fill().write())) == ("mine", OUTSIDE)


def test_only_pgd_is_paired(build):
    builder = build(**ONE, eps255=[16], attacks=["pgd", OUTSIDE]).fill()
    for place in builder.paths:
        content = files.read_json(place)
        if content["attack"]["kind"] == "pgd":
            content["attack"]["kind"] = "mine"
            files.write_json(place, content)
    assert attack_pair(read_suite(builder.write())) is None


def test_a_users_own_network_method_is_attacked_as_a_network(build):
    builder = build(**{**ONE, "methods": ["mine"]}, eps255=[16], attacks=["pgd", OUTSIDE]).fill()
    for place in builder.paths:
        files.write_json(place, {**files.read_json(place), "kind": "network"})
    assert set(protocols(read_suite(builder.write()))["reference_attack"]) == {"pgd"}
