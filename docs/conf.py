"""How Sphinx makes a site of these pages: `make docs`."""

from __future__ import annotations

import importlib.metadata
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]

project = "rltf"
author = copyright = "The rltf contributors"
release = importlib.metadata.version("rltf")
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
html_theme = "furo"
html_title = "rltf"
myst_heading_anchors = 3
exclude_patterns = ["_build"]
nitpicky = False
OUTSIDE = ("CHANGELOG.md", "CONTRIBUTING.md", "PAPERS.md", "SECURITY.md", "benchmarks/SUBMITTING.md")


def _inside(app: Any, docname: str, source: list[str]) -> None:
    """Pages beside docs/ are shown as they stand in the repository; links to them stay within the site."""
    depth = "../" * docname.count("/")
    for name in OUTSIDE:
        source[0] = source[0].replace(f"](../{depth}{name}", f"]({depth}project/{Path(name).stem.lower()}.md")


def _copied() -> None:
    """Puts the pages that stand outside docs/ into `docs/project/`, which git ignores."""
    folder = Path(__file__).parent / "project"
    folder.mkdir(exist_ok=True)
    for name in OUTSIDE:
        text = (ROOT / name).read_text(encoding="utf-8")
        text = text.replace("](README.md)", "](../index.md)")
        for other in OUTSIDE:
            text = text.replace(f"]({other}", f"]({Path(other).stem.lower()}.md")
        text = text.replace("](docs/", "](../")
        (folder / f"{Path(name).stem.lower()}.md").write_text(f"---\norphan: true\n---\n\n{text}", encoding="utf-8")


def setup(app: Any) -> None:
    """Called by Sphinx."""
    _copied()
    app.connect("source-read", _inside)
