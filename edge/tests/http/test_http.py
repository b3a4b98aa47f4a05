"""The interface over HTTP, asked by real clients over real sockets."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ser_toolkit import load
from ser_toolkit.runtime.errors import SertkError
from sertk_edge.http.app import serve
from sertk_edge.http.page_files import FOLDER

JSON = "application/json; charset=utf-8"


def test_a_recording_is_classified_as_predict_classifies_it(
    site: Any, wav: bytes, tmp_path: Path, tiny_bundle: Path
) -> None:
    answer = site.classify(wav)
    assert (answer.status, answer.headers["Content-Type"]) == (200, JSON)
    (tmp_path / "voice.wav").write_bytes(wav)
    assert_as_predicted(answer.json, tiny_bundle, tmp_path / "voice.wav")
    assert answer.json["duration_s"] == 2.0


def test_real_speech_is_classified_as_predict_classifies_it(
    site: Any, data_dir: Path, tiny_bundle: Path
) -> None:
    for path in sorted((data_dir / "emodb/wav").glob("*.wav"))[::100]:
        assert_as_predicted(site.classify(path.read_bytes()).json, tiny_bundle, path)


def assert_as_predicted(answer: dict[str, Any], bundle: Path, path: Path) -> None:
    expected = load(bundle).predict(path).to_dict()
    windows = zip(answer["windows"], expected["windows"], strict=True)
    for found, wanted in [(answer, expected), *windows]:
        assert found["label"] == wanted["label"]
        assert found["uncertain"] == wanted["uncertain"]
        assert found["probabilities"] == pytest.approx(wanted["probabilities"], abs=1e-6)
    spans = [(each["start_s"], each["end_s"]) for each in answer["windows"]]
    assert spans == [(each["start_s"], each["end_s"]) for each in expected["windows"]]
    assert spans


@pytest.mark.parametrize(
    ("kind", "subtype", "content_type"),
    [
        ("WAV", "PCM_24", "audio/x-wav"),
        ("WAV", "FLOAT", "application/octet-stream"),
        ("FLAC", "PCM_16", "audio/flac"),
    ],
)
def test_wav_and_flac_of_any_rate_and_channels_are_taken(
    site: Any,
    speech: np.ndarray,
    encode: Callable[..., bytes],
    kind: str,
    subtype: str,
    content_type: str,
) -> None:
    # libsndfile writes integers into a file of floats as they are.
    samples = speech / np.float32(32768) if subtype == "FLOAT" else speech
    stereo = np.stack([samples, samples], axis=1)
    answer = site.classify(encode(stereo, 44_100, kind, subtype), content_type)
    assert answer.status == 200
    assert answer.json["duration_s"] == pytest.approx(2 * 16_000 / 44_100, abs=1e-3)


def test_what_is_no_speech_is_refused_with_its_reason(
    site: Any, speech: np.ndarray, wav: bytes, encode: Callable[..., bytes]
) -> None:
    noise = np.random.default_rng(0).normal(0, 0.1, 16_000).astype(np.float32)
    noise[100] = np.nan
    bad = {
        "neither WAV nor FLAC": b"RIFx" + wav[4:],
        "cannot be decoded": wav[:20],
        "no samples": encode(speech[:0]),
        "too short": encode(speech[:10]),
        "silent": encode(np.zeros(16_000, np.int16)),
        "not numbers": encode(noise, subtype="FLOAT"),
    }
    for why, body in bad.items():
        answer = site.classify(body)
        assert (answer.status, answer.headers["Content-Type"]) == (422, JSON)
        assert why in answer.message
    assert "neither" in site.classify(b"").message


def test_hours_of_silence_in_a_small_file_are_refused_by_its_header(
    serving: Any, encode: Callable[..., bytes]
) -> None:
    site = serving(max_audio_s=60)
    hours = encode(np.zeros(3 * 3600 * 8_000, np.int8).astype(np.int16), 8_000, "FLAC")
    assert len(hours) < 1 << 20
    answer = site.classify(hours, "audio/flac")
    assert answer.status == 422
    assert "too long: 10800 s at 8000 Hz, at most 60 s" in answer.message
    fast = encode(np.zeros(61 * 48_000, np.int16), 384_000, "WAV")
    assert "too long" in site.classify(fast).message


def test_pages_and_programs_are_told_what_there_is(site: Any) -> None:
    assert site.get("/healthz").json == {"status": "ok"}
    assert site.get("/readyz").status == 200
    assert site.get("/v1/model").json["name"] == "tiny"
    assert site.get("/v1/state").json["label"] == "joy"
    assert site.get("/v1/state").json["level_dbfs"] is None
    site.is_ready = False
    assert (site.get("/readyz").status, site.get("/readyz").json["ready"]) == (503, False)


def test_every_file_of_the_page_comes_with_its_type_and_a_tag(site: Any) -> None:
    kinds = {".html": "text/html", ".css": "text/css", ".js": "text/javascript"}
    kinds |= {".svg": "image/svg+xml"}
    for path in FOLDER.iterdir():
        address = "/" if path.name == "index.html" else f"/{path.name}"
        answer = site.get(address)
        assert (answer.status, answer.body) == (200, path.read_bytes())
        assert answer.headers["Content-Type"].startswith(kinds[path.suffix])
        assert answer.headers["Cache-Control"] == "no-cache"
        policy = answer.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy and "unsafe" not in policy
        again = site.get(address, If_None_Match=f'"x", {answer.headers["ETag"]}')
        assert (again.status, again.body) == (304, b"")


def test_answers_are_not_kept_by_browsers_and_not_guessed_at(site: Any) -> None:
    for path in ("/v1/state", "/healthz", "/nothing"):
        headers = site.get(path).headers
        assert headers["Cache-Control"] == "no-store"
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "no-referrer"
        assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
        assert headers["Server"] == "sertk-edge"


def test_refusals_are_json_too(site: Any) -> None:
    nothing = site.get("/nothing")
    assert (nothing.status, nothing.headers["Content-Type"]) == (404, JSON)
    assert nothing.message == "there is nothing at this path"
    for method, path, allowed in [
        ("DELETE", "/v1/state", "GET, HEAD"),
        ("GET", "/v1/classify", "POST"),
        ("HEAD", "/v1/listen", "GET"),
        ("OPTIONS", "/v1/classify", "POST"),
        ("PUT", "/", "GET, HEAD"),
    ]:
        answer = site.ask(method, path)
        assert (answer.status, answer.headers["Allow"]) == (405, allowed)
        assert method == "HEAD" or "method" in answer.message


def test_head_gives_the_headers_alone(site: Any) -> None:
    for path in ("/", "/healthz", "/metrics", "/v1/model", "/v1/events"):
        answer = site.ask("HEAD", path)
        assert (answer.status, answer.body) == (200, b"")
    assert site.hub.listeners == 0


def test_a_failure_of_ours_tells_nothing_but_that(
    site: Any, caplog: pytest.LogCaptureFixture
) -> None:
    def broken() -> dict[str, Any]:
        raise RuntimeError("the password is 1234")

    site.state = broken
    answer = site.get("/v1/state")
    assert (answer.status, answer.message) == (500, "something went wrong here")
    assert "1234" in caplog.text
    site.state = lambda: {"label": None}
    assert site.get("/v1/state").status == 200


def test_what_is_not_http_is_refused_and_the_connection_closed(site: Any) -> None:
    for sent in (
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 hello TLS\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX: " + b"a" * 20_000 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n" + b"X-Y: z\r\n" * 500 + b"\r\n",
        b"POST /v1/classify HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: -5\r\n\r\n",
        b"GET / HTTP/9.9\r\nHost: 127.0.0.1\r\n\r\n",
    ):
        answer = session(site.port, sent)
        assert answer.startswith((b"HTTP/1.1 400 ", b"HTTP/1.0 400 "))
        assert json.loads(answer.partition(b"\r\n\r\n")[2])["error"]["message"]
    assert site.get("/healthz").status == 200


def session(port: int, sent: bytes) -> bytes:
    """Everything the server says until it closes the connection."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as sock:
        sock.sendall(sent)
        answer = b""
        try:
            while piece := sock.recv(1 << 16):
                answer += piece
        except ConnectionResetError:
            pass
        return answer


def test_a_chunked_body_that_is_nonsense_is_refused(site: Any) -> None:
    head = b"POST /v1/classify HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert session(site.port, head + b"zz\r\nnot hexadecimal").split()[1] == b"400"


def test_a_client_that_waits_for_leave_to_send_gets_it_or_the_refusal(
    site: Any, wav: bytes
) -> None:
    head = (
        "POST /v1/classify HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: {kind}\r\n"
        "Content-Length: {length}\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", site.port), timeout=20) as sock:
        sock.sendall(head.format(kind="audio/wav", length=len(wav)).encode())
        assert sock.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        sock.sendall(wav)
        assert sock.recv(100).startswith(b"HTTP/1.1 200 OK")
    with socket.create_connection(("127.0.0.1", site.port), timeout=20) as sock:
        sock.sendall(head.format(kind="text/plain", length=len(wav)).encode())
        assert sock.recv(100).startswith(b"HTTP/1.1 415 ")


def test_the_body_must_say_what_it_is(site: Any, wav: bytes) -> None:
    form = site.classify(wav, "application/x-www-form-urlencoded")
    assert form.status == 415
    assert "audio/wav" in form.json["error"]["expected"]
    headers = {"Content-Type": "audio/wav", "Content-Encoding": "gzip"}
    assert site.ask("POST", "/v1/classify", wav, headers).status == 415


def test_two_daemons_on_one_port(serving: Any) -> None:
    first = serving()
    with pytest.raises(SertkError) as error:
        serving(port=first.port)
    assert f"another program listens on 127.0.0.1:{first.port}" in str(error.value)
    assert "--http-port" in str(error.value) and "\n" not in str(error.value)
    assert first.get("/healthz").status == 200


def test_an_address_that_is_not_ours(site: Any, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("0123456789abcdef")
    settings = type(site.settings)(port=0, host="203.0.113.7", token_file=token)
    with pytest.raises(SertkError, match=r"203\.0\.113\.7:0"):
        site.run(serve(site.backend(), settings, site.metrics))


def test_it_listens_on_every_address_of_a_name(serving: Any) -> None:
    site = serving(host="localhost")
    assert site.get("/healthz").status == 200
    with socket.create_connection(("localhost", site.port), timeout=5):
        pass


def test_the_port_is_free_again_after_the_end(serving: Any) -> None:
    first = serving()
    assert first.get("/healthz").status == 200
    first.run(first.server.close())
    with pytest.raises(ConnectionRefusedError):
        first.get("/healthz")
    assert serving(port=first.port).get("/healthz").status == 200
