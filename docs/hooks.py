"""Extend `make docs`: pages elsewhere in the repository, and anchors as GitHub makes them."""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parent.parent
OUTSIDE = ("*.md", "plugins/*.md", "plugins/*/*.md", "edge/*.md")
# Inside docs/ there is an index already.
MOVED = {"README.md": "start.md"}


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Make anchors as GitHub does, and replace patterns in the navigation by pages."""
    config.mdx_configs.setdefault("toc", {})["slugify"] = anchor
    config.nav = expanded(config.nav)
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages outside docs/."""
    for name in outside():
        files.append(File.generated(config, site_name(name), abs_src_path=str(ROOT / name)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Point links at the pages of the site."""
    home = repository_name(page.file.src_uri)
    fences = re.compile(r"^(```.*?^```)$", re.MULTILINE | re.DOTALL)
    prose = re.compile(r"(?<=\]\()([^)\s#:]+)")
    parts = fences.split(markdown)
    parts[::2] = [
        prose.sub(lambda found: link(found[1], home, config, files), part) for part in parts[::2]
    ]
    return "".join(parts)


def anchor(heading: str, separator: str) -> str:
    """Return the anchor that GitHub makes from a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", separator)


def expanded(nav: Any) -> Any:
    """Return the navigation with pages in place of patterns."""
    if isinstance(nav, dict):
        return {title: expanded(entry) for title, entry in nav.items()}
    if isinstance(nav, list):
        return [page for entry in nav for page in globbed(entry)]
    return nav


def globbed(entry: Any) -> list[Any]:
    """Return the pages of one entry."""
    if isinstance(entry, str) and "*" in entry:
        return sorted(path.relative_to(ROOT).as_posix() for path in ROOT.glob(entry))
    return [expanded(entry)]


def outside() -> list[str]:
    """Return the pages outside docs/, by their names in the repository."""
    return sorted(p.relative_to(ROOT).as_posix() for glob in OUTSIDE for p in ROOT.glob(glob))


def site_name(name: str) -> str:
    """Return the name in the site of a file of the repository."""
    return MOVED.get(name, name.removeprefix("docs/"))


def repository_name(name: str) -> str:
    """Return the name in the repository of a page of the site."""
    places = {site_name(page): page for page in outside()}
    return places.get(name, f"docs/{name}")


def link(target: str, home: str, config: MkDocsConfig, files: Files) -> str:
    """Return a link of a page of the repository, as the site needs it.

    Args:
        target: What it points at, relative to the page.
        home: The page.
        config: That of the site.
        files: Those of the site; a target that is no page is added.
    """
    name = posixpath.normpath(posixpath.join(posixpath.dirname(home), target))
    if not (ROOT / name).is_file():
        return target
    there = site_name(name)
    if files.get_file_from_path(there) is None:
        files.append(File.generated(config, there, abs_src_path=str(ROOT / name)))
    return posixpath.relpath(there, posixpath.dirname(site_name(home)))
