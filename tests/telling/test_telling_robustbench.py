"""The export: valid against its schema, readable by RobustBench, and true to the records."""

import json
from dataclasses import replace

import jsonschema
import numpy as np
import pytest

from advntk.foundation.errors import InputError
from advntk.telling.robustbench import export, schema
from advntk.telling.suite_file import read_suite

ONE = {"architectures": [{"family": "mlp", "depth": 3}], "eps255": [16]}
# what RobustBench's model files have, as strings, booleans or numbers
FIELDS = {
    "link": str, "name": str, "authors": str, "additional_data": bool, "number_forward_passes": int, "dataset": str,
    "venue": str, "architecture": str, "eps": str, "clean_acc": str, "reported": str, "unreliable": bool,
}  # fmt: skip


def as_autoattack(suite, name):
    """The suite with one of its attacks taken for AutoAttack."""
    measured = []
    for item in suite.measured:
        if item.record.attack.name == name:
            attack = item.record.attack.model_copy(update={"kind": "autoattack"})
            item = replace(item, record=item.record.model_copy(update={"attack": attack}))
        measured.append(item)
    return replace(suite, measured=tuple(measured))


def exported(suite, folder):
    return {path.name: json.loads(path.read_text()) for path in export(suite, folder)}


def test_one_file_a_predictor_radius_and_seed(build, tmp_path):
    suite = read_suite(build(**{**ONE, "eps255": [0.5, 16]}).fill().write())
    names = set(exported(suite, tmp_path / "out"))
    assert {"digits_mlp-3_ntk_final_eps0.5_seed0.json", "digits_mlp-3_at_best_val_eps16_seed1.json"} <= names
    assert len(names) == 2 * 2 * (1 + 1 + 2 + 2)
    assert {path.name for path in (tmp_path / "out").iterdir()} == names | {"schema.json"}
    (tmp_path / "taken").write_text("")
    with pytest.raises(InputError, match="cannot write"):
        export(suite, tmp_path / "taken")


def test_files_are_valid_and_hold_what_robustbench_reads(build, tmp_path):
    suite = as_autoattack(read_suite(build(**ONE, attacks=["pgd", "aa"]).fill().write()), "aa")
    found = exported(suite, tmp_path / "out")
    written = json.loads((tmp_path / "out" / "schema.json").read_text())
    assert written == schema()
    jsonschema.Draft202012Validator.check_schema(written)
    validator = jsonschema.Draft202012Validator(written)
    for content in found.values():
        validator.validate(content)
        assert {key: type(content[key]) for key in FIELDS} == FIELDS
        assert content["footnote"] is None or isinstance(content["footnote"], str)
        # its leaderboard sorts by the number in this string
        assert 0 <= float(content["autoattack_acc"]) <= float(content["clean_acc"]) <= 100
    damaged = {**content, "clean_acc": 95.2}
    with pytest.raises(jsonschema.ValidationError):
        validator.validate(damaged)


def test_numbers_are_the_records(build, tmp_path):
    suite = as_autoattack(read_suite(build(**ONE, attacks=["pgd", "aa"]).fill().write()), "aa")
    content = exported(suite, tmp_path)["digits_mlp-3_at_last_eps16_seed1.json"]
    mine = {
        item.record.attack.name: item
        for item in suite.measured
        if (item.record.method, item.record.seed) == ("at", 1)
    }  # fmt: skip
    evaluation = mine["aa"].record.evaluations["last"]
    assert content["clean_acc"] == f"{100 * evaluation.clean_accuracy:.2f}"
    assert content["autoattack_acc"] == f"{100 * evaluation.robust_accuracy:.2f}"
    worst = np.minimum(mine["pgd"].robust["last"], mine["aa"].robust["last"]).mean()
    assert content["reported"] == f"{100 * worst:.2f}"
    assert content["eps"] == "16/255"
    assert content["architecture"] == "mlp-3, width 256"
    block = content["advntk"]
    assert (block["seed"], block["n_test"], block["split_hash"]) == (1, 400, "digits1")
    assert [attack["name"] for attack in block["attacks"]] == ["pgd", "aa"]
    assert block["attacks"][1]["interval"] == list(evaluation.robust_interval)


@pytest.mark.parametrize("norm", ["l2", "l1"])
def test_a_kernel_has_no_width_and_radii_of_other_norms_are_on_the_pixel_scale(build, tmp_path, norm):
    suite = read_suite(build(**{**ONE, "eps255": [51]}, norm=norm).fill().write())
    content = exported(suite, tmp_path)["digits_mlp-3_ntk_final_eps51_seed0.json"]
    assert content["architecture"] == "mlp-3, infinitely wide"
    assert content["eps"] == "0.2"


def test_without_autoattack_nothing_is_claimed_and_the_worst_case_is_within_the_threat_model(build, tmp_path):
    suite = read_suite(build(**ONE, attacks=["reference_fixed_gradient", "pgd"]).fill().write())
    content = exported(suite, tmp_path / "a")["digits_mlp-3_at_last_eps16_seed0.json"]
    outside, right = content["advntk"]["attacks"]
    assert float(outside["robust_acc"]) < float(right["robust_acc"]) == float(content["reported"])
    alone = replace(suite, measured=tuple(one for one in suite.measured if one.record.attack.name != "pgd"))
    for content in exported(alone, tmp_path / "b").values():
        assert (content["autoattack_acc"], content["unreliable"], content["reported"]) == (None, None, None)
        assert content["footnote"] == "AutoAttack was not run"
        jsonschema.validate(content, schema())


def test_flags_make_an_entry_unreliable_and_name_their_attacks_where_autoattack_did_not_run(build, tmp_path):
    builder = build(**ONE, attacks=["aa", "reference_fixed_gradient", "mine"])
    builder.flags["at", "last", 0] = ["zero margin gradient", "near chance"]
    suite = read_suite(builder.fill().write())
    judged = exported(as_autoattack(suite, "aa"), tmp_path / "a")
    content = judged["digits_mlp-3_at_last_eps16_seed0.json"]
    assert (content["unreliable"], content["footnote"]) == (True, "zero margin gradient; near chance")
    content = judged["digits_mlp-3_at_last_eps16_seed1.json"]
    assert (content["unreliable"], content["footnote"]) == (False, None)
    content = exported(suite, tmp_path / "b")["digits_mlp-3_at_last_eps16_seed0.json"]
    assert content["unreliable"] is None
    assert content["footnote"].split("; ") == [
        "AutoAttack was not run",
        *("aa: zero margin gradient", "aa: near chance", "mine: zero margin gradient", "mine: near chance"),
    ]


def test_of_several_settings_the_strongest_counts(build, tmp_path):
    suite = as_autoattack(read_suite(build(**ONE, attacks=["strong", "weak"]).fill().write()), "weak")
    suite = as_autoattack(suite, "strong")
    content = exported(suite, tmp_path)["digits_mlp-3_at_last_eps16_seed0.json"]
    strong, weak = (attack["robust_acc"] for attack in content["advntk"]["attacks"])
    assert content["autoattack_acc"] == strong < weak


def test_provenance_is_split_and_names_no_machine(build, tmp_path):
    builder = build(**{**ONE, "methods": ["ntk"], "seeds": 1})
    provenance = {"code": "abc", "versions": {"numpy": "2"}, "processor": "p", "host": "secret", "job": "7"}
    spec = builder.config.specs()[0]
    builder.record("digits", spec, "ntk", 16, "pgd", 0, provenance=provenance, timing={"wall_s": 1.5})
    ((_, content),) = exported(read_suite(builder.write()), tmp_path).items()
    (attack,) = content["advntk"]["attacks"]
    assert (attack["code"], attack["versions"]) == ("abc", {"numpy": "2"})
    assert attack["hardware"] == {"processor": "p"}
    assert attack["timing"] == {"wall_s": 1.5}
