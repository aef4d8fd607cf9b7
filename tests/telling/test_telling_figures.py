"""Figures: every one is written, legible, repeats byte by byte, and shows the numbers of the tables."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text

from advntk.foundation.errors import ConfigError
from advntk.foundation.strength import Sweep
from advntk.telling.contents import frame_of
from advntk.telling.frames import results
from advntk.telling.kinds.transfers import transfers as transfers_of
from advntk.telling.labels import CAPTIONS, method_colours
from advntk.telling.layout import save, style
from advntk.telling.report import FIGURES, write_figure
from advntk.telling.suite_file import read_suite
from tests.telling import test_telling_strength as strength
from tests.telling import test_telling_transfer as transfer
from tests.telling.conftest import Builder

OUTSIDE = "reference_fixed_gradient"
MLP = {"family": "mlp", "depth": 3}
ONE = {"architectures": [MLP], "eps255": [16]}
CASES = {
    "quick": {"attacks": ["pgd", OUTSIDE]},
    "one of everything": {**ONE, "seeds": 1, "methods": ["ntk"], "eps255": [0]},
    "two datasets, l2": {**ONE, "datasets": ["digits", "fashion_mnist"], "methods": ["advntk", "mine"], "norm": "l2"},
    "long names": {
        "methods": ["at", "advntk_reference_attack", "at_reference_no_decay", "advntk_per_class"],
        "architectures": [MLP, {"family": "cnn", "depth": 12, "activation": "gelu"}],
    },
}


@pytest.fixture(scope="module")
def suite(tmp_path_factory, request):
    """A suite with every kind of result."""
    changes = CASES[request.param]
    measured = read_suite(Builder(tmp_path_factory.mktemp("suite"), **changes).fill().write())
    more = strength.full(**changes).results | transfer.full(**changes).results
    return replace(measured, results={**measured.results, **more})


def drawn(name, suite):
    with style():
        return FIGURES[name](suite)


def test_every_figure_is_registered_and_has_a_caption():
    names = ["curves", "depth", "overfitting", "radius", "strength", "transfer", "certified"]
    assert list(FIGURES) == list(CAPTIONS) == names


@pytest.mark.parametrize("name", FIGURES)
@pytest.mark.parametrize("suite", CASES, indirect=True)
def test_figures_are_written_and_nothing_overlaps(suite, tmp_path, name):
    figure = drawn(name, suite)
    with style():
        save(figure, tmp_path / "f.svg")
        renderer = FigureCanvasAgg(figure).get_renderer()
        boxes = [axes.get_tightbbox(renderer) for axes in figure.axes]
        boxes += [text.get_window_extent(renderer) for text in figure.texts]
        boxes += [legend.get_window_extent(renderer) for legend in figure.legends]
        ticks = [
            [label.get_window_extent(renderer) for label in axes.get_xticklabels() if label.get_text()]
            for axes in figure.axes
        ]
    assert (tmp_path / "f.png").read_bytes().startswith(b"\x89PNG")
    for box in boxes:
        assert min(box.x0, box.y0) >= 0
        assert box.x1 <= figure.bbox.x1
        assert box.y1 <= figure.bbox.y1
    for group in (boxes, *ticks):
        assert not any(one.overlaps(other) for one, other in itertools.combinations(group, 2))


def plotted(figure):
    """All vertical positions and numbers in panels, to 6 digits."""
    lines = [line.get_ydata() for axes in figure.axes for line in axes.lines]
    texts = [float(text.get_text()) for axes in figure.axes for text in axes.texts]
    return set(np.round(np.concatenate([*lines, texts]).astype(float), 6))


def of_training(suite, columns, **chosen):
    frame = frame_of(suite.curves)
    for column, values in chosen.items():
        frame = frame[frame[column].isin(values)]
    means = frame.groupby(["architecture", "method", "eps255", "split", "step"])[columns].mean()
    return 100 * means.to_numpy(float).ravel()


def of_results(suite):
    frame = results(suite)
    frame = frame[(frame["method"] != "advntk") | (frame["checkpoint"] == "last")]
    return 100 * frame[["clean_mean", "robust_mean"]].to_numpy(float).ravel()


def of_sweeps(suite):
    shares = {}
    for sweep in suite.of(Sweep):
        fit = (sweep.architecture.label, sweep.method, sweep.threat.eps255, sweep.kind)
        for point in sweep.points:
            shares.setdefault((*fit, point.value), []).append(100 * point.robust_correct / sweep.n_test)
    return [np.mean(values) for values in shares.values()]


NUMBERS = {
    "curves": (24, lambda suite: of_training(suite, ["clean_accuracy", "robust_accuracy"])),
    "depth": (12, of_results),
    "overfitting": (6, lambda suite: of_training(suite, ["robust_accuracy"], method=["at"], split=["train", "test"])),
    "radius": (6, of_results),
    "strength": (18, of_sweeps),
    "transfer": (4, lambda suite: np.round(100 * transfers_of(suite)[["robust", "clean"]].to_numpy().ravel())),
}


@pytest.mark.parametrize("name", NUMBERS)  # of certificates in a file of their own
@pytest.mark.parametrize("suite", ["quick"], indirect=True)
def test_plotted_numbers_are_those_of_the_frame(suite, name):
    panels, numbers = NUMBERS[name]
    figure = drawn(name, suite)
    assert len(figure.axes) == panels
    expected = set(np.round(numbers(suite), 6))
    assert len(expected) > 4
    assert expected <= plotted(figure)


@pytest.mark.parametrize("name", FIGURES)
def test_a_suite_without_records_says_so(build, name):
    texts = [text.get_text() for text in drawn(name, read_suite(build(**ONE).write())).findobj(Text)]
    assert "nothing measured\nin this suite" in texts


def triangles(axes):
    return [line.get_xydata()[0] for line in axes.lines if line.get_marker() == "^"]


def test_every_method_that_trains_in_steps_has_its_panels_and_val_its_triangles(build):
    """AT trains on val too here, so that it chooses none of its checkpoints."""
    suite = read_suite(build(**ONE, methods=["advntk", "at_longer", "at", "ntk"], protocol="reference").fill().write())
    panels = drawn("curves", suite).axes
    attack = "robust: PGD-10 (squared error loss)"
    assert [axes.get_title(loc="left").replace("\n", " ") for axes in panels] == [
        *(f"AT, {attack}", "AT, clean", "Adv-NTK, robust: PGD", "Adv-NTK, clean"),
        *(f"at_longer, {attack}", "at_longer, clean"),
    ]
    assert [len(triangles(axes)) for axes in panels] == [0, 0, 2, 2, 0, 0]


def test_triangles_stand_on_the_test_line_where_val_is_best(build):
    suite = read_suite(build(**ONE, seeds=1).fill().write())
    (triangle,) = triangles(drawn("curves", suite).axes[0])
    frame = frame_of(suite.curves).query("method == 'at'")
    val, test = (frame[frame["split"] == split].set_index("step")["robust_accuracy"] for split in ("val", "test"))
    assert 0 < val.idxmax() < 2000  # overfitting
    assert triangle == pytest.approx((val.idxmax(), 100 * test[val.idxmax()]))


def test_colours_are_kept_between_suites():
    assert method_colours(["at"])["at"] == method_colours(["ntk", "other", "at"])["at"]
    many = method_colours(["ntk", "ridge_ntk", "early_stopped_ntk", "advntk", "at", "mine", "yours"])
    assert len(set(many.values())) == 7


def test_unknown_figure(build, tmp_path):
    with pytest.raises(ConfigError, match="did you mean 'depth'"):
        write_figure("dept", read_suite(build(**ONE).write()), tmp_path / "f.svg")
