"""What the page does with speech: in a real browser, on a real daemon."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

expect = pytest.importorskip("playwright.sync_api").expect

AUDIT = Path(__file__).with_name("audit.js").read_text(encoding="utf-8")
# `Listening` and the like are no emotion.
EMOTION = re.compile("^[a-z][a-z ]+$")
EMOTION_TOLD = re.compile(r"^[a-z ]+(, \d+\s%| has ended)?$")
SOON_MS = 30_000
Open = Callable[..., tuple[Any, Any]]
Until = Callable[[Any, str], None]

VALUES = "[...document.querySelectorAll('#bars [role=meter]')].map((m) => m.ariaValueNow).join()"
PAINTED = """(colour) => {
    const canvas = document.querySelector('#canvas');
    const wanted = colour.match(/\\d+/g).slice(0, 3).map(Number);
    const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
    let found = 0;
    for (let i = 0; i < data.length; i += 4)
        found += wanted.every((v, k) => v === data[i + k]) && data[i + 3] === 255;
    return found;
}"""
OUTLINE = """() => {
    const at = document.activeElement;
    const seen = at.matches('.file') ? at.nextElementSibling.firstElementChild : at;
    return parseFloat(getComputedStyle(seen).outlineWidth);
}"""
DROPPED = """(content) => {
    const bytes = Uint8Array.from(atob(content), (c) => c.charCodeAt(0));
    const transfer = new DataTransfer();
    transfer.items.add(new File([bytes], 'dropped.wav', { type: 'audio/wav' }));
    return transfer;
}"""


@pytest.mark.slow
def test_it_follows_the_emotion(page_server: Any, open_page: Open, until: Until) -> None:
    page, watch = open_page(page_server.url)
    expect(page.locator("#emotion")).to_have_text(EMOTION, timeout=SOON_MS)
    expect(page.locator("#announcer")).to_have_text(EMOTION_TOLD, timeout=SOON_MS)
    until(page, "/^[a-z ]+ · SER Toolkit$/.test(document.title)")
    before = page.evaluate(VALUES)
    level = page.locator("#level").get_attribute("aria-valuetext")
    assert before.count(",") >= 3
    until(page, f"{VALUES} !== {before!r}")
    until(page, f"document.querySelector('#level').ariaValueText !== {level!r}")
    assert re.fullmatch(r"(below )?−\d+\sdBFS, peak (−\d+|0)\sdBFS", level)
    assert watch.errors == []
    assert [url for url in watch.requests if not url.startswith(page_server.url)] == []
    assert len(set(watch.requests)) >= 10


@pytest.mark.slow
def test_only_changes_are_spoken(page: Any, until: Until) -> None:
    page.evaluate("""() => {
        window.spoken = [];
        const told = document.querySelector('#announcer');
        new MutationObserver(() => window.spoken.push(told.textContent))
            .observe(told, { childList: true, characterData: true, subtree: true });
    }""")
    changes = page.locator("#events tr").count()
    until(page, "window.spoken.length >= 2")
    page.wait_for_timeout(300)
    spoken = page.evaluate("window.spoken")
    assert len(spoken) == page.locator("#events tr").count() - changes or changes == 20
    assert all(EMOTION_TOLD.search(text) for text in spoken)


def test_the_timeline_shows_what_the_table_says(page: Any, until: Until) -> None:
    expect(page.locator("#events tr")).not_to_have_count(0, timeout=SOON_MS)
    first = page.locator("#events tr").last.locator(".tagged")
    label = first.evaluate("node => node.firstChild.data")
    lane = page.locator("#lane-names li", has_text=re.compile(f"^{label}$"))
    colour = lane.evaluate("node => getComputedStyle(node).borderLeftColor")
    # An emotion that has just begun is narrower than a pixel.
    until(page, f"({PAINTED})({colour!r}) > 20")
    assert page.evaluate(PAINTED, "rgb(1, 2, 3)") == 0
    page.locator("#timeline").focus()
    page.keyboard.press("Home")
    expect(page.locator("#reading")).to_contain_text(f"{label}, ")
    page.keyboard.press("Escape")
    expect(page.locator("#reading")).to_contain_text("arrow keys")
    page.locator("#timeline").hover(position={"x": 3, "y": 20})
    expect(page.locator("#reading")).to_have_text(re.compile("no emotion|from"))


def test_a_file_is_classified_when_it_is_chosen(page: Any, voices: Path) -> None:
    page.set_input_files("#file", voices / "short.wav")
    title = page.locator("#result-title")
    expect(title).to_have_text(re.compile("^short.wav: [a-z]+$"), timeout=SOON_MS)
    expect(title).to_be_focused()
    words = page.locator("#result-words")
    expect(words).to_have_text(re.compile(r"\(\d+\s%\).* 9\.0\ss of sound, \d+ windows\."))
    assert page.locator("#result-bars .bar").count() >= 2
    assert page.locator("#strip li").count() >= 1
    page.locator("summary").click()
    assert page.locator("#windows tr").count() >= 2
    assert page.evaluate(AUDIT) == []


def test_a_file_is_classified_when_it_is_dropped(page: Any, voices: Path) -> None:
    content = base64.b64encode((voices / "short.wav").read_bytes()).decode()
    transfer = page.evaluate_handle(DROPPED, content)
    page.dispatch_event("body", "dragenter", {"dataTransfer": transfer})
    expect(page.locator("body")).to_have_class("dragging")
    page.dispatch_event("#now", "drop", {"dataTransfer": transfer})
    expect(page.locator("#result-title")).to_contain_text("dropped.wav: ", timeout=SOON_MS)
    expect(page.locator("body")).not_to_have_class("dragging")


def test_what_is_no_recording_is_refused_in_words(page: Any, tmp_path: Path) -> None:
    (tmp_path / "notes.wav").write_bytes(b"no sound was ever in here" * 20)
    page.set_input_files("#file", tmp_path / "notes.wav")
    expect(page.locator("#file-error")).to_have_text(re.compile("^notes.wav: .+"), timeout=SOON_MS)
    expect(page.locator("#result")).to_be_hidden()


def test_tab_reaches_everything_and_is_seen(page: Any) -> None:
    visited = []
    for _ in range(5):
        page.keyboard.press("Tab")
        visited.append(
            page.evaluate("document.activeElement.id || document.activeElement.className")
        )
        assert page.evaluate(OUTLINE) >= 2, visited[-1]
    assert visited == ["skip", "pause", "timeline", "scroller", "file"]


def test_the_keyboard_is_enough(page: Any, voices: Path) -> None:
    # From here on the browser tells of file choosers: asked at the last moment, it may be late.
    page.on("filechooser", lambda _: None)
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.locator("#main")).to_be_focused()
    page.locator("#file").focus()
    with page.expect_file_chooser() as choice:
        page.keyboard.press("Enter")
    choice.value.set_files(voices / "short.wav")
    expect(page.locator("#result-title")).to_be_focused(timeout=SOON_MS)
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.locator("#windows")).to_be_visible()


def test_the_display_can_be_paused(page: Any) -> None:
    page.locator("#pause").press("Space")
    expect(page.locator("#pause")).to_have_text("Resume")
    page.wait_for_timeout(300)
    still = page.evaluate(VALUES), page.locator("#level-text").text_content()
    page.wait_for_timeout(2000)
    assert (page.evaluate(VALUES), page.locator("#level-text").text_content()) == still
    page.locator("#pause").press("Enter")
    expect(page.locator("#level-text")).not_to_have_text(still[1])


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [320, 768, 1440])
def test_it_is_accessible(page_server: Any, open_page: Open, scheme: str, width: int) -> None:
    page, _ = open_page(page_server.url, width, 800, color_scheme=scheme)
    page.wait_for_selector("#events tr")
    page.wait_for_selector("#states .part")
    assert page.evaluate(AUDIT) == []
    assert page.evaluate("document.documentElement.scrollWidth") == width


def test_nothing_moves_where_less_motion_is_wished(page_server: Any, open_page: Open) -> None:
    page, _ = open_page(page_server.url, reduced_motion="reduce")
    page.wait_for_selector("#bars .fill")
    for part in (".fill", ".level-fill"):
        style = "node => getComputedStyle(node).transitionDuration"
        assert page.locator(part).first.evaluate(style) == "0s"


def test_it_draws_no_more_often_than_something_comes(page_server: Any, open_page: Open) -> None:
    page, _ = open_page("about:blank")
    page.add_init_script("""
        window.drawn = 0;
        const frame = window.requestAnimationFrame.bind(window);
        window.requestAnimationFrame = (draw) => frame((t) => { window.drawn += 1; draw(t); });
    """)
    page.goto(page_server.url)
    page.wait_for_selector("#bars .bar")
    before = page.evaluate("window.drawn")
    page.wait_for_timeout(3000)
    # The state comes five times a second, and an animation would ask for 60 frames.
    assert 1 <= page.evaluate("window.drawn") - before <= 60
