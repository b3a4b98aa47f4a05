"""A page of another origin, in a real browser, gets nothing and changes nothing."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import pytest

# What a rebinding attacker does with DNS.
REBOUND = "--host-resolver-rules=MAP evil.example 127.0.0.1"
SOON_MS = 30_000
EVIL = b"<!doctype html><title>evil</title><body>evil"
# Each tells what came of it: `refused`, or what the page has got.
TRIES = """
async (target) => {
  const wav = new Blob([new Uint8Array(2000)], { type: "audio/wav" });
  const sockets = target.replace("http", "ws");
  const post = { method: "POST", body: wav };
  const outcome = (promise) => promise.then(
    async (answer) => answer.type === "opaque" ? "opaque" : "read " + await answer.text(),
    () => "refused");
  const signal = (thing, good, bad) => new Promise((done) => {
    thing["on" + good] = () => done("got it");
    thing["on" + bad] = () => done("refused");
  });
  const element = (tag, address, parent) => {
    const made = document.createElement(tag);
    const found = signal(made, "load", "error");
    made[tag === "link" ? "href" : "src"] = address;
    if (tag === "link") made.rel = "stylesheet";
    (parent ?? document.body).append(made);
    return found;
  };
  return {
    fetch: await outcome(fetch(target + "/v1/state")),
    preflight: await outcome(fetch(target + "/v1/state", { headers: { "X-Mine": "1" } })),
    post: await outcome(fetch(target + "/v1/classify", post)),
    simple: await outcome(fetch(target + "/v1/session", { method: "POST", body: '{"token":""}' })),
    blind: await outcome(fetch(target + "/v1/state", { mode: "no-cors" })),
    blindPost: await outcome(fetch(target + "/v1/classify", { ...post, mode: "no-cors" })),
    cookies: await outcome(fetch(target + "/v1/state", { credentials: "include" })),
    events: await signal(new EventSource(target + "/v1/events"), "open", "error"),
    socket: await signal(new WebSocket(sockets + "/v1/listen"), "open", "error"),
    image: await element("img", target + "/icon.svg"),
    script: await element("script", target + "/page.js"),
    style: await element("link", target + "/page.css"),
    beacon: String(navigator.sendBeacon(target + "/v1/classify", wav)),
  };
}
"""


@pytest.fixture(scope="module")
def browser(chromium: Callable[..., AbstractContextManager[Any]]) -> Iterator[Any]:
    with chromium(REBOUND) as running:
        yield running


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    opened = browser.new_page()
    opened.set_default_timeout(SOON_MS)
    yield opened
    opened.close()


class Evil(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(EVIL)))
        self.end_headers()
        self.wfile.write(EVIL)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def evil_port() -> Iterator[int]:
    """Another program on this machine."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Evil)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server.server_address[1]
    server.shutdown()
    server.server_close()
    thread.join()


def counted(site: Any) -> dict[tuple[str, str], float]:
    """How many answers of each route and status; browsers ask for icons by themselves."""
    return {
        (sample.labels["route"], sample.labels["status"]): sample.value
        for family in site.metrics.registry.collect()
        for sample in family.samples
        if sample.name == "sertk_http_requests_total" and sample.labels["route"] != "other"
    }


@pytest.mark.parametrize("origin", ["127.0.0.1", "localhost", "evil.example"])
def test_a_foreign_page_gets_nothing(site: Any, page: Any, evil_port: int, origin: str) -> None:
    page.goto(f"http://{origin}:{evil_port}/")
    found = page.evaluate(TRIES, f"http://127.0.0.1:{site.port}")
    # An opaque answer tells a page nothing; Cross-Origin-Resource-Policy keeps even that away.
    assert {name: what for name, what in found.items() if what != "refused"} == {"beacon": "true"}
    page.wait_for_timeout(200)
    assert {status for _, status in counted(site)} == {"403"}
    # Browsers ask for leave before the others, and get none.
    assert counted(site)["/v1/classify", "403"] >= 1
    assert site.hub.listeners == 0


def test_a_foreign_page_can_open_ours_but_not_frame_it(
    site: Any, page: Any, evil_port: int
) -> None:
    page.goto(f"http://127.0.0.1:{evil_port}/")
    page.evaluate(
        "(target) => { const frame = document.createElement('iframe'); frame.src = target;"
        " document.body.append(frame); }",
        f"http://127.0.0.1:{site.port}/",
    )
    page.wait_for_function("window.frames.length === 1")
    page.wait_for_timeout(300)
    assert all("SER Toolkit" not in frame.content() for frame in page.frames)
    assert ("/", "200") not in counted(site)
    page.evaluate("(target) => { location.href = target; }", f"http://127.0.0.1:{site.port}/")
    page.wait_for_url(f"http://127.0.0.1:{site.port}/")
    assert "SER Toolkit" in page.title()


def test_a_form_on_a_foreign_page_is_refused(site: Any, page: Any, evil_port: int) -> None:
    page.goto(f"http://127.0.0.1:{evil_port}/")
    for route in ("/v1/session", "/v1/classify", "/"):
        with page.expect_navigation():
            page.evaluate(
                "(target) => { const form = document.createElement('form');"
                " form.method = 'post'; form.enctype = 'text/plain'; form.action = target;"
                " document.body.append(form); form.submit(); }",
                f"http://127.0.0.1:{site.port}{route}",
            )
        assert "another origin" in page.content()
        page.goto(f"http://127.0.0.1:{evil_port}/")
    assert {status for _, status in counted(site)} == {"403"}


def test_a_name_that_was_made_to_point_here_is_refused(site: Any, page: Any) -> None:
    answer = page.goto(f"http://evil.example:{site.port}/")
    assert answer.status == 421
    assert "not listed" in page.content()
    found = page.evaluate("(path) => fetch(path).then((answer) => answer.status)", "/v1/state")
    assert found == 421


def test_our_own_page_may_ask(site: Any, page: Any) -> None:
    page.goto(f"http://localhost:{site.port}/healthz")
    found = page.evaluate(
        """async () => {
          const open = (thing) => new Promise((done) => {
            thing.onopen = () => done("open");
            thing.onerror = () => done("refused");
          });
          return [
            (await fetch("/v1/state")).status,
            await open(new EventSource("/v1/events")),
            await open(new WebSocket(`ws://${location.host}/v1/listen`)),
          ];
        }"""
    )
    assert found == [200, "open", "open"]
