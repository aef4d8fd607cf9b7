"""The picture in CONTRIBUTING.md of what the packages of ``advntk`` import.

    python -m tests.imports_picture            # draw it
    python -m tests.imports_picture --check    # exit with status 1 unless it shows the imports of the code
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import grimp

PAGE = Path(__file__).parents[1] / "CONTRIBUTING.md"
BEGIN, END = "<!-- drawn by `python -m tests.imports_picture` -->\n", "<!-- end of the picture -->\n"


def leads(start: str, end: str, arrows: set[tuple[str, str]]) -> bool:
    """Whether arrows lead from one package to another."""
    seen, new = set(), {start}
    while new:
        seen |= new
        new = {head for tail, head in arrows if tail in new} - seen
    return end in seen


def drawing() -> str:
    """A mermaid diagram, without the arrows that others imply."""
    graph = grimp.build_graph("advntk", cache_dir=None)
    packages = [name for name in sorted(graph.find_children("advntk")) if graph.find_children(name)]
    arrows = {
        (one, other)
        for one in packages
        for other in packages
        if one != other and graph.direct_import_exists(importer=one, imported=other, as_packages=True)
    }
    for arrow in sorted(arrows):
        if leads(*arrow, arrows - {arrow}):
            arrows.remove(arrow)
    lines = (f"  {one} --> {other}\n" for one, other in sorted(arrows))
    return "```mermaid\nflowchart TD\n" + "".join(lines).replace("advntk.", "") + "```\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """Draw or check the picture; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing")
    check = parser.parse_args(arguments).check
    page = PAGE.read_text(encoding="utf-8")
    before, _, after = page.partition(BEGIN)
    drawn = before + BEGIN + drawing() + END + after.partition(END)[2]
    if not check:
        PAGE.write_text(drawn, encoding="utf-8")
    elif drawn != page:
        print("CONTRIBUTING.md does not show the imports of the code: run python -m tests.imports_picture")
    return int(check and drawn != page)


if __name__ == "__main__":
    sys.exit(main())
