"""What the page shows of trouble, and what it must not do however long it is open."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest

expect = pytest.importorskip("playwright.sync_api").expect

AUDIT = Path(__file__).with_name("audit.js").read_text(encoding="utf-8")
STYLES = Path(__file__).parents[2] / "sertk_edge/page/page.css"
SOON_MS = 30_000
TOKEN = "a-token-that-is-long-enough-to-be-one"
Open = Callable[..., tuple[Any, Any]]

LABELS = (
    *("anger", "anticipation-and-vigilance", "boredom", "calm", "contempt", "disgust"),
    *("embarrassment or shame", "fear", "happiness", "neutral", "sadness", "surprise"),
)
SINKS = [
    {"name": "mqtt", "state": "failing", "pending": 214, "dropped": 3, "detail": "no answer"},
    {"name": "webhook", "state": "waiting", "pending": 1, "dropped": 0, "detail": ""},
]
TROUBLE = {
    "time_s": 1.7e9,
    "offset_s": 12.0,
    "level_dbfs": -2.0,
    "peak_dbfs": 0.0,
    "clipping": True,
    "speech": True,
    "label": "embarrassment or shame",
    "probabilities": {label: 0.45 if " " in label else 0.05 for label in LABELS},
    "since_s": 75.0,
    "model": {"name": "compact", "sha256": "0" * 64, "state": "ok", "detail": ""},
    "source": {"kind": "microphone", "name": "USB", "state": "ok", "detail": ""},
    "sinks": SINKS,
    "spool": {"state": "memory", "detail": "no space left on device"},
    "recording": True,
}
# Machado, Oliveira and Fernandes (2009): how strong protanopia and deuteranopia see linear RGB.
SIGHT = {
    "full": np.eye(3),
    "protan": np.array(
        [
            [0.152286, 1.052583, -0.204868],
            [0.114503, 0.786281, 0.099216],
            [-0.003882, -0.048116, 1.051998],
        ]
    ),
    "deutan": np.array(
        [
            [0.367322, 0.860646, -0.227968],
            [0.280085, 0.672501, 0.047413],
            [-0.011820, 0.042940, 0.968881],
        ]
    ),
}
# Ottosson (2020): linear RGB to Oklab.
CONES = np.array(
    [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]
)
OKLAB = np.array(
    [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ]
)


@pytest.mark.slow
def test_a_lost_connection_is_told_and_comes_back(serve: Any, open_page: Open) -> None:
    served = serve()
    page, _ = open_page(served.url)
    page.wait_for_selector("#bars .bar")
    served.kill()
    banner = page.locator("#banner")
    expect(banner).to_contain_text("Connection lost", timeout=SOON_MS)
    expect(banner).to_have_attribute("role", "alert")
    expect(page.locator("#panels")).to_have_class(re.compile("stale"))
    expect(page).to_have_title("Not connected · SER Toolkit")
    assert page.evaluate(AUDIT) == []
    serve(port=int(served.url.rsplit(":", 1)[1].strip("/")))
    expect(banner).to_be_hidden(timeout=SOON_MS)
    expect(page.locator("#panels")).not_to_have_class(re.compile("stale"))
    expect(page.locator("#link")).to_have_text("Connected")


def test_a_token_is_asked_for(serve: Any, open_page: Open, tmp_path: Path) -> None:
    (tmp_path / "token").write_text(TOKEN)
    (tmp_path / "token").chmod(0o600)
    page, _ = open_page(serve("--http-token-file", tmp_path / "token").url)
    field = page.get_by_label("Token")
    expect(field).to_be_focused(timeout=SOON_MS)
    expect(page.locator("#panels")).to_be_hidden()
    assert page.evaluate(AUDIT) == []
    page.keyboard.type("something else")
    page.keyboard.press("Enter")
    expect(page.locator("#sign-in-error")).to_have_text("That is not the token of this device.")
    field.fill(TOKEN)
    page.keyboard.press("Enter")
    page.wait_for_selector("#bars .bar")
    expect(page.locator("#sign-in")).to_be_hidden()
    expect(page.locator("#link")).to_have_text("Connected")
    page.reload()
    page.wait_for_selector("#bars .bar")
    assert page.evaluate("document.cookie") == ""


@pytest.mark.slow
def test_a_rejected_bundle_is_told_with_its_reason(serve: Any, open_page: Open) -> None:
    served = serve()
    page, _ = open_page(served.url)
    model = page.locator("#states .part").first
    expect(model).to_contain_text("ok", timeout=SOON_MS)
    served.bundle.write_bytes(b"this is no bundle")
    expect(model).to_contain_text("new bundle rejected", timeout=SOON_MS)
    expect(model).to_contain_text("goes on")
    expect(model.locator(".note").first).to_contain_text(re.compile("live.sertk: .{8,}"))
    expect(page.locator("#emotion")).not_to_have_text("Connecting")


@pytest.mark.parametrize("width", [320, 1280])
def test_trouble_and_many_long_labels(page_server: Any, open_page: Open, width: int) -> None:
    page, _ = open_page("about:blank", width, 900)
    stream = f"retry: 200\n\nevent: live\ndata: {json.dumps(TROUBLE)}\n\n"
    model = {"name": "compact", "labels": LABELS, "rejected": None}
    page.route("**/v1/model", lambda route: route.fulfill(json=model))
    answer = {"body": stream, "content_type": "text/event-stream"}
    page.route("**/v1/events*", lambda route: route.fulfill(**answer))
    page.goto(page_server.url)
    expect(page.locator("#emotion")).to_have_text("embarrassment or shame")
    expect(page.locator("#about")).to_contain_text(re.compile(r"45\s%.*1\smin 15\ss"))
    expect(page.locator("#clipping")).to_have_text("clipping")
    states = page.locator("#states")
    expect(states).to_contain_text("214 events waiting")
    expect(states).to_contain_text("3 events dropped")
    expect(states).to_contain_text("1 event waiting")
    expect(states).to_contain_text("no space left on device")
    expect(page.locator("#recording")).to_contain_text("written to disk")
    expect(page.locator("#bars .bar")).to_have_count(12)
    assert page.locator("#bars .bar").evaluate_all(
        "bars => new Set(bars.map((bar) => bar.className.match(/tone-\\d+/)[0])).size"
    ) == len(LABELS)
    assert page.evaluate("document.documentElement.scrollWidth") == width
    assert page.evaluate(AUDIT) == []


def test_speech_of_an_untrained_level_is_told(page_server: Any, open_page: Open) -> None:
    page, _ = open_page("about:blank")
    quiet = {**TROUBLE, "label": "uncertain", "reason": "too_quiet"}
    event = {"id": "a", "sequence": 1, "kind": "started", "time_s": 1.7e9, "label": "uncertain"}
    event |= {"reason": "too_quiet", "probabilities": quiet["probabilities"]}
    told = [
        f"event: {kind}\ndata: {json.dumps(data)}\n\n"
        for kind, data in (("live", quiet), ("emotion", event))
    ]
    model = {"name": "compact", "labels": LABELS, "rejected": None}
    page.route("**/v1/model", lambda route: route.fulfill(json=model))
    answer = {"body": "".join(told), "content_type": "text/event-stream"}
    page.route("**/v1/events*", lambda route: route.fulfill(**answer))
    page.goto(page_server.url)
    expect(page.locator("#about")).to_contain_text("quieter than the speech of the training")
    expect(page.locator("#events")).to_contain_text("uncertain started too quiet")


def test_what_it_keeps_does_not_grow(page: Any) -> None:
    kept = page.evaluate("""async () => {
        const { History, SPAN_S } = await import('./history.js');
        const history = new History();
        const sizes = new Set();
        for (let i = 0; i < 20000; i += 1) {
            const time_s = 1e9 + i * 0.2;
            const probabilities = { [`label ${i % 50}`]: 0.5 };
            history.see({ time_s, level_dbfs: -20, label: 'x', probabilities }, 1 + i * 200);
            history.add({ id: `${i}`, kind: 'changed', label: 'x', time_s, probabilities });
        }
        let steps = 0;
        history.level(() => { steps += 1; });
        const oldest = history.now - history.segments()[0].from;
        return [history.events.length, history.curves.size, steps, oldest <= SPAN_S + 1];
    }""")
    events, curves, steps, recent = kept
    assert (events <= 400, curves <= 16, steps <= 600, recent) == (True,) * 4, kept


def test_a_set_clock_leaves_the_timeline_in_place(page: Any) -> None:
    ages = page.evaluate("""async () => {
        const { History } = await import('./history.js');
        const history = new History();
        const see = (time_s, ms) => history.see({ time_s, level_dbfs: -20, label: 'x' }, ms);
        const probabilities = { x: 0.9 };
        history.add({ id: 'a', kind: 'started', label: 'x', time_s: 1000, probabilities });
        see(1010, 10000);
        see(87410.2, 10200);
        return history.segments().map(({ from, to }) => [history.now - from, history.now - to]);
    }""")
    assert np.allclose(ages, [[10.2, 0]], atol=0.01)


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize("sight", SIGHT)
def test_colours_differ_for_every_eye(scheme: int, sight: str) -> None:
    found = re.findall(r"--tone-\d+: #(\w{6});", STYLES.read_text(encoding="utf-8"))
    colours = found[12 * scheme : 12 * scheme + 12]
    assert len(found) == 24
    seen = [oklab(SIGHT[sight] @ linear(colour)) for colour in colours]
    nearest = min(np.linalg.norm(one - other) for one, other in combinations(seen, 2))
    # Twice what is just noticeable beside each other is about 0.04.
    assert nearest > 0.06


def linear(colour: str) -> Any:
    """Linear RGB of six hexadecimal digits."""
    values = np.array([int(colour[i : i + 2], 16) for i in (0, 2, 4)]) / 255
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def oklab(rgb: Any) -> Any:
    """Where a colour lies in a space whose distances are those that people see."""
    return OKLAB @ np.cbrt(CONES @ np.clip(rgb, 0, 1))
