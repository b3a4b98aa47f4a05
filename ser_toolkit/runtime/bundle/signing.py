"""Sign and verify a bundle's manifest, which has the sha256 of all the rest: Ed25519 (RFC 8032)."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from ..errors import MissingExtra, SertkError
from .container import BundleError

PRIVATE, PUBLIC = "key.pem", "key.pub"


def generate_keys(folder: Path) -> tuple[Path, Path]:
    """Write a new key pair: `key.pem`, which its owner alone may read, and `key.pub`.

    Raises SertkError where one of them is already there: a lost private key cannot be replaced.
    """
    ed25519, serialization = _library()
    private, public = folder / PRIVATE, folder / PUBLIC
    for path in (private, public):
        if path.exists():
            raise SertkError(f"'{path}' is already there", "Choose another folder")
    key = ed25519.Ed25519PrivateKey.generate()
    pem = serialization.Encoding.PEM
    private_pem = key.private_bytes(
        pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public_pem = key.public_key().public_bytes(pem, serialization.PublicFormat.SubjectPublicKeyInfo)
    folder.mkdir(parents=True, exist_ok=True)
    _write_new(private, private_pem, 0o600)
    _write_new(public, public_pem, 0o644)
    return private, public


def read_key(path: Path) -> bytes:
    """Return the content of a key file; SertkError for one that cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        problem = f"cannot read the key '{path}': {error.strerror}"
        raise SertkError(problem, "Check the path") from error


def signature_of(manifest: bytes, private_key_pem: bytes) -> bytes:
    """Return the Ed25519 signature of the bytes of a manifest: 64 bytes."""
    ed25519, serialization = _library()
    try:
        key = serialization.load_pem_private_key(private_key_pem, password=None)
    except (ValueError, TypeError, _unsupported()) as error:
        raise SertkError("the private key is not a PEM file without a password", _KEYS) from error
    if not isinstance(key, ed25519.Ed25519PrivateKey):
        raise SertkError(f"an Ed25519 key expected, received {type(key).__name__}", _KEYS)
    return bytes(key.sign(manifest))


def check_signature(manifest: bytes, signature: bytes | None, public_key_pem: bytes) -> None:
    """Raise BundleError unless the owner of a key signed a manifest.

    Args:
        manifest: The bytes of `manifest.json`.
        signature: The 64 bytes beside it; None where there are none.
        public_key_pem: The key, PEM.
    """
    public_key = _public_key(public_key_pem)
    if signature is None:
        raise BundleError("the bundle is not signed", "Ask for a signed one")
    from cryptography.exceptions import InvalidSignature

    try:
        public_key.verify(signature, manifest)
    except InvalidSignature as error:
        raise BundleError(
            "the bundle's signature is not by this key, or the bundle was altered",
            "Do not use it; ask for another copy",
        ) from error


_KEYS = "Make keys with `sertk bundle keys FOLDER`"


def _public_key(pem: bytes) -> Any:
    ed25519, serialization = _library()
    try:
        key = serialization.load_pem_public_key(pem)
    except (ValueError, TypeError, _unsupported()) as error:
        raise SertkError("the public key is not a PEM file", _KEYS) from error
    if not isinstance(key, ed25519.Ed25519PublicKey):
        raise SertkError(f"an Ed25519 public key expected, received {type(key).__name__}", _KEYS)
    return key


def _library() -> tuple[Any, Any]:
    try:
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric import ed25519
    except ImportError as error:
        raise MissingExtra(
            f"signatures need cryptography, which cannot be imported ({error})",
            "Run `pip install cryptography`",
        ) from error
    return ed25519, serialization


def _unsupported() -> type[Exception]:
    from cryptography.exceptions import UnsupportedAlgorithm

    return UnsupportedAlgorithm


def _write_new(path: Path, content: bytes, mode: int) -> None:
    # The mode is set when the file is made: later would leave a moment in which others may read.
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
