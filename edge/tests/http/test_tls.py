"""TLS by certificate files."""

from __future__ import annotations

import datetime
import ipaddress
import json
import socket
import ssl
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from ser_toolkit.runtime.errors import SertkError
from sertk_edge.http.app import check
from sertk_edge.settings import HttpSettings

TOKEN = "a-token-for-the-tests"
BEARER = {"Authorization": f"Bearer {TOKEN}"}


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    path = tmp_path / "token"
    path.write_text(TOKEN)
    return path


def refused(settings: HttpSettings) -> str:
    with pytest.raises(SertkError) as error:
        check(settings)
    assert "\n" not in str(error.value)
    return str(error.value)


def certificate(folder: Path, password: bytes | None = None) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 that nobody but the tests believes."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")])
    now = datetime.datetime.now(datetime.timezone.utc)
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    built = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    form = serialization.PrivateFormat.PKCS8
    cipher: Any = serialization.NoEncryption()
    if password:
        cipher = serialization.BestAvailableEncryption(password)
    (folder / "cert.pem").write_bytes(built.public_bytes(pem))
    (folder / "key.pem").write_bytes(key.private_bytes(pem, form, cipher))
    return folder / "cert.pem", folder / "key.pem"


def test_tls_by_certificate_files(serving: Any, token_file: Path, tmp_path: Path) -> None:
    cert, key = certificate(tmp_path)
    site = serving(tls_cert=cert, tls_key=key, token_file=token_file, header_timeout_s=1)
    trust = ssl.create_default_context(cafile=str(cert))
    ask = lambda path, **headers: site.ask("GET", path, headers=headers, tls=trust)  # noqa: E731
    assert ask("/healthz").status == 200
    origin = f"https://127.0.0.1:{site.port}"
    assert ask("/v1/state", Origin=origin, **BEARER).status == 200
    assert ask("/v1/state", Origin=origin.replace("https", "http"), **BEARER).status == 403
    body, headers = json.dumps({"token": TOKEN}), {"Content-Type": "application/json"}
    signed = site.ask("POST", "/v1/session", body, headers, tls=trust)
    assert "Secure" in signed.headers["Set-Cookie"]
    with pytest.raises((ConnectionError, OSError)):
        site.get("/healthz")
    old = ssl.create_default_context(cafile=str(cert))
    with pytest.warns(DeprecationWarning):
        old.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises((ssl.SSLError, ConnectionError)):
        site.ask("GET", "/healthz", tls=old)
    assert ask("/healthz").status == 200


def test_certificate_files_that_do_not_serve_are_refused(tmp_path: Path) -> None:
    cert, key = certificate(tmp_path)
    (tmp_path / "other").mkdir()
    other = certificate(tmp_path / "other")[1]
    assert "no certificate" in refused(HttpSettings(tls_key=key))
    assert "No such file" in refused(HttpSettings(tls_cert=tmp_path / "x", tls_key=key))
    for wrong in (other, cert, None, tmp_path):
        assert "TLS cannot use" in refused(HttpSettings(tls_cert=cert, tls_key=wrong))


def test_an_encrypted_key_is_refused_and_not_asked_for(tmp_path: Path) -> None:
    cert, key = certificate(tmp_path, b"secret")
    code = (
        "import sys; from pathlib import Path\n"
        "from sertk_edge.settings import HttpSettings; from sertk_edge.http.app import check\n"
        "check(HttpSettings(tls_cert=Path(sys.argv[1]), tls_key=Path(sys.argv[2])))"
    )
    command = [sys.executable, "-c", code, str(cert), str(key)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, input="secret\n")
    assert "TLS cannot use" in done.stderr.splitlines()[-1]
    assert "PEM pass phrase" not in done.stdout + done.stderr


def test_clients_that_do_not_shake_hands_are_cut_and_counted(serving: Any, tmp_path: Path) -> None:
    cert, key = certificate(tmp_path)
    settings = {"tls_cert": cert, "tls_key": key, "max_connections": 2}
    site = serving(header_timeout_s=0.5, **settings)
    trust = ssl.create_default_context(cafile=str(cert))
    addresses = [("127.0.0.1", site.port)] * 3
    first, second, third = (socket.create_connection(each, timeout=20) for each in addresses)
    with first, second, third:
        first.sendall(b"GET / HTTP/1.1\r\n\r\n")
        for sock in (third, second, first):
            assert ended(sock)
    assert site.ask("GET", "/healthz", tls=trust).status == 200
    # The end does not wait for a handshake either.
    patient = serving(header_timeout_s=60, **settings)
    with socket.create_connection(("127.0.0.1", patient.port), timeout=20) as sock:
        patient.close()
        assert ended(sock)


def ended(sock: socket.socket) -> bool:
    try:
        while sock.recv(1 << 16):
            pass
    except ConnectionResetError:
        pass
    return True
