"""Read and write a bundle, NAME.sertk: one file with all that a device needs to predict.

Members, in this order (`container.py` describes the container, `manifest.py` the manifest):

    manifest.json     what was decided, and sha256 and size of every other member
    model.tflite      the network; its probabilities are calibrated
    adapter.npz       mean and standard deviation of each feature column, per network input
    selftest.npz      a signal, its features and the network's output
    split.json        subset and content hash of every clip of the training
    card.md           the model card
    assets/<sha256>   bytes that belong to the extractor
    signature         optional: Ed25519 over the bytes of manifest.json

Nothing is extracted to disk, nothing is unpickled, nothing in it is code.

The hashes show accidents. Only the signature shows intent: who can alter a member can write a
manifest that fits. A reader that is given a public key accepts only what that key has signed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..component import Asset
from ..features.normalizer import Normalizer
from ..files import atomic
from ..json_reader import parse_json
from ..npz import from_npz
from . import manifest as manifests
from .container import COPY_AGAIN, MAX_BYTES, BundleError, pack, unpack
from .manifest import Manifest, Member
from .signing import check_signature, signature_of

__all__ = ["Bundle", "BundleError", "parse_bundle", "read_bytes", "sign", "write_bundle"]

MANIFEST, MODEL, SIGNATURE = manifests.NAME, "model.tflite", "signature"
REQUIRED = (MODEL, "adapter.npz", "selftest.npz", "split.json", "card.md")
ASSETS = "assets/"
MIB = 1 << 20
LIMITS = {
    MANIFEST: 4 * MIB,
    MODEL: MAX_BYTES,
    "adapter.npz": 16 * MIB,
    "selftest.npz": 64 * MIB,
    "split.json": 64 * MIB,
    "card.md": 4 * MIB,
    SIGNATURE: 64,
}


@dataclass(frozen=True, eq=False)
class Bundle:
    """The checked content of a bundle. `signed` means that the given public key has signed it.

    `selftest` has `samples` (N,) int16, `output` (W, n) float32 and `features.<input>` float32.
    """

    manifest: Manifest
    model: bytes
    normalizers: Mapping[str, Normalizer]
    selftest: Mapping[str, NDArray[Any]]
    split: Mapping[str, Any]
    card: str
    assets: Mapping[str, bytes]
    signed: bool

    def load(self, asset: Asset) -> bytes:
        """Return the bytes of an asset; `Extractor.prepare` gets this method."""
        content = self.assets.get(asset.sha256)
        if content is None or len(content) != asset.size:
            raise BundleError(f"the bundle lacks the asset {asset.name!r:.80}", "Export it again")
        return content


def write_bundle(path: Path, manifest: Manifest, members: Mapping[str, bytes]) -> None:
    """Write a bundle; the same manifest and members give the same bytes.

    What a reader would refuse is refused before anything is written.

    Args:
        path: The file to write.
        manifest: Its `members` is filled in here.
        members: Name to content, of all members but `manifest.json` and the signature.
    """
    names = sorted(set(members) - {MANIFEST, SIGNATURE}, key=_place)
    ordered = {name: members[name] for name in names}
    checksums = {name: member_of(content) for name, content in ordered.items()}
    complete = replace(manifest, members=checksums).to_bytes()
    _write(path, pack({MANIFEST: complete, **ordered}))


def sign(path: Path, private_key_pem: bytes) -> None:
    """Sign the bundle at `path`, in place of any signature that it has."""
    members = unpack(read_bytes(path))
    _check_names(members)
    members.pop(SIGNATURE, None)
    signature = signature_of(members[MANIFEST], private_key_pem)
    _write(path, pack({**members, SIGNATURE: signature}))


def read_bytes(path: Path) -> bytes:
    """Return the bytes of a file that is not too large for a bundle."""
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise BundleError(f"cannot read '{path}': {error.strerror}", "Check the path") from error
    if len(content) > MAX_BYTES:
        raise BundleError(f"'{path.name}' is larger than {MAX_BYTES >> 20} MiB", "Check the path")
    return content


def parse_bundle(content: bytes, public_key: bytes | None = None) -> Bundle:
    """Parse and check the bytes of a bundle. Raise BundleError for the first thing that is wrong.

    With `public_key` (PEM) only what that key has signed is accepted.
    """
    members = unpack(content)
    _check_names(members)
    manifest_bytes = members[MANIFEST]
    if public_key is not None:
        check_signature(manifest_bytes, members.get(SIGNATURE), public_key)
    manifest = Manifest.from_bytes(manifest_bytes)
    _check_members(manifest, members)
    return Bundle(
        manifest,
        members[MODEL],
        _normalizers(members["adapter.npz"], manifest),
        _selftest(members["selftest.npz"], manifest),
        parse_json(members["split.json"], "split.json"),
        _text(members["card.md"]),
        {n.removeprefix(ASSETS): c for n, c in members.items() if n.startswith(ASSETS)},
        public_key is not None,
    )


def member_of(content: bytes) -> Member:
    """Return the manifest's entry for a member with this content."""
    return Member(hashlib.sha256(content).hexdigest(), len(content))


def _place(name: str) -> tuple[int, str]:
    order = (MANIFEST, *REQUIRED)
    return (order.index(name) if name in order else len(order) + (name == SIGNATURE), name)


def _write(path: Path, content: bytes) -> None:
    parse_bundle(content)
    with atomic(path) as file:
        file.write(content)


def _check_names(members: Mapping[str, bytes]) -> None:
    missing = [name for name in (MANIFEST, *REQUIRED) if name not in members]
    if missing:
        raise BundleError(f"the bundle lacks {', '.join(missing)}", COPY_AGAIN)
    for name, content in members.items():
        asset = name.startswith(ASSETS) and manifests.SHA256.fullmatch(name[len(ASSETS) :])
        if not asset and name not in LIMITS:
            raise BundleError(f"the bundle has an unknown member {name!r:.80}", COPY_AGAIN)
        if len(content) > LIMITS.get(name, MAX_BYTES):
            raise BundleError(
                f"{name} has {len(content)} bytes, at most {LIMITS[name]} expected", COPY_AGAIN
            )
    if list(members) != sorted(members, key=_place):
        raise BundleError("the members of the bundle are not in their order", COPY_AGAIN)


def _check_members(manifest: Manifest, members: Mapping[str, bytes]) -> None:
    others = {n: content for n, content in members.items() if n not in (MANIFEST, SIGNATURE)}
    if set(manifest.members) != set(others):
        unmatched = ", ".join(sorted(set(manifest.members) ^ set(others)))
        raise BundleError(f"manifest and bundle differ in {unmatched[:200]!r}", COPY_AGAIN)
    for name, content in others.items():
        if len(content) != manifest.members[name].size:
            expected = f"{manifest.members[name].size} bytes expected, received {len(content)}"
            raise BundleError(f"{name} is damaged: {expected}", COPY_AGAIN)
        digest = member_of(content).sha256
        named = name[len(ASSETS) :] if name.startswith(ASSETS) else digest
        if not digest == named == manifest.members[name].sha256:
            raise BundleError(f"{name} is damaged: its sha256 is {digest[:12]}…", COPY_AGAIN)


def _arrays(content: bytes, name: str) -> dict[str, NDArray[Any]]:
    try:
        return from_npz(content)
    except ValueError as error:
        raise BundleError(f"{name} is damaged: {error}", COPY_AGAIN) from error


def _normalizers(content: bytes, manifest: Manifest) -> dict[str, Normalizer]:
    arrays = _arrays(content, "adapter.npz")
    expected = {f"{name}.{kind}" for name in manifest.inputs for kind in ("mean", "std")}
    if set(arrays) != expected:
        raise BundleError(f"adapter.npz expects {sorted(expected)}, received {sorted(arrays)}")
    for name, shape in manifest.inputs.items():
        for kind, lowest in (("mean", -np.inf), ("std", np.finfo(np.float32).tiny)):
            values = arrays[f"{name}.{kind}"]
            fits = values.dtype == np.float32 and values.shape == shape[-1:]
            if not fits or not np.isfinite(values).all() or (values < lowest).any():
                raise BundleError(f"adapter.npz: {name}.{kind} does not fit the manifest")
    return {
        name: Normalizer(arrays[f"{name}.mean"], arrays[f"{name}.std"]) for name in manifest.inputs
    }


def _selftest(content: bytes, manifest: Manifest) -> dict[str, NDArray[Any]]:
    arrays = _arrays(content, "selftest.npz")
    expected = {"samples", "output", *(f"features.{name}" for name in manifest.inputs)}
    if set(arrays) != expected:
        raise BundleError(f"selftest.npz expects {sorted(expected)}, received {sorted(arrays)}")
    for name, array in arrays.items():
        dtype = np.int16 if name == "samples" else np.float32
        if array.dtype != dtype or not array.size or not np.isfinite(array).all():
            raise BundleError(f"selftest.npz: {name} expects numbers of type {dtype.__name__}")
    if arrays["samples"].ndim != 1 or arrays["output"].shape[1:] != (len(manifest.labels),):
        raise BundleError("selftest.npz expects samples (N,) and output (W, labels)", COPY_AGAIN)
    return arrays


def _text(content: bytes) -> str:
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise BundleError(f"card.md is not UTF-8: {error.reason}", COPY_AGAIN) from error
