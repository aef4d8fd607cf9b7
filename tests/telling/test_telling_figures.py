"""Figures: made for full and degenerate suites, say what they show, and repeat byte by byte."""

import re

import pytest
from matplotlib.figure import Figure

from advntk.foundation.errors import ConfigError
from advntk.telling.figures import FIGURES, write_figure
from advntk.telling.frames import curves_frame, read_suite
from advntk.telling.labels import method_colours
from advntk.telling.sheet import style

FROM_RECORDS = ("curves", "depth", "radius")
OUTSIDE = "reference_fixed_gradient"
ONE = {"architectures": [{"family": "mlp", "depth": 3}], "eps255": [16]}
DEGENERATE = {
    "one of everything": {**ONE, "seeds": 1, "methods": ["ntk"]},
    "no AT": {**ONE, "methods": ["ntk", "advntk"]},
    "one radius, one depth": {
        "eps255": [16],
        "architectures": [{"family": "mlp", "depth": 3}, {"family": "cnn", "depth": 3}],
    },
    "zero radius": {**ONE, "eps255": [0]},
    "unknown method": {**ONE, "methods": ["ntk", "my_method"]},
    "two datasets, l2": {**ONE, "datasets": ["digits", "fashion_mnist"], "norm": "l2"},
}


def words(path):
    return " ".join(re.findall(r"<text[^>]*>([^<]*)</text>", path.read_text()))


def test_every_figure_is_registered():
    assert list(FIGURES) == ["curves", "depth", "overfitting", "radius", "strength", "transfer"]


@pytest.mark.parametrize("name", FROM_RECORDS)
def test_full_suite_names_attacks_sizes_and_seeds(build, tmp_path, name):
    suite = read_suite(build(attacks=["pgd", OUTSIDE]).fill().write())
    write_figure(name, suite, tmp_path / "f.svg")
    assert (tmp_path / "f.png").read_bytes().startswith(b"\x89PNG")
    text = words(tmp_path / "f.svg")
    assert "seeds = 2" in text
    assert "accuracy (%)" in text
    if name == "curves":
        assert "PGD-10 (squared error loss) for AT" in text
    else:
        assert "n_test = 400" in text
        assert "95% interval" in text
        assert f"pgd, {OUTSIDE} (outside threat model)" in text
        assert text.count("(outside threat model)") > 2  # and above each panel


@pytest.mark.parametrize("name", FROM_RECORDS)
@pytest.mark.parametrize("case", DEGENERATE)
def test_degenerate_suites_are_drawn(build, tmp_path, name, case):
    suite = read_suite(build(**DEGENERATE[case]).fill().write())
    write_figure(name, suite, tmp_path / "f.svg")
    text = words(tmp_path / "f.svg")
    assert ("seeds = 1" if case == "one of everything" else "seeds = 2") in text
    if name == "curves":
        assert ("no AT curve" in text) == (case in {"one of everything", "unknown method"})  # none trains in steps


@pytest.mark.parametrize("name", FIGURES)
def test_a_suite_without_records_says_so(build, tmp_path, name):
    write_figure(name, read_suite(build(**ONE).write()), tmp_path / "f.svg")
    assert "in this suite" in words(tmp_path / "f.svg")


@pytest.mark.parametrize("name", FIGURES)
def test_same_bytes_twice(build, tmp_path, name):
    suite = read_suite(build(**ONE).fill().write())
    for folder in ("a", "b"):
        write_figure(name, suite, tmp_path / folder / "f.svg")
    for suffix in ("svg", "png"):
        assert (tmp_path / "a" / f"f.{suffix}").read_bytes() == (tmp_path / "b" / f"f.{suffix}").read_bytes()


LONG = {"methods": ["at", "advntk_reference_attack", "at_reference_no_decay", "advntk_per_class"]}


@pytest.mark.parametrize(("name", "changes"), [*((name, {}) for name in FIGURES), ("curves", LONG)])
def test_nothing_overlaps_and_nothing_leaves_the_sheet(build, name, changes):
    suite = read_suite(build(attacks=["pgd", OUTSIDE], **changes).fill().write())
    with style():
        figure: Figure = FIGURES[name](suite)
        figure.draw_without_rendering()
        renderer = figure.canvas.get_renderer()
        boxes = [axes.get_tightbbox(renderer) for axes in figure.axes]
        boxes += [text.get_window_extent(renderer) for text in figure.texts]
        boxes += [legend.get_window_extent(renderer) for legend in figure.legends]
    for i, box in enumerate(boxes):
        assert min(box.x0, box.y0) >= 0
        assert box.x1 <= figure.bbox.x1
        assert box.y1 <= figure.bbox.y1
        for other in boxes[:i]:
            assert not box.overlaps(other), (box, other)


def test_points_stand_where_the_table_has_them(build):
    suite = read_suite(build(**ONE, methods=["ntk"], seeds=1).fill().write())
    with style():
        axes = FIGURES["depth"](suite).axes
    clean, robust = (panel.containers[0].lines[0].get_ydata()[0] for panel in axes)
    measured = suite.measured[0]
    assert clean == pytest.approx(100 * measured.clean["final"].mean())
    assert robust == pytest.approx(100 * measured.robust["final"].mean())


def curve_panels(suite):
    """Axes of the figure of curves by title, of its first network."""
    with style():
        axes = FIGURES["curves"](suite).axes
    return {one.get_title(loc="left"): one for one in axes[:4]}


def test_curves_have_a_panel_for_each_method_and_quantity_and_a_line_for_each_split(build):
    panels = curve_panels(read_suite(build(**ONE, seeds=3).fill().write()))
    assert list(panels) == ["AT, robust: PGD-10", "Adv-NTK, robust: PGD", "AT, clean", "Adv-NTK, clean"]
    for axes in panels.values():
        lines = [line for line in axes.lines if len(line.get_xdata()) > 1]
        assert len(lines) == 3
        assert len({line.get_color() for line in lines}) == 3
        assert len(axes.collections) == 3  # a band each


def test_every_method_that_trains_in_steps_has_its_panels(build):
    suite = read_suite(build(**ONE, methods=["advntk", "at_longer", "at"]).fill().write())
    with style():
        titles = [one.get_title(loc="left") for one in FIGURES["curves"](suite).axes]
    assert titles == [
        *("AT, robust: PGD-10", "Adv-NTK, robust: PGD", "AT, clean", "Adv-NTK, clean"),
        *("at_longer, robust: PGD-10", "at_longer, clean"),
    ]


def test_without_at_there_are_no_panels_of_it(build):
    titles = list(curve_panels(read_suite(build(**ONE, methods=["ntk", "advntk"]).fill().write())))
    assert titles == ["Adv-NTK, robust: PGD", "Adv-NTK, clean"]


def test_where_val_chooses_nothing_nothing_is_said_of_a_triangle(build, tmp_path):
    suite = read_suite(build(**ONE, methods=["at"], protocol="reference").fill().write())
    write_figure("curves", suite, tmp_path / "f.svg")
    assert "riangle" not in words(tmp_path / "f.svg")
    assert "best on val" not in words(tmp_path / "f.svg")


def test_a_method_that_is_trained_on_val_has_no_triangle_and_others_have(build, tmp_path):
    suite = read_suite(build(**ONE, methods=["advntk", "at"], protocol="reference").fill().write())
    write_figure("curves", suite, tmp_path / "f.svg")
    text = words(tmp_path / "f.svg")
    assert "Triangle (Adv-NTK): the checkpoint best on val" in text
    assert "Adv-NTK's ϖ is trained on them, AT trained on them too" in text
    panels = curve_panels(suite)
    single = {title: [line for line in axes.lines if len(line.get_xdata()) == 1] for title, axes in panels.items()}
    assert [bool(lines) for lines in single.values()] == [False, True, False, True]


def test_triangles_stand_on_the_test_line_where_val_is_best(build):
    builder = build(**ONE, seeds=1).fill()
    axes = curve_panels(read_suite(builder.write()))["AT, robust: PGD-10"]
    (triangle,) = [line for line in axes.lines if len(line.get_xdata()) == 1]
    frame = curves_frame(read_suite(builder.write())).query("method == 'at'")
    val, test = (frame[frame["split"] == split].set_index("step")["robust_accuracy"] for split in ("val", "test"))
    assert 0 < val.idxmax() < 2000  # overfitting
    assert triangle.get_xdata()[0] == val.idxmax()
    assert triangle.get_ydata()[0] == pytest.approx(100 * test[val.idxmax()])


def test_robust_overfitting_is_what_the_builder_draws(build):
    axes = curve_panels(read_suite(build(**ONE, seeds=2).fill().write()))["AT, robust: PGD-10"]
    train, val, test = ([line for line in axes.lines if len(line.get_xdata()) > 1][i].get_ydata() for i in range(3))
    assert train.argmax() == len(train) - 1
    for line in (val, test):
        assert line.max() - line[-1] > 3


def test_colours_are_kept_between_suites():
    assert method_colours(["at"])["at"] == method_colours(["ntk", "other", "at"])["at"]
    many = method_colours(["ntk", "ridge_ntk", "early_stopped_ntk", "advntk", "at", "mine", "yours"])
    assert len(set(many.values())) == 7


def test_unknown_figure(build, tmp_path):
    with pytest.raises(ConfigError, match="did you mean 'depth'"):
        write_figure("dept", read_suite(build(**ONE).write()), tmp_path / "f.svg")
