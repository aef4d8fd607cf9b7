"""The page of a suite, in a real browser: it sorts, filters, fits its window and needs no other file."""

import re

import numpy as np
import pandas as pd
import pytest

from advntk.cli import main
from advntk.telling import suite_page
from advntk.telling.contents import frame_of
from advntk.telling.frames import results
from advntk.telling.suite_file import read_suite
from advntk.telling.webpage import Section, paragraphs, sortable, write_page
from tests.telling.conftest import Builder

ROWS = "#table-results tbody tr"


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """The page of a suite with a warning, and the suite's table of results."""
    folder = tmp_path_factory.mktemp("page")
    builder = Builder(folder, eps255=[8], architectures=[{"family": "mlp", "depth": depth} for depth in (3, 10)])
    builder.flags = {("advntk", "last", 1): ["<b>gradients</b> vanish & more"]}
    path, out = builder.fill().write(), folder / "index.html"
    assert main(["webpage", "--suite", str(path), "--out", str(out)]) == 0
    return out, results(read_suite(path))


def test_figures_that_are_drawn_already_give_the_same_page(written, monkeypatch):
    out, _ = written
    suite, again, names = str(out.parent / "suite.json"), out.parent / "again.html", ("curves", "depth", "overfitting")
    paths = [out.parent / f"{name}.svg" for name in names]
    for name, path in zip(names, paths, strict=True):
        assert main(["plot", "--suite", suite, "--figure", name, "--out", str(path)]) == 0
    monkeypatch.setattr(suite_page, "svg", None)  # nothing is drawn again
    assert main(["webpage", "--suite", suite, "--figures", *map(str, paths), "--out", str(again)]) == 0
    assert again.read_bytes() == out.read_bytes()


@pytest.fixture
def page(written, open_page):
    """The page in a browser, and the suite's table of results."""
    out, found = written
    return open_page(out), found


def column(tab, title):
    """The cells of a column of the table of results, as they are shown."""
    titles = [text.strip() for text in tab.locator("#table-results thead th .dt-column-title").all_inner_texts()]
    return tab.locator(f"{ROWS} td:nth-child({titles.index(title) + 1})").all_inner_texts()


def info(tab):
    return tab.locator("#all-results .dt-info").inner_text()


def test_all_rows_are_there_and_sort_by_a_click(page):
    tab, found = page
    assert f"of {len(found)} entries" in info(tab)
    title = tab.locator("#table-results thead th", has_text="robust").locator(".dt-column-title")
    title.click()
    ascending = [float(cell) for cell in column(tab, "robust")]
    title.click()
    descending = [float(cell) for cell in column(tab, "robust")]
    assert ascending == sorted(ascending)
    assert descending == sorted(descending, reverse=True)
    assert descending[0] == pytest.approx(100 * found["robust_mean"].max(), abs=0.051)
    assert ascending[0] == pytest.approx(100 * found["robust_mean"].min(), abs=0.051)


def test_networks_sort_in_the_order_of_the_suite_not_of_the_alphabet(page):
    tab, _ = page
    title = tab.locator("#table-results thead th", has_text="network").locator(".dt-column-title")
    title.click()
    assert list(dict.fromkeys(column(tab, "network"))) == ["mlp-3", "mlp-10"]
    title.click()
    assert list(dict.fromkeys(column(tab, "network"))) == ["mlp-10", "mlp-3"]


def test_rows_are_filtered_by_the_menu_of_a_column_and_by_the_search(page):
    tab, found = page
    tab.locator("#table-results thead th", has_text="network").locator(".dtcc-button").click()
    tab.locator(".dtcc-dropdown .dtcc-list-buttons button", has_text="mlp-10").click()
    assert f"of {(found['network'] == 'mlp-10').sum()} entries (filtered" in info(tab)
    assert set(column(tab, "network")) == {"mlp-10"}
    tab.keyboard.press("Escape")
    tab.locator("#all-results .dt-search input").fill("early-stopped")
    assert set(column(tab, "method")) == {"early-stopped NTK"}
    assert len(column(tab, "method")) == 1


def test_a_warning_is_shown_as_it_was_written(page):
    tab, _ = page
    assert "<b>gradients</b> vanish & more (seed 1)" in tab.locator("#warnings").inner_text()
    assert tab.locator("#warnings b, #all-results td b").count() == 0


def test_the_page_opens_with_the_most_robust_method_under_the_attack_that_leaves_the_least(page):
    tab, found = page
    inside = found[(found["network"] == "mlp-3") & found["checkpoint"].isin(["final", "best_val"])]
    most = inside.loc[inside["robust_mean"].idxmax()]
    first = tab.locator("header p").first.inner_text()
    assert f"AT (best on val) with {100 * most['robust_mean']:.1f} ±" in first


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1400, 400])
def test_the_page_fits_its_window_in_both_colour_schemes(page, width, scheme):
    tab, _ = page
    tab.set_viewport_size({"width": width, "height": 900})
    tab.emulate_media(color_scheme=scheme)
    tab.reload()
    tab.wait_for_selector(f"{ROWS} td")
    assert tab.evaluate("document.documentElement.scrollWidth") == width
    for element in ("body", "#all-results td"):
        colour = tab.locator(element).first.evaluate("element => getComputedStyle(element).color")
        assert (sum(map(int, colour.removeprefix("rgb(").removesuffix(")").split(","))) > 384) == (scheme == "dark")
    assert all(tab.locator(f"#{name}").is_visible() for name in ("table-results", "table-comparisons", "figures"))
    assert tab.locator("figure svg").count() == 3
    assert all(one.bounding_box()["width"] >= 600 for one in tab.locator("figure svg").all())


def pointed_at(tab, figure, panel, *lines):
    """Value and ends of the interval in the title of a curve's point, which a pointer at it finds."""
    group = tab.locator(f"[aria-label='{figure}'] [role=group][aria-label*='{panel}']")
    point = group.locator("[role=img]").filter(has=tab.locator("title", has_text="\n".join(lines)))
    assert point.count() == 1
    point.scroll_into_view_if_needed()
    centre = point.locator("circle").bounding_box()
    assert centre["width"] == 0
    tab.mouse.move(centre["x"], centre["y"])
    hit = "([x, y]) => document.elementFromPoint(x, y).parentNode.querySelector('title').textContent"
    title = tab.evaluate(hit, [centre["x"], centre["y"]])
    assert point.locator("circle").bounding_box()["width"] > 0  # it is marked
    (own,) = [one for one in title.split("\n\n") if one.startswith("\n".join(lines))]
    return np.array(re.findall(r"[\d.]+", own.split(": ")[-1]), dtype=float)


@pytest.mark.parametrize("width", [1400, 400])
def test_a_point_of_a_curve_says_what_it_is(page, written, width):
    tab, found = page
    tab.set_viewport_size({"width": width, "height": 900})
    (row,) = found.query("network == 'mlp-10' and method == 'at' and checkpoint == 'best_val'").to_dict("records")
    shown = pointed_at(tab, "accuracy over depth", "robust: pgd", "AT (best on val)", "depth (layers): 10")
    assert shown == pytest.approx([100 * row[name] for name in ("robust_mean", "robust_lo", "robust_hi")], rel=1e-3)
    curves = frame_of(read_suite(written[0].parent / "suite.json").curves)
    at = curves.query("architecture == 'mlp-10' and method == 'at' and split == 'test' and step == 700")
    accuracy = 100 * at["robust_accuracy"].astype(float)
    for figure in ("accuracy along training", "robust overfitting"):
        shown = pointed_at(tab, figure, "mlp-10", "robust, test", "weight updates: 700")
        assert shown == pytest.approx([accuracy.mean(), accuracy.min(), accuracy.max()], rel=1e-3)


def test_pictures_do_not_share_what_they_refer_to(page):
    tab, _ = page
    named = "[...document.querySelectorAll('figure [id]')].map(one => [one.id, one.closest('figure').innerText])"
    used = """[...document.querySelectorAll('figure svg *')].flatMap(one => [...one.attributes].flatMap(
        at => [...at.value.matchAll(/^#(.+)|url\\(#(.+)\\)/g)].map(
            found => [found[1] || found[2], one.closest('figure').innerText])))"""
    named, used = ([tuple(one) for one in tab.evaluate(script)] for script in (named, used))
    assert len({name for name, _ in named}) == len(named)
    assert set(used) == set(named)


def test_a_page_without_curves(tmp_path, open_page):
    changes = {"eps255": [8], "architectures": [{"family": "mlp", "depth": 3}], "methods": ["ntk"]}
    path, out = Builder(tmp_path, **changes).fill().write(), tmp_path / "index.html"
    assert main(["webpage", "--suite", str(path), "--out", str(out)]) == 0
    tab = open_page(out)
    assert tab.locator("#figures").is_visible()
    assert tab.locator(".points").count() == 0


def test_a_table_without_rows_is_shown(tmp_path, open_page):
    frame = pd.DataFrame({"name": pd.Series(dtype=str), "value": pd.Series(dtype=float)})
    parts = [paragraphs("`code` and **bold**"), sortable(frame, name="empty")]
    write_page(tmp_path / "page.html", title="Nothing", lead=[], sections=[Section(title="One & two", parts=parts)])
    tab = open_page(tmp_path / "page.html")
    assert tab.locator("#one-two code").inner_text() == "code"
    assert tab.locator("#table-empty tbody td").count() == 1
