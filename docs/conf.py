"""The documentation site, made of the pages that GitHub shows, the docstrings and the tutorials.

    sphinx-build -W --keep-going -c docs . docs/_build/html

The source folder is the checkout itself, so that links between pages, data and code are the same here and on GitHub.
Nothing is fetched: types of other libraries are named in signatures and not linked.
"""

from __future__ import annotations

from pygments.lexers.special import TextLexer
from sphinx.application import Sphinx

import advntk

project, author = "advntk", "the advntk authors"
copyright = author
version = release = advntk.__version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_gallery.gen_gallery"]
root_doc = "README"
include_patterns = ["*.md", "config/*.md", "data/*.md", "docs/**", "results/*.md", "results/reference/*.md"]
exclude_patterns = [".*", "docs/_build", "docs/plans", "docs/tutorials"]

nitpicky = True
nitpick_ignore_regex = [
    ("py:class", r"(?!advntk\.)[\w.\[]+"),  # of other libraries
    (
        "py:class",
        r"advntk\..*\.(AnyRun|EntryOf|losses|Made|Order|Overlap|Suite|Tried)",
    ),  # aliases, and what no page shows
    ("myst", r"\.\./results/reference/\w+|advntk/zoo/NOTICE"),  # what GitHub alone shows
]
myst_heading_anchors = 4
autodoc_member_order = "bysource"
napoleon_use_ivar = True

html_theme = "pydata_sphinx_theme"
html_title = "advntk"
html_extra_path = ["site/index.html"]
html_static_path = ["site/static"]
html_css_files = ["site.css"]
html_copy_source = html_show_sourcelink = False
html_sidebars = {"docs/results": []}  # it has no neighbours
html_theme_options = {
    "show_prev_next": False,
    "header_links_before_dropdown": 7,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": [],
    "footer_end": [],
}

sphinx_gallery_conf = {
    "examples_dirs": "docs/tutorials",
    "gallery_dirs": "docs/gallery",
    "filename_pattern": "",
    "capture_repr": (),
    "write_computation_times": False,
    "show_signature": False,
    "download_all_examples": False,
}

CONTENTS = """
```{toctree}
:hidden:

docs/gallery/index
docs/site/guide
docs/site/science
docs/results
docs/api/index
docs/site/project
```
"""
COLON = "\ue000"
"""Stands for a colon that follows no type while napoleon reads a docstring."""


def _contents(app: Sphinx, page: str, source: list[str]) -> None:
    """The table of contents, which GitHub's form of the README has no use for."""
    if page == root_doc:
        source[0] += CONTENTS


def _before_napoleon(app: Sphinx, what: str, name: str, thing: object, options: object, lines: list[str]) -> None:
    """``|x|`` is a norm, and neither an attribute's first line nor one below ``Returns:`` begins with a type."""
    above = ""
    for number, line in enumerate(lines):
        if above == "Returns:" or (number == 0 and what in {"attribute", "data", "property"}):
            lines[number] = line.replace(": ", f"{COLON} ")
        if "``" not in line:
            lines[number] = lines[number].replace("|", "\\|")
        above = line


def _after_napoleon(app: Sphinx, what: str, name: str, thing: object, options: object, lines: list[str]) -> None:
    lines[:] = [line.replace(COLON, ":") for line in lines]


def setup(app: Sphinx) -> None:
    """Connect the above; napoleon's priority is 500. Diagrams, which GitHub draws, stand here as their text."""
    app.add_lexer("mermaid", TextLexer)
    app.connect("source-read", _contents)
    app.connect("autodoc-process-docstring", _before_napoleon, priority=400)
    app.connect("autodoc-process-docstring", _after_napoleon, priority=600)
