"""The closed schema: wrong keys and values are refused with the key, what is allowed, and the nearest right one."""

from __future__ import annotations

import copy
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from pydantic import BaseModel

from advntk.foundation import registry
from advntk.foundation.config import SuiteConfig
from advntk.foundation.errors import ConfigError
from advntk.ingredients.datasets import npz
from advntk.step import listed
from advntk.suite import ATTACKS, DATASETS, METHODS, merged, resolve
from tests.lists import LISTS

ROOT = Path(__file__).parents[2]


@pytest.fixture
def quick():
    """The default suite, with lists that stay as they are when it changes."""
    return yaml.safe_load((ROOT / "config.yaml").read_text()) | LISTS | {"eps255": [16, 32]}


def test_the_default_suite_resolves():
    assert resolve(yaml.safe_load((ROOT / "config.yaml").read_text())).cells()


def changed(config, path, value):
    config = copy.deepcopy(config)
    *parents, last = path
    place = config
    for key in parents:
        place = place[key]
    place[last] = value
    return config


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (["sedes"], 3, r"sedes: unknown key \(did you mean 'seeds'\?\); allowed: .*architectures"),
        (["seeds"], 0, r"seeds: .*greater than or equal to 1, not 0"),
        (["seeds"], "two", r"seeds: .*integer.*'two'"),
        (["norm"], "linff", r"norm: .*did you mean 'linf'"),
        (["eps255"], [16, 16], r"eps255: an entry is listed twice"),
        (["eps255"], [-1], r"radii must be >= 0"),
        (["datasets"], ["digit"], r"datasets: unknown dataset 'digit' \(did you mean 'digits'\?\)"),
        (
            ["methods"],
            ["adv_ntk"],
            r"unknown method 'adv_ntk' \(did you mean 'advntk'\?\); allowed: advntk, advntk_trades, at",
        ),
        (["attacks"], ["pgb"], r"unknown attack 'pgb' \(did you mean 'pgd'\?\)"),
        (
            ["architectures", 0, "family"],
            "mpl",
            r"architectures\.0\.family: unknown family 'mpl' .*'mlp'",
        ),
        (["architectures", 0, "deepth"], 3, r"architectures\.0\.deepth: unknown key \(did you mean 'depth'\?\)"),
        (["architectures", 0, "depth"], 0, r"architectures\.0\.depth"),
        (["architectures", 0, "datasets"], ["mnist"], r"architectures\.0\.datasets: 'mnist' is not among the datasets"),
        (["architectures", 0, "datasets"], [], r"architectures\.0\.datasets: .*at least 1 item"),
        (["network", "width", "mlp"], 0, r"network\.width\.mlp: .*greater than 0, not 0"),
        (["network", "sigma_w"], "1e400", r"network\.sigma_w: .*finite number"),
        (["architectures", 0, "sigma_w"], -1, r"architectures\.0\.sigma_w: .*greater than 0"),
        (["network", "activation"], "rellu", r"network\.activation: .*did you mean 'relu'"),
        (["method_options", "advntk", "step"], 3, r"method_options\.advntk\.step: unknown key .*'steps'"),
        (["method_options", "advntk", "diagonal"], "full", r"method_options\.advntk\.diagonal"),
        (["method_options", "ntkk"], {}, r"method_options: unknown method 'ntkk' \(did you mean 'ntk'"),
        (["method_options", "at", "learning_rate"], 0.1, r"exactly one of learning_rate_fraction"),
        (["dataset_options", "digits", "n_opt"], 1, r"dataset_options\.digits\.n_opt"),
        (
            ["dataset_options", "digits", "n_opt"],
            1600,
            r"dataset_options\.digits: n_opt \+ n_val \+ n_test = 1801 is more than the 1797 images; correct",
        ),
        (
            ["dataset_options", "fashion_mnist", "n_opt"],
            58_001,
            r"dataset_options\.fashion_mnist: n_opt \+ n_val = 60001 is more than the 60000 images; correct",
        ),
        (
            ["dataset_options", "fashion_mnist", "n_test"],
            10_001,
            r"dataset_options\.fashion_mnist: n_test = 10001 is more than the 10000 test images",
        ),
        (["compute", "gram_parts"], 0, r"compute\.gram_parts: .*greater than or equal to 1"),
        (["attack_options", "pgd", "stepz"], 1, r"attack_options\.pgd\.stepz: unknown key .*'steps'"),
        (["attack_options", "pgd", "kind"], "pgx", r"attack_options\.pgd\.kind: .*|unknown attack 'pgx'"),
        (["network", "width", "ccn"], 3, r"network\.width: unknown family 'ccn' \(did you mean 'cnn'\?\)"),
        (["overrides", 0, "when", "family"], "cn", r"overrides\.0\.when\.family: unknown family 'cn'"),
        (["overrides", 0, "when", "dataset"], "svnh", r"overrides\.0\.when\.dataset: unknown dataset 'svnh'.*'svhn'"),
        (
            ["overrides", 0, "when"],
            {"family": "resnet", "depth": 19},
            r"overrides\.0\.when\.depth: no ResNet of depth 19; give depth: 18 or 34",
        ),
        (["overrides", 1, "method_options", "at", "stepz"], 3, r"overrides\.1\.method_options\.at\.stepz: unknown key"),
        # of digits with wrong labels, which this suite does not run
        (["overrides", 0, "method_options", "at", "stepz"], 3, r"overrides\.0\.method_options\.at\.stepz: unknown key"),
        (["method_options", "advntk", "learning_rate"], [], r"method_options\.advntk\.learning_rate"),
        (["method_options", "advntk", "learning_rate"], -1, r"method_options\.advntk\.learning_rate"),
        (["method_options", "advntk", "batch"], 201, r"batch 201 is more than the 200 images of val"),
        (["eps255"], [1.23456789], r"at most 6 digits"),
        (["eps255"], [1e-5], r"0\.001 or more"),
        (["eps255"], [8, 8 / 256], r"eps255: 0\.03125 looks like a radius on the unit scale.*give 7\.97"),
        (["eps255"], [300], r"eps255: 300 is more than the whole pixel range"),
        (
            ["sweeps"],
            {"radius": {"attack": "pgd", "values": [0, 0.1, 0.3]}},
            r"sweeps\.radius\.values: 0\.3 looks like",
        ),
        (["sweeps"], {"radius": {"attack": "pgd", "values": [8, 256]}}, r"values: 256 is more than the whole pixel"),
        (["experiments"], {"xi_freedom": {"eps255": 0.1}}, r"experiments\.xi_freedom\.eps255: 0\.1 looks like"),
        (["experiments"], {"degeneration": {"eps255": {"digits": 0.1}}}, r"degeneration\.eps255\.digits: 0\.1 looks"),
        (["attack_options", "a/b"], {"kind": "pgd"}, r"letters, digits and _ only, not 'a/b'"),
        (["compute", "device"], "cuda", r"compute\.device: .*'auto', 'cpu' or 'gpu'"),
        (["suite"], "a b", r"suite: "),
        (["protocol"], "pairs", r"protocol: .*'paired' or 'reference'"),
        (["transfer"], ["pgx"], r"transfer: 'pgx' is not among the attacks of this suite"),
        (["transfer"], ["autoattack"], r"transfer: 'autoattack' is not among the attacks"),
        (["dataset_options", "digits", "n_test"], -1, r"dataset_options\.digits\.n_test"),
        (["sweeps"], {"radios": {"attack": "pgd", "values": [1]}}, r"sweeps\.radios.*'radius', 'steps' or 'restarts'"),
        (["sweeps"], {"radius": {"attack": "pgd", "values": [4, 2]}}, r"sweeps\.radius: values must rise"),
        (["sweeps"], {"radius": {"attack": "pgb", "values": [4]}}, r"unknown attack 'pgb' \(did you mean 'pgd'"),
        (
            ["sweeps"],
            {"steps": {"attack": "noise", "values": [4]}},
            r"'noise' cannot be varied in its steps; use kind pgd",
        ),
        (["sweeps"], {"radius": {"attack": "autoattack", "values": [4]}}, r"'autoattack' cannot be varied"),
        (["sweeps"], {"steps": {"attack": "pgd", "values": [0.5]}}, r"sweeps\.steps\.steps: .*integer"),
        (["certificates", "radii"], [0, 8], r"certificates\.radii: radii must rise and be positive"),
        (["certificates", "radii"], [300], r"certificates\.radii: 300 is more than the whole pixel range"),
        (["certificates"], {"radii": [8], "bounds": "d"}, r"certificates\.bounds: .*'b', 'bc' or 'bcd'"),
        (
            ["certificates"],
            {"radii": [8], "attack": "autoattack"},
            r"certificates\.attack: 'autoattack' cannot be tried",
        ),
    ],
)
def test_wrong_keys_and_values(quick, path, value, message):
    with pytest.raises(ConfigError, match=message):
        resolve(changed(quick, path, value))


@pytest.mark.parametrize("values", [[0, 0.01, 0.1, 1, 10], [0.25, 0.5], [0, 8]])
def test_a_sweep_may_begin_with_tiny_radii(quick, values):
    assert resolve(changed(quick, ["sweeps"], {"radius": {"attack": "pgd", "values": values}}))


@pytest.mark.parametrize("norm", ["l2", "l1"])
def test_in_another_norm_a_radius_may_exceed_the_pixel_range(quick, norm):
    assert resolve(quick | {"norm": norm, "eps255": [3060]})
    with pytest.raises(ConfigError, match=r"eps255: 1 looks like a radius on the unit scale"):
        resolve(quick | {"norm": norm, "eps255": [1]})


def test_a_suite_expands_to_its_cells(quick):
    suite = resolve(quick)
    assert len(suite.cells()) == 1 * 3 * 5 * 2 * 2
    assert len(set(listed(suite)["records"])) == len(suite.cells()) * 2
    fits = listed(suite)["fits"]
    assert len(fits) == 3 * 2 * (1 + 4 * 2)  # ntk does not depend on the radius
    assert sum("/ntk/anyeps/" in fit for fit in fits) == 6


def test_null_within_a_mapping_on_the_command_line_is_no_text(quick):
    """Snakemake gives it as text, as in ``--config 'method_options={at: {learning_rate_fraction: null}}'``."""
    given = {"method_options": {"at": {"learning_rate": "0.1", "learning_rate_fraction": "null", "search": []}}}
    options = resolve(merged(quick, given)).options["digits", "mlp-3", "at"]
    assert (options.learning_rate, options.learning_rate_fraction) == (0.1, None)
    with pytest.raises(ConfigError, match=r"steps: .*integer.*'null'"):
        resolve(merged(quick, {"method_options": {"at": {"steps": "null"}}}))


def test_paths_of_a_user_may_start_at_home(quick, monkeypatch):
    monkeypatch.setenv("HOME", "/home/somebody")
    given = {"results": "~/results", "data": "~/data", "compute": {"container": "~/image.sif"}}
    config = resolve(merged(quick, given)).config
    assert (config.results, config.data) == ("/home/somebody/results", "/home/somebody/data")
    assert config.compute.container == "/home/somebody/image.sif"
    assert npz.Options(path="~/mine.npz", n_opt=9, n_val=9, n_test=9).path == "/home/somebody/mine.npz"


def test_every_key_of_the_schema_is_in_the_default_config(quick):
    """config.yaml documents every key: no option has a default that only the code knows."""
    assert set(quick) == set(SuiteConfig.model_fields)
    for section in ("network", "compute"):
        assert set(quick[section]) == set(SuiteConfig.model_fields[section].annotation.model_fields)
    for name in registry.names(METHODS):
        fields = set(registry.get(METHODS, name).options.model_fields)
        assert fields - {"learning_rate"} <= set(quick["method_options"][name]) | {"learning_rate"}


def silent(node, model, lines, span):
    """Keys of a YAML mapping whose values are not the model's defaults, without these in a comment beside them."""
    starts = [key.start_mark.line for key, _ in node.value] + [span.stop]
    given = yaml.safe_load(yaml.serialize(node))
    for number, (key, below) in enumerate(node.value):
        field, value = model.model_fields.get(key.value), given[key.value]
        if field is None or field.is_required():  # kind; what has no default
            continue
        mine = span if node.flow_style else slice(starts[number], starts[number + 1])
        default = field.get_default(call_default_factory=True)
        if isinstance(default, BaseModel):
            yield from silent(below, type(default), lines, mine)
        elif value != default:
            said = " ".join(line.partition("#")[2] for line in lines[mine]).partition("default")[2]
            if yaml.safe_dump(default, default_flow_style=True).split("\n")[0] not in said:
                yield f"{model.__name__}.{key.value}"


def silent_values(text):
    """Of ``config.yaml``, the keys whose values are not defaults while no comment says so."""
    lines, entries = text.splitlines(), yaml.compose(text).value
    ends = [key.start_mark.line for key, _ in entries[1:]] + [len(lines)]
    registries = {"dataset_options": DATASETS, "method_options": METHODS, "attack_options": ATTACKS}
    for (section, node), end in zip(entries, ends, strict=True):
        if section.value not in registries:
            single = yaml.MappingNode("tag:yaml.org,2002:map", [(section, node)], flow_style=False)
            yield from silent(single, SuiteConfig, lines, slice(section.start_mark.line, end))
            continue
        stops = [name.start_mark.line for name, _ in node.value[1:]] + [end]
        for (name, options), stop in zip(node.value, stops, strict=True):
            kind = yaml.safe_load(yaml.serialize(options)).get("kind", name.value)
            if kind == name.value:
                model = registry.get(registries[section.value], kind).options
                yield from silent(options, model, lines, slice(name.start_mark.line, stop))
            elif "#" not in lines[name.start_mark.line]:  # a form of an entry, of which the comment says what it is
                yield f"{section.value}.{name.value}"


def test_a_value_is_the_default_of_the_code_or_its_comment_names_that():
    text = (ROOT / "config.yaml").read_text(encoding="utf-8")
    assert list(silent_values(text)) == []
    for old, new, key in (
        ("gram_parts: 1 ", "gram_parts: 2 ", "Compute.gram_parts"),
        ("schedule: constant ", "schedule: cosine ", "Options.schedule"),
        ("ridge: 0.0 ", "ridge: 0.1 ", "Options.ridge"),
        ("default: 50, the", "", "AdvNtkOptions.steps"),
        ("protocol: paired ", "protocol: reference ", "SuiteConfig.protocol"),
    ):
        assert text.count(old) == 1, old
        assert list(silent_values(text.replace(old, new))) == [key]


@pytest.mark.parametrize("overlay", sorted((ROOT / "suites").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_suite_resolves(quick, overlay):
    from snakemake.utils import update_config

    merged = copy.deepcopy(quick)
    update_config(merged, yaml.safe_load(overlay.read_text()))
    assert resolve(merged).cells()


def test_the_reference_protocol_adds_its_attack_and_the_right_one(quick):
    suite = resolve(quick | {"attacks": ["pgd_margin"], "protocol": "reference"})
    assert list(suite.attacks) == ["pgd_margin", "pgd_paper", "reference_fixed_gradient"]
    assert list(resolve(suite.config.model_dump()).attacks) == list(suite.attacks)


def test_which_images_a_method_is_made_from(quick):
    paired, reference = (resolve(quick | {"protocol": protocol}) for protocol in ("paired", "reference"))
    assert {name: paired.images_of(name) for name in paired.methods} == dict.fromkeys(paired.methods, "opt")
    expected = {"ntk": "all", "ridge_ntk": "opt", "early_stopped_ntk": "opt", "advntk": "opt", "at": "all"}
    assert {name: reference.images_of(name) for name in reference.methods} == expected
    assert (paired.gram_size("digits"), reference.gram_size("digits")) == (800, 1000)
    refit = resolve(quick | {"methods": ["ntk", "early_stopped_refit"]})
    assert (refit.images_of("ntk"), refit.images_of("early_stopped_refit")) == ("opt", "all")
    assert refit.gram_size("digits") == 1000
    # no kernel method needs more than opt: the network alone does
    assert resolve(quick | {"protocol": "reference", "methods": ["advntk", "at"]}).gram_size("digits") == 800


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"attacks": ["autoattack"], "transfer": ["autoattack"]}, r"transfer: 'autoattack' gives clean images where"),
        (
            {"attack_options": {"autoattack": {"chunks": 9}}, "dataset_options": {"digits": {"n_test": 8}}},
            r"attack_options\.autoattack\.chunks: 9 chunks of the 8 test images of digits",
        ),
        (
            {"protocol": "reference", "attack_options": {"pgd_paper": {"steps": 11}}},
            r"attack_options\.pgd_paper: the reference protocol needs 'pgd_paper' to be plain PGD",
        ),
        (
            {"protocol": "reference", "attack_options": {"pgd_paper": {"restarts": 2}}},
            r"attack_options\.pgd_paper: the reference protocol needs",
        ),
        (
            {
                "architectures": [{"family": "resnet", "depth": 18, "activation": "gelu"}],
                "method_options": {"at": {"network": "reference"}},
            },
            r"method_options\.at: the authors' ResNet has ReLU only, not gelu: set network: ntk",
        ),
        ({"method_options": {"at": {"batch": 801}}}, r"batch 801 is more than the 800 training images"),
        (
            {"method_options": {"at": {"batch": 1001}}, "protocol": "reference"},
            r"batch 1001 is more than the 1000 training images",
        ),
        *(
            (
                {"architectures": [{"family": "cnn", "depth": 2, **layer}], "compute": {"kernel_engine": "numba"}},
                r"compute\.kernel_engine: numba computes kernels of ReLU networks .* not of cnn-.*; use auto or neural",
            )
            for layer in ({"activation": "gelu"}, {"pooling": "average"}, {"padding": "circular"})
        ),
    ],
)
def test_options_that_do_not_go_together(quick, changes, message):
    with pytest.raises(ConfigError, match=message):
        resolve(merged(quick, changes))


def test_finite_networks_need_no_kernel_engine(quick):
    erf = [{"family": "mlp", "depth": 2, "activation": "erf"}]
    assert resolve(merged(quick, {"architectures": erf, "compute": {"kernel_engine": "numba"}, "methods": ["at"]}))


def test_a_batch_may_be_as_large_as_what_the_protocol_trains_on(quick):
    changes = {"method_options": {"at": {"batch": 1000}}, "protocol": "reference"}
    assert resolve(merged(quick, changes)).options["digits", "mlp-3", "at"].batch == 1000


ZETA = {
    ("cifar10", "resnet", 18): 1e-6,
    ("cifar10", "resnet", 34): 1e-10,
    ("svhn", "resnet", 18): 5e-5,
    ("svhn", "resnet", 34): 1e-8,
}
"""ζ of the paper's ResNets; 0.1 for all else on CIFAR-10, 1 on SVHN."""


def test_the_paper_suite_has_the_papers_settings(quick):
    """Each cell's own options, overrides merged in: whatever a later edit reorders or drops."""
    suite = resolve(merged(quick, yaml.safe_load((ROOT / "suites/paper.yaml").read_text())))
    labels = {f"{family}-{depth}" for family in ("mlp", "cnn") for depth in (3, 4, 5, 8, 10)}
    assert set(suite.specs) == labels | {"resnet-18", "resnet-34"}
    assert suite.config.datasets == ["cifar10", "svhn"]
    assert (suite.config.eps255, suite.config.seeds, suite.config.norm) == ([4, 8], 3, "linf")
    assert suite.config.protocol == "reference"
    for (dataset, label, method), options in suite.options.items():
        spec, where = suite.specs[label], (dataset, label, method)
        assert (spec.sigma_w, spec.sigma_b, spec.activation) == (1.76, 0.18, "relu")
        assert spec.width == {"mlp": 512, "cnn": 256, "resnet": 64}[spec.family]
        if method == "advntk":
            zeta = ZETA.get((dataset, spec.family, spec.depth), {"cifar10": 0.1, "svhn": 1.0}[dataset])
            assert options.rates() == [zeta], where
            assert (options.steps, options.batch, options.diagonal, options.normalize) == (50, 128, "shared", False)
        if method == "at_paper":
            slow = dataset == "svhn" or spec.family == "resnet"
            assert (options.learning_rate, options.learning_rate_fraction) == (0.01 if slow else 0.1, None), where
            assert (options.steps, options.batch) == (20_000, 128)
            assert (options.momentum, options.weight_decay) == (0.9, 5e-4)
            assert (options.lr_decay_every, options.lr_decay_factor) == (8_000, 0.1)
            assert (options.network, options.loss) == ("reference", "torch_mse")
        if method in ("advntk", "at_paper"):
            assert (options.attack.steps, options.attack.step_ratio, options.attack.random_start) == (10, 0.2, True)
    for dataset, (_, sizes) in suite.datasets.items():
        assert (sizes.n_opt, sizes.n_val, sizes.n_test) == (10_000, 2_000, 0), dataset
        assert sizes.training(suite.images_of("ntk")) == sizes.training(suite.images_of("at_paper")) == 12_000
    assert suite.images_of("advntk") == "opt"
    pgd = suite.attacks["pgd_paper"]
    assert (pgd.kind, pgd.options.steps, pgd.options.step_ratio, pgd.options.restarts) == ("pgd", 10, 0.2, 1)


def test_a_suite_is_resolved_without_what_attacks_and_trains():
    """The environment that makes tables holds neither JAX nor torch."""
    code = """
import sys, yaml
sys.modules.update(dict.fromkeys(["jax", "torch", "numba", "pyautoattack", "neural_tangents", "sklearn"]))
from advntk.suite import resolve
assert resolve(yaml.safe_load(open("config.yaml"))).cells()
"""
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_sweeps_and_transfers_expand_to_their_cells(quick):
    radius = {"attack": "pgd_strong", "values": [1, 2]}  # an attack that does not evaluate
    suite = resolve(quick | {"sweeps": {"radius": radius}, "transfer": ["pgd"], "eps255": [16]})
    assert len(set(listed(suite)["sweeps"])) == len(suite.cells())
    assert suite.sweep_attacks["radius"].name == "pgd_strong"
    assert len(listed(suite)["transfers"]) == quick["seeds"]
    shown = suite.shown("digits", 1, 16)
    assert [(cell.spec.label, cell.method) for cell in shown][:2] == [("mlp-3", "ntk"), ("mlp-3", "ridge_ntk")]
    assert len(shown) == 15


def test_certificates_are_planned_where_there_are_any(quick):
    asked = {"certificates": {"radii": [8, 16, 32], "images": 5}}
    suite = resolve(quick | asked)
    cells = [(fit["architecture"], fit["method"], fit["trained_at"]) for fit in suite.certified() if fit["seed"] == 0]
    assert {cell[0] for cell in cells} == {"mlp-3", "mlp-5"}
    assert {cell[1] for cell in cells} == set(quick["methods"]) - {"at"}
    assert suite.certified_radii("anyeps") == [8, 16, 32]
    assert suite.certified_radii("eps16") == [8, 16]
    fits = resolve(quick | {"certificates": {"radii": [32]}}).certified()
    assert {fit["trained_at"] for fit in fits} == {"anyeps", "eps32"}
    assert not resolve(quick).certified()
    for changes in ({"network": {"activation": "erf"}}, {"compute": {"kernel_engine": "neural_tangents"}}):
        with pytest.raises(ConfigError, match="no cell has one"):
            resolve(merged(quick, asked | changes))
    with pytest.raises(ConfigError, match="none in l1"):
        resolve(quick | {"norm": "l1", "eps255": [500], "certificates": {"radii": [500]}})


@pytest.mark.parametrize("overlay", sorted((ROOT / "suites").glob("*.yaml")), ids=lambda path: path.stem)
def test_networks_are_chosen_under_the_loss_of_their_training(quick, overlay):
    """PGD on the squared error is weak against cross-entropy: rates and checkpoints must not be chosen under it."""
    suite = resolve(merged(quick, yaml.safe_load(overlay.read_text())))
    for (_, _, method), options in suite.options.items():
        if suite.method_kinds[method] == "at":
            assert options.report_attack.loss == options.attack.loss, method


def test_overrides_merge_at_any_depth(quick):
    quick["overrides"] = [{"when": {"depth": 5}, "method_options": {"at": {"attack": {"steps": 3}}}}]
    suite = resolve(quick)
    attacks = {label: suite.options["digits", label, "at"].attack for label in suite.specs}
    assert (attacks["mlp-5"].steps, attacks["mlp-5"].step_ratio) == (3, 0.25)
    assert attacks["mlp-3"].steps == 7
