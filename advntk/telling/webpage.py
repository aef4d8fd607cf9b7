"""A page that needs nothing but a browser: text, tables that sort and filter, and pictures, all in one HTML file."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from itables import __version__, options, to_html_datatable
from itables.javascript import generate_init_offline_itables_html
from jinja2 import Environment
from markupsafe import Markup, escape

from advntk.foundation import files
from advntk.telling.listing import NOTHING, Listing

_PAGE = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{{ title }}</title>
<link rel="icon" href="data:,">
<style>
:root { --ink: #1c1e21; --paper: #fff; --faint: #5b6470; --line: #d9dee4; --soft: #f4f6f8; --link: #0b5cad;
  --warn: #fff4d6; --warn-line: #d9a400; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6e8eb; --paper: #15181c; --faint: #a2abb5; --line: #363c44; --soft: #1f242a; --link: #7db7f0;
    --warn: #3a3013; --warn-line: #b58900; }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 16px/1.55 system-ui, sans-serif; }
main, header, nav { max-width: 1400px; margin: 0 auto; padding: 0 20px; }
header { padding-top: 28px; }
h1 { font-size: 1.75rem; line-height: 1.2; margin: 0 0 12px; overflow-wrap: anywhere; }
h2 { font-size: 1.3rem; margin: 40px 0 10px; padding-top: 12px; border-top: 1px solid var(--line); }
h3 { font-size: 1.05rem; margin: 26px 0 6px; }
p, li { max-width: 80ch; overflow-wrap: anywhere; }
header p { font-size: 1.08rem; margin: 8px 0; }
a { color: var(--link); }
nav { font-size: .93rem; padding-top: 8px; padding-bottom: 4px; }
nav a { display: inline-block; margin-right: 18px; padding: 4px 0; }
code, pre { font: .9em/1.5 ui-monospace, monospace; background: var(--soft); border-radius: 4px; }
code { padding: 1px 4px; overflow-wrap: anywhere; }
pre { padding: 10px 14px; overflow: auto; max-height: 70vh; }
summary { cursor: pointer; }
.note { color: var(--faint); font-size: .92rem; }
.warnings { background: var(--warn); border-left: 4px solid var(--warn-line); padding: 6px 18px; margin: 14px 0; }
figure { margin: 10px 0 24px; }
figcaption { color: var(--faint); font-size: .92rem; max-width: 90ch; }
.scroll { overflow-x: auto; }
.picture { background: #fff; border: 1px solid var(--line); border-radius: 6px; padding: 8px; }
.picture svg { display: block; width: 100%; min-width: 600px; max-width: 1100px; height: auto; margin: 0 auto; }
.points g:hover > circle { r: 4px; fill: #0004; stroke: #000; }
table.plain { border-collapse: collapse; font-size: .92rem; margin: 8px 0; }
table.plain th, table.plain td { padding: 5px 12px; border-bottom: 1px solid var(--line); text-align: right;
  vertical-align: top; white-space: nowrap; }
table.plain .words { text-align: left; }
dl { display: grid; grid-template-columns: minmax(7rem, max-content) 1fr; gap: 6px 20px; font-size: .95rem; }
dt { color: var(--faint); }
dd { margin: 0; overflow-wrap: anywhere; min-width: 0; }
.dt-container { font-size: .92rem; background: none !important; }
.dt-container .dt-layout-table { overflow-x: auto; }
.dt-container .dt-layout-cell { min-width: 0; }
.dt-container table.dataTable td.wrapped { white-space: normal; min-width: 30ch; }
@media (max-width: 600px) {
  main, header, nav { padding-left: 12px; padding-right: 12px; }
  h1 { font-size: 1.4rem; }
  dl { grid-template-columns: 1fr; gap: 2px; }
  dd { margin-bottom: 8px; }
}
</style>
{{ bundle }}
<script type="module">
const { set_or_remove_dark_class } = await window.{{ name }};
set_or_remove_dark_class();
</script>
</head>
<body>
<header>
<h1>{{ title }}</h1>
{% for paragraph in lead %}<p>{{ paragraph }}</p>
{% endfor %}</header>
<nav aria-label="Sections">
{% for section in sections %}<a href="#{{ section.anchor }}">{{ section.title }}</a>
{% endfor %}</nav>
<main>
{% for section in sections %}<section id="{{ section.anchor }}">
<h2>{{ section.title }}</h2>
{% for part in section.parts %}{{ part }}
{% endfor %}</section>
{% endfor %}</main>
</body>
</html>
"""
_LISTING = """\
{% if title %}<h3>{{ title }}</h3>
{% endif %}{% if caption %}<p class="note">{{ caption }}</p>
{% endif %}{% if lines %}<div class="scroll"><table class="plain">
<thead><tr>{% for cell in head %}<th{% if loop.index0 < words %} class="words"{% endif %}>{{ cell }}</th>{% endfor %}\
</tr></thead>
<tbody>
{% for line in lines %}<tr>{% for cell in line %}<td{% if loop.index0 < words %} class="words"{% endif %}>{{ cell }}\
</td>{% endfor %}</tr>
{% endfor %}</tbody></table></div>
{% else %}<p>{{ nothing }}</p>
{% endif %}{% for note in notes %}<p class="note">{{ note }}</p>
{% endfor %}"""
_ENVIRONMENT = Environment(autoescape=True)
_MENU = ["orderAsc", "orderDesc", "spacer"]
_LIST, _SEARCH = [[*_MENU, "searchList"]], [[*_MENU, "search"]]
"""Menus at the head of a column: of one with few values a list to choose from, of another a comparison."""
_LAYOUT = {"topStart": "info", "topEnd": "search", "bottomStart": "pageLength", "bottomEnd": "paging"}
_FEW = 40
_ROWS = 15
_WIDE = 40
"""Of letters in a cell; more are broken into lines."""


@dataclass(frozen=True, kw_only=True)
class Section:
    """A part of a page with a heading, to which the head of the page links.

    Attributes:
        title: its heading.
        parts: HTML, as the other functions here give it.
    """

    title: str
    parts: Sequence[Markup]

    @property
    def anchor(self) -> str:
        """What a link to it names."""
        return re.sub(r"[^a-z0-9]+", "-", self.title.lower()).strip("-")


def write_page(out: Path, *, title: str, lead: Iterable[str], sections: Iterable[Section]) -> None:
    """Write a page, with all that it needs in the same file.

    Args:
        out: html to write.
        title: of the page.
        lead: paragraphs before anything else: what was found.
        sections: in their order.
    """
    page = _ENVIRONMENT.from_string(_PAGE).render(
        title=title,
        lead=list(map(inline, lead)),
        sections=list(sections),
        bundle=Markup(generate_init_offline_itables_html(options.dt_bundle)),
        name=f"_itables_{__version__.replace('.', '_')}",
    )
    files.write_text(out, page)


def inline(text: str) -> Markup:
    """Text with Markdown's ``code`` and **bold** as HTML; all else is shown as it is written."""
    marked = re.sub(r"\*\*(.+?)\*\*", r"<strong>\1</strong>", str(escape(text)))
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", marked))


def paragraphs(*texts: str) -> Markup:
    """One paragraph each."""
    return Markup("").join(Markup("<p>{}</p>\n").format(inline(text)) for text in texts)


def command(line: str) -> Markup:
    """What is typed into a terminal."""
    return Markup("<pre>{}</pre>").format(line)


def link(text: str, target: str) -> Markup:
    """Text that leads to another page or file."""
    return Markup('<a href="{}">{}</a>').format(target, text)


def details(title: str, text: str) -> Markup:
    """Text as it is, shown by a click on its title."""
    return Markup("<details><summary>{}</summary><pre>{}</pre></details>").format(title, text)


def warnings(texts: Iterable[str]) -> Markup:
    """A list that stands out."""
    items = Markup("").join(Markup("<li>{}</li>\n").format(inline(text)) for text in texts)
    return Markup('<ul class="warnings">\n{}</ul>').format(items)


def facts(values: Mapping[str, str]) -> Markup:
    """Names with their values, one below the other."""
    lines = (Markup("<dt>{}</dt><dd>{}</dd>\n").format(inline(key), inline(value)) for key, value in values.items())
    return Markup("<dl>\n{}</dl>").format(Markup("").join(lines))


def printed(listing: Listing) -> Markup:
    """A small table as it is printed elsewhere, which neither sorts nor filters."""
    text = _ENVIRONMENT.from_string(_LISTING).render(
        title=listing.title,
        caption=inline(listing.caption),
        head=[cell if isinstance(cell, str) else ", ".join(filter(None, cell)) for cell in listing.head],
        lines=[[inline(cell) for cell in line] for line in listing.lines],
        notes=list(map(inline, listing.notes)),
        words=listing.words,
        nothing=NOTHING,
    )
    return Markup(text)


def sortable(frame: pd.DataFrame, *, name: str, order: Sequence[tuple[str, str]] = ()) -> Markup:
    """A table that sorts by a click and filters by each column and by a search over all of them.

    Args:
        frame: its columns are the titles; a categorical column sorts in the order of its categories, a column of links
            (:func:`link`) is shown as such.
        name: of the table on its page.
        order: columns by which it is sorted at first, each with ``asc`` or ``desc``.

    Returns:
        The table.
    """
    wide = [place for place, column in enumerate(frame) if _letters(frame[column]) > _WIDE]
    linked = any(isinstance(cell, Markup) for column in frame for cell in frame[column].head(1))
    if linked:  # cells are HTML then, the others too
        frame = frame.apply(lambda values: values if pd.api.types.is_numeric_dtype(values) else values.map(escape))
    titles = list(frame)
    few = [place for place, column in enumerate(frame) if _lists(frame[column])]
    html = to_html_datatable(
        frame,
        table_id=f"table-{name}",
        connected=False,
        display_logo_when_loading=False,
        showIndex=False,
        maxBytes=0,
        allow_html=linked,
        classes="display compact nowrap",
        style="width:100%;margin:0",
        layout=_LAYOUT,
        pageLength=_ROWS,
        lengthMenu=[_ROWS, 50, 200, 1000],
        columnDefs=[{"targets": few, "columnControl": _LIST}, {"targets": wide, "className": "wrapped"}],
        columnControl=_SEARCH,
        text_in_header_can_be_selected=False,  # a click on it sorts
        order=[[titles.index(column), direction] for column, direction in order],
    )
    return Markup(f'<div class="table">{html}</div>')


def _letters(values: pd.Series) -> int:
    """Of the longest cell, as it is shown; links are short."""
    return max((len(str(cell)) for cell in values if not isinstance(cell, Markup)), default=0)


def _lists(values: pd.Series) -> bool:
    """Whether the values of a column are few words, to choose from."""
    return not pd.api.types.is_float_dtype(values) and values.nunique() <= _FEW


def picture(svg: str, *, title: str, caption: str) -> Markup:
    """A picture in the page itself.

    Args:
        svg: its content.
        title: what it is, for those who do not see it.
        caption: below it.

    Returns:
        The picture with its caption.
    """
    named = re.sub(r'<g id="[^"]*"', "<g", svg[svg.index("<svg") :])
    own = re.sub(r'( id="|\(#|href="#)', rf"\g<1>{zlib.crc32(svg.encode()):x}-", named)
    return Markup(
        '<figure><div class="picture scroll" tabindex="0" role="group" aria-label="{}">{}</div>'
        "<figcaption>{}</figcaption></figure>"
    ).format(title, Markup(own.replace("*{", ".picture *{")), inline(caption))
