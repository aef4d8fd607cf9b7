"""Points of curves in a figure's svg: what each says, and where a pointer finds it."""

from xml.etree import ElementTree

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.path import Path

from advntk.telling import hover
from advntk.telling.layout import line_with_band, style, svg

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture
def panel():
    with style():
        axes = Figure(figsize=(4, 3)).subplots()
        axes.set(xlabel="step", ylabel="digits\naccuracy (%)", ylim=(0, 100))
        yield axes


def shown(axes):
    """Titles of all points with their place and the corners of their cells, in 1/72 inch from the top left."""
    found = {}
    for point in ElementTree.fromstring(svg(axes.figure)).findall(f"{SVG}g[@class='points']/{SVG}g/{SVG}g"):
        place = np.array(point.get("transform").removeprefix("translate(").removesuffix(")").split(), dtype=float)
        corners = np.array(point.find(f"{SVG}path").get("d").strip("Mz").split(), dtype=float).reshape(-1, 2)
        found[point.findtext(f"{SVG}title")] = place, place + corners
    return found


def test_each_point_names_its_line_and_both_axes_with_the_interval(panel):
    hover.plot(panel, [0, 250], [12.5, 1 / 3], "a < b", ends=([10, 0], [15, 2 / 3]))
    hover.plot(panel, [1.1, 251.1], [50, 90], "beside", places=[1, 251])
    assert list(shown(panel)) == [
        "a < b\nstep: 0\naccuracy (%): 12.5 [10, 15]",
        "a < b\nstep: 250\naccuracy (%): 0.3333 [0, 0.6667]",
        "beside\nstep: 1\naccuracy (%): 50",
        "beside\nstep: 251\naccuracy (%): 90",
    ]


def test_a_tick_with_a_word_says_it(panel):
    panel.set(xlabel="", ylabel="")
    hover.plot(panel, [0, 1], [1e-5, 20], "line")
    panel.set_xticks([0, 1], ["few", "many"])
    assert list(shown(panel)) == ["line\nfew\n1e-05", "line\nmany\n20"]


def test_lines_with_bands_have_points_and_others_none(panel):
    line_with_band(panel, [1, 2], [[10, 20], [30, 40]], "name", dashed=[[50, 60]])
    panel.plot([1, 2], [80, 90], "o-", label="plain")
    titles = [title.split("\n") for title in shown(panel)]
    assert [title[0] for title in titles] == ["name", "name", "name, dashed", "name, dashed"]
    assert [title[-1].split()[2] for title in titles] == ["20", "30", "50", "60"]
    assert [("[" in title[-1]) for title in titles] == [True, True, False, False]


def test_points_at_one_place_share_a_title_and_those_that_are_not_drawn_have_none(panel):
    hover.plot(panel, [1, 2, 3], [10, 20, np.nan], "one")
    hover.plot(panel, [1, 2, 3], [10, 90, 120], "other")
    titles = [[part.split("\n")[0] for part in title.split("\n\n")] for title in shown(panel)]
    assert titles == [["one", "other"], ["one"], ["other"]]


def test_a_pointer_finds_the_nearest_point_within_reach(panel):
    rng = np.random.default_rng(0)
    panel.set(xscale="log", yscale="log", ylim=(1e-3, 1))
    for name in "abc":
        hover.plot(panel, np.geomspace(1, 1e3, 40), rng.uniform(0.1, 0.3, 40), name)
    found = list(shown(panel).values())
    places = np.array([place for place, _ in found])
    assert 100 < len(places) <= 120
    margin = np.array([0, 25])  # inside the panel
    probes = rng.uniform(places.min(axis=0) - margin, places.max(axis=0) + margin, (300, 2))
    reached = []
    for at in probes:
        nearest, second = np.argsort(np.hypot(*(at - places).T))[:2]
        if np.hypot(*(at - places[second])) - np.hypot(*(at - places[nearest])) < 0.5:
            continue  # between two: coordinates are rounded
        over = [number for number, (_, cell) in enumerate(found) if Path(cell).contains_point(at)]
        reached.append(bool(np.abs(at - places[nearest]).max() < 12))
        assert over == [nearest] * reached[-1]
    assert 50 < sum(reached) < len(reached)


def test_a_figure_without_curves_is_as_it_was(panel):
    panel.plot([1, 2], [80, 90], label="plain")
    assert shown(panel) == {}
    assert "points" not in svg(panel.figure)


def test_equal_figures_give_equal_bytes(panel):
    for _ in range(2):
        hover.plot(panel, [1, 2, 3], [30, 20, 10], "line")
    assert svg(panel.figure) == svg(panel.figure)
