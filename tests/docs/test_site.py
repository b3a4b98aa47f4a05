"""The site of the documents builds without a warning, is whole, and loads nothing of others."""

from __future__ import annotations

import functools
import http.server
import inspect
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit
from xml.etree import ElementTree

import pytest

import ser_toolkit
from ser_toolkit import dsp, testing
from ser_toolkit.plugins import hookspecs
from ser_toolkit.testing import pytest_plugin

ROOT = Path(__file__).parents[2]
PICTURE = ROOT / "docs/images/architecture.svg"
KINDS = ("Recipe", "Command", "Reader", "Augmenter", "Extractor", "Network", "Sink")
EXPLAINED = (
    *("Recipe", "Training", "Window", "Event", "Device", "Clip", "Utterance", "Match", "Reading"),
    *("Audio", "Signal", "Asset", "testing.Check", "testing.Peer", "TrainOptions", "Model", "Run"),
    *("Prediction", "TimedPrediction", "FailedPrediction"),
)
CHROMIUM = Path("/usr/bin/chromium")
LOADING = {"script": "src", "img": "src", "iframe": "src", "source": "src", "link": "href"}
NOT_LOADED = {"canonical", "next", "prev", "alternate"}


class Page(HTMLParser):
    """What a page links to, what it loads, and which anchors it has."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.anchors: set[str] = set()
        self.feed(path.read_text("utf-8"))

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        found = {key: value or "" for key, value in attributes}
        self.anchors |= {found[key] for key in ("id", "name") if key in found}
        if tag == "a" and "href" in found:
            self.links.append(found["href"])
        address = found.get(LOADING.get(tag, ""), "")
        if address and not NOT_LOADED & set(found.get("rel", "").split()):
            self.loads.append(address)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    output = done.stdout + done.stderr
    assert done.returncode == 0, output
    assert not re.search("warning|error", output, re.IGNORECASE), output
    return folder


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[Path, Page]:
    found = {path: Page(path) for path in site.rglob("*.html")}
    assert len(found) > 30
    return found


def test_every_document_is_a_page(site: Path) -> None:
    moved = {"README.md": "start.md", "docs/index.md": "index.md"}
    for pattern in ("*.md", "docs/**/*.md", "plugins/*.md", "plugins/*/*.md", "edge/*.md"):
        for path in ROOT.glob(pattern):
            name = path.relative_to(ROOT).as_posix()
            name = moved.get(name, name.removeprefix("docs/"))
            name = name.replace("README.md", "index.md").replace(".md", ".html")
            assert (site / name).is_file(), name


def test_every_link_leads_somewhere(site: Path, pages: dict[Path, Page]) -> None:
    checked = 0
    for path, page in pages.items():
        if path.name == "404.html":
            continue
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme in ("http", "https", "mailto"):
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            target = target / "index.html" if target.is_dir() else target
            assert target.is_relative_to(site.resolve()) and target.is_file(), f"{path}: {link}"
            if parts.fragment and target in pages:
                assert unquote(parts.fragment) in pages[target].anchors, f"{path}: {link}"
                checked += 1
    assert checked > 300


def test_nothing_is_loaded_from_elsewhere(site: Path, pages: dict[Path, Page]) -> None:
    for path, page in pages.items():
        assert page.loads
        assert [one for one in page.loads if re.match(r"(\w+:)?//", one)] == [], path
    styles = list(site.rglob("*.css"))
    assert styles
    for style in styles:
        text = style.read_text("utf-8")
        assert not re.search(r"(@import|url\()\s*[\"']?(https?:)?//", text), style


# The reference ------------------------------------------------------------------------------------


def directives() -> list[str]:
    text = "".join(path.read_text("utf-8") for path in (ROOT / "docs/reference").glob("*.md"))
    return re.findall(r"^::: (\S+)$", text, re.MULTILINE)


def public() -> set[str]:
    names = {f"ser_toolkit.{name}" for name in ser_toolkit.__all__}
    names |= {f"ser_toolkit.dsp.{name}" for name in dsp.__all__}
    names |= {f"ser_toolkit.testing.{name}" for name in testing.__all__}
    source = inspect.getsource(hookspecs)
    hooks = re.findall(r"^@hookspec\ndef (\w+)\(", source, re.MULTILINE)
    names |= {f"ser_toolkit.plugins.hookspecs.{hook}" for hook in hooks}
    source = inspect.getsource(pytest_plugin)
    fixtures = re.findall(r"^@pytest\.fixture.*\ndef (\w+)\(", source, re.MULTILINE)
    assert len(hooks) == 6 and len(fixtures) == 3
    return names | {f"ser_toolkit.testing.pytest_plugin.{name}" for name in fixtures}


def test_every_public_name_is_in_the_reference(site: Path) -> None:
    shown = directives()
    assert len(shown) == len(set(shown))
    assert public() - set(shown) == set()
    # Not public themselves, but what public functions give.
    home = "ser_toolkit.runtime.inference.classifier"
    assert set(shown) - public() == {f"{home}.Classifier", f"{home}.BundleClassifier"}
    anchors = {name for path in (site / "reference").glob("*.html") for name in Page(path).anchors}
    assert set(shown) <= anchors


def test_every_public_name_has_a_docstring(site: Path) -> None:
    """In the page: a heading and a signature alone say nothing."""
    entry = re.compile(r'<h3 id="(ser_toolkit[\w.]+)"(.*?)(?=<h3 |<h2 |</article>)', re.DOTALL)
    described = re.compile(r'<div class="doc doc-contents.*?<p>\S', re.DOTALL)
    text = "".join(path.read_text("utf-8") for path in (site / "reference").glob("*.html"))
    found = entry.findall(text)
    assert {name for name, _ in found} == set(directives())
    assert [name for name, body in found if not described.search(body)] == []


def test_every_field_is_explained() -> None:
    for name in EXPLAINED:
        home = testing if name.startswith("testing.") else ser_toolkit
        kind = getattr(home, name.removeprefix("testing."))
        text = kind.__doc__.partition("Attributes:")[2]
        explained = re.findall(r"^ +(\w+): ", text, re.MULTILINE)
        assert explained == list(inspect.signature(kind).parameters), name


# The picture --------------------------------------------------------------------------------------


def test_the_picture_says_what_it_shows() -> None:
    text = PICTURE.read_text("utf-8")
    root = ElementTree.fromstring(text)
    space = {"svg": "http://www.w3.org/2000/svg"}
    named = root.attrib["aria-labelledby"].split()
    described = [root.find(f"svg:{tag}", space) for tag in ("title", "desc")]
    assert [one.attrib["id"] for one in described if one is not None] == named
    words = " ".join("".join(one.itertext()) for one in root.iterfind("svg:text", space))
    assert all(kind in words for kind in (*KINDS, "NAME.sertk", "Split", "Verify"))
    assert "prefers-color-scheme: dark" in text
    assert not re.search(r"href=\"(?!#)|@import|url\((?!#)|<image|<script", text)


@pytest.mark.parametrize("page", ["README.md", "docs/index.md", "docs/architecture.md"])
def test_the_picture_is_shown(page: str) -> None:
    path = ROOT / page
    alt, shown = re.findall(r"!\[([^\]]+)\]\((\S+\.svg)\)", path.read_text("utf-8"))[0]
    assert (path.parent / shown).resolve() == PICTURE.resolve()
    assert len(alt) > 20


# In a browser -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def served(site: Path) -> Iterator[str]:
    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            pass

    handler = functools.partial(Handler, directory=str(site))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}/"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(scope="module")
def browser(request: pytest.FixtureRequest) -> Iterator[Any]:
    api = pytest.importorskip("playwright.sync_api")
    root = request.config.pluginmanager.get_plugin(str(request.config.rootpath / "conftest.py"))
    root.require("chromium", CHROMIUM.exists(), "apt-get install chromium")
    with api.sync_playwright() as playwright:
        flags = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        running = playwright.chromium.launch(executable_path=str(CHROMIUM), args=flags)
        yield running
        running.close()


@pytest.mark.slow
@pytest.mark.parametrize("width", [360, 1280])
def test_in_a_browser_pages_fit_and_stay_at_home(width: int, served: str, browser: Any) -> None:
    page = browser.new_page(viewport={"width": width, "height": 900})
    asked: list[str] = []
    faults: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda line: faults.append(line.text) if line.type == "error" else None)
    for name in ("index.html", "plugins/index.html", "reference/extractors.html", "cli.html"):
        page.goto(served + name, wait_until="networkidle")
        assert page.evaluate("document.documentElement.scrollWidth") <= width, name
    page.close()
    assert [one for one in asked if not one.startswith((served, "data:", "blob:"))] == []
    assert faults == []


@pytest.mark.slow
def test_in_a_browser_the_search_finds_a_hook(served: str, browser: Any) -> None:
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.goto(served + "index.html", wait_until="networkidle")
    page.locator(".md-search__input").click()
    page.locator(".md-search__input").press_sequentially("sertk_extractors")
    found = page.locator(".md-search-result__link")
    found.first.wait_for(state="attached", timeout=30_000)
    links = [one.get_attribute("href") for one in found.all()]
    page.close()
    assert any("reference/hooks.html" in link for link in links)
