"""The bundle file: what is written is read, and nothing else is believed."""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import stat
import struct
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ser_toolkit.runtime.bundle.container import MAX_MEMBERS, pack, unpack
from ser_toolkit.runtime.bundle.file import (
    REQUIRED,
    BundleError,
    parse_bundle,
    read_bytes,
    sign,
    write_bundle,
)
from ser_toolkit.runtime.bundle.manifest import FORMAT, Manifest
from ser_toolkit.runtime.bundle.signing import generate_keys
from ser_toolkit.runtime.component import Asset
from ser_toolkit.runtime.errors import SertkError
from ser_toolkit.runtime.npz import to_npz

Make = Callable[..., Path]


def edited(path: Path, key: str, value: Any) -> bytes:
    """Return the bundle with one value of the manifest changed; `a/0/b` is a key within."""
    members = unpack(path.read_bytes())
    manifest = json.loads(members["manifest.json"])
    *way, last = (int(step) if step.isdigit() else step for step in key.split("/"))
    table = manifest
    for step in way:
        table = table[step]
    table[last] = value
    return pack({**members, "manifest.json": json.dumps(manifest).encode()})


def with_member(path: Path, name: str, content: bytes) -> bytes:
    """Return the bundle with another member, and a manifest that fits it."""
    members = {**unpack(path.read_bytes()), name: content}
    manifest = json.loads(members["manifest.json"])
    digest = hashlib.sha256(content).hexdigest()
    manifest["members"][name] = {"sha256": digest, "size": len(content)}
    return pack({**members, "manifest.json": json.dumps(manifest).encode()})


def refused(content: bytes, public_key: bytes | None = None) -> str:
    with pytest.raises(BundleError) as error:
        parse_bundle(content, public_key)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_what_was_written_is_read(tiny: Any, tmp_path: Path) -> None:
    manifest, members = tiny.parts("float32")
    asset = b"bytes of an asset"
    digest = hashlib.sha256(asset).hexdigest()
    path = tmp_path / "deep" / "own.sertk"
    write_bundle(path, manifest, {**members, f"assets/{digest}": asset})
    bundle = parse_bundle(read_bytes(path))
    assert replace(bundle.manifest, members={}) == manifest
    assert bundle.model == members["model.tflite"]
    assert bundle.card == "# tiny\n"
    assert bundle.split == json.loads(members["split.json"])
    assert not bundle.signed
    assert bundle.load(Asset("weights", digest, len(asset))) == asset
    np.testing.assert_array_equal(
        bundle.normalizers["frames"].mean, tiny.normalizers["frames"].mean
    )
    assert set(bundle.selftest) == {"samples", "output", "features.frames"}
    assert [file.name for file in path.parent.iterdir()] == ["own.sertk"]


def test_an_asset_that_is_not_there_is_refused(bundles: dict[str, Path]) -> None:
    with pytest.raises(BundleError, match="lacks the asset 'weights'"):
        parse_bundle(read_bytes(bundles["float32"])).load(Asset("weights", "00" * 32, 3))


def test_equal_content_gives_equal_files(tiny: Any, tmp_path: Path) -> None:
    manifest, members = tiny.parts("int8")
    backwards = dict(reversed(members.items()))
    for name, given in (("a", members), ("b", backwards)):
        write_bundle(tmp_path / name, manifest, given)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_any_zip_tool_reads_a_bundle(bundles: dict[str, Path]) -> None:
    with zipfile.ZipFile(bundles["float32"]) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == ["manifest.json", *REQUIRED]
        assert {info.compress_type for info in archive.infolist()} == {zipfile.ZIP_STORED}
        assert {info.date_time for info in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        stored = {name: archive.read(name) for name in archive.namelist()}
    assert stored == unpack(bundles["float32"].read_bytes())


def test_what_a_reader_would_refuse_is_not_written(tiny: Any, tmp_path: Path) -> None:
    manifest, members = tiny.parts("float32")
    path = tmp_path / "own.sertk"
    path.write_bytes(b"what was there before")
    for wrong, given in (
        (replace(manifest, labels=("one",)), members),
        (replace(manifest, figures={"uar": float("nan")}), members),
        (replace(manifest, training={"folder": tmp_path}), members),
        (manifest, {**members, "card.md": b"\xff"}),
        (manifest, {**members, "notes.txt": b"hello"}),
        (manifest, {name: members[name] for name in members if name != "split.json"}),
    ):
        with pytest.raises(BundleError):
            write_bundle(path, wrong, given)
    assert path.read_bytes() == b"what was there before"
    assert [file.name for file in tmp_path.iterdir()] == ["own.sertk"]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "no bytes"),
        (b"RIFF1234WAVE", "begin with b'RIFF'"),
        (b"PK\x05\x06" + bytes(18), "expected, received"),
    ],
)
def test_other_files_are_told_from_bundles(content: bytes, reason: str) -> None:
    assert reason in refused(content)


def test_a_path_that_cannot_be_read_is_one_line(tmp_path: Path) -> None:
    for path, reason in ((tmp_path / "none", "No such file"), (tmp_path, "Is a directory")):
        with pytest.raises(BundleError, match=reason):
            parse_bundle(read_bytes(path))


def test_every_cut_is_refused(bundles: dict[str, Path]) -> None:
    content = bundles["float32"].read_bytes()
    ends = {*range(0, len(content), 997), *range(len(content) - 400, len(content))}
    for end in ends:
        assert refused(content[:end])


def test_a_cut_says_where_and_how_much_is_missing(bundles: dict[str, Path]) -> None:
    content = bundles["float32"].read_bytes()
    size = len(unpack(content)["model.tflite"])
    header = content.index(b"PK\x03\x04", 4)
    begin = content.index(b"model.tflite", header) + len(b"model.tflite")
    copy = "Copy the file again, or export it again"
    expected = f"the bundle is cut off within model.tflite: {size} bytes expected, received 100"
    assert refused(content[: begin + 100]) == f"{expected}. {copy}"
    assert refused(content[: begin - 5]) == f"the bundle is cut off within a name. {copy}"
    assert refused(content[: header + 9]) == f"the bundle is cut off within a header. {copy}"


def test_a_damaged_member_is_named_as_a_person_would(bundles: dict[str, Path]) -> None:
    content = bundles["float32"].read_bytes()
    assert refused(content.replace(b"TFL3", b"TFL9")).startswith("model.tflite is damaged: its ")
    start, card = content[: (at := content.rindex(b"PK\x03\x04"))], content[at:]
    renamed = refused(start + card.replace(b"card.md", b"card.\x1b\xff"))
    assert renamed.startswith(r"card.\x1b\xff has a header that no bundle has")


@pytest.mark.parametrize("junk", [b"\0", b"PK\x05\x06" + bytes(18), b"PK\x03\x04", b"x" * 5000])
def test_bytes_before_within_and_after_are_refused(bundles: dict[str, Path], junk: bytes) -> None:
    content = bundles["float32"].read_bytes()
    directory = content.index(b"PK\x01\x02")
    assert refused(content + junk)
    assert refused(junk + content)
    assert refused(content[:directory] + junk + content[directory:])


def test_zip_files_of_other_tools_are_refused(bundles: dict[str, Path]) -> None:
    members = unpack(bundles["float32"].read_bytes())
    for how, reason in (
        (zipfile.ZIP_DEFLATED, "compressed"),
        (zipfile.ZIP_STORED, "header that no bundle has|not the directory"),
    ):
        other = io.BytesIO()
        with zipfile.ZipFile(other, "w", how) as archive:
            for name, content in members.items():
                archive.writestr(name, content)
        with pytest.raises(BundleError, match=reason):
            parse_bundle(other.getvalue())


def test_a_compression_bomb_is_refused_unopened(bundles: dict[str, Path]) -> None:
    members = unpack(bundles["float32"].read_bytes())
    bomb = io.BytesIO()
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("manifest.json", members["manifest.json"])
        archive.writestr("model.tflite", bytes(50_000_000))
    assert len(bomb.getvalue()) < 100_000
    assert "compressed" in refused(bomb.getvalue())


def test_a_bomb_within_a_member_is_refused_unopened(bundles: dict[str, Path]) -> None:
    arrays = io.BytesIO()
    np.savez_compressed(arrays, **{"frames.mean": np.zeros(5_000_000, np.float32)})
    content = with_member(bundles["float32"], "adapter.npz", arrays.getvalue())
    assert "stored arrays expected" in refused(content)


def test_a_member_that_claims_more_than_there_is_is_refused(bundles: dict[str, Path]) -> None:
    content = bytearray(bundles["float32"].read_bytes())
    for claimed in (0, 1, len(content), (1 << 32) - 1):
        content[18:26] = struct.pack("<2I", claimed, claimed)
        assert refused(bytes(content))


def test_the_same_member_twice_is_refused(bundles: dict[str, Path]) -> None:
    members = unpack(bundles["float32"].read_bytes())
    # Of the same length, so that the names can be exchanged in headers and directory.
    content = pack({**members, "card.xx": members["card.md"]})
    assert "twice" in refused(content.replace(b"card.xx", b"card.md"))


def test_too_many_members_are_refused(bundles: dict[str, Path]) -> None:
    members = unpack(bundles["float32"].read_bytes())
    many = {f"assets/{i:064x}": b"" for i in range(MAX_MEMBERS)}
    with pytest.raises(BundleError, match="at most"):
        pack({**members, **many})


STRANGE_NAMES = [
    "../evil.py",
    "/etc/passwd",
    "assets/../../evil",
    "assets/",
    f"assets/{'a' * 63}",
    f"assets/{'A' * 64}",
    "evil/",
    "C:\\evil",
    "model.tflite\0.py",
    "Model.tflite",
    "",
]


def test_names_that_no_bundle_has_are_refused(bundles: dict[str, Path]) -> None:
    for name in STRANGE_NAMES:
        content = with_member(bundles["float32"], name, b"import os")
        assert "unknown member" in refused(content), name


def test_an_asset_must_be_named_by_its_hash(bundles: dict[str, Path]) -> None:
    content = with_member(bundles["float32"], f"assets/{'0' * 64}", b"something else")
    assert "sha256" in refused(content)


@pytest.mark.parametrize("name", ["manifest.json", *REQUIRED])
def test_every_member_is_needed(bundles: dict[str, Path], name: str) -> None:
    members = unpack(bundles["float32"].read_bytes())
    del members[name]
    assert f"lacks {name}" in refused(pack(members))


def test_members_in_another_order_are_refused(bundles: dict[str, Path]) -> None:
    members = unpack(bundles["float32"].read_bytes())
    assert "order" in refused(pack(dict(reversed(members.items()))))


@pytest.mark.parametrize("name", REQUIRED)
def test_a_member_that_was_exchanged_is_refused(bundles: dict[str, Path], name: str) -> None:
    members = unpack(bundles["float32"].read_bytes())
    same_size = bytes([members[name][0] ^ 1]) + members[name][1:]
    assert f"{name} is damaged: its sha256" in refused(pack({**members, name: same_size}))
    assert "bytes expected, received" in refused(pack({**members, name: members[name] + b"x"}))


def test_a_newer_format_says_what_to_install(bundles: dict[str, Path]) -> None:
    members = unpack(bundles["float32"].read_bytes())
    newer = {"format": FORMAT + 1, "created_by": "7.3.0", "something": "new"}
    output_text = refused(pack({**members, "manifest.json": json.dumps(newer).encode()}))
    assert (
        f"format {FORMAT + 1}" in output_text and "pip install 'ser-toolkit>=7.3.0'" in output_text
    )


WRONG: list[tuple[str, Any]] = [
    ("format", 0),
    ("format", "1"),
    ("format", True),
    ("name", ""),
    ("name", "two\nlines"),
    ("name", "\x1b[31mred"),
    ("name", "x" * 201),
    ("created_by", "1.0; rm -rf"),
    ("labels", "anger"),
    ("labels", ["a", "a"]),
    ("labels", ["a", 3]),
    ("labels", ["only"]),
    ("rate_hz", 16000.0),
    ("rate_hz", 1),
    ("rate_hz", 10**18),
    ("window", [24, 12]),
    ("window/hop_frames", 0),
    ("window/short", "mirror"),
    ("window/colour", "blue"),
    ("extractor", "mfcc"),
    ("parts", []),
    ("parts/0/version", "1"),
    ("parts/0/distribution", "evil package"),
    ("parts/0/distribution", "--index-url=x"),
    ("parts/0/distribution_version", "1 || x"),
    ("inputs", {}),
    ("inputs/frames", [24, -1]),
    ("inputs/frames", [24, 1.5]),
    ("inputs/frames", []),
    ("quantization/mode", "int4"),
    ("quantization/details", 3),
    ("runtimes", []),
    ("runtimes/0", "ai-edge-litert"),
    ("runtimes/0/name", None),
    ("thresholds/uncertain", 1.5),
    ("thresholds/uncertain", "0.4"),
    ("thresholds/sure", 0.9),
    ("speech_level", {"low_dbfs": -30.0}),
    ("speech_level", {"low_dbfs": -10.0, "high_dbfs": -20.0}),
    ("speech_level", [-30.0, -20.0]),
    ("tolerances/output", -1),
    ("training", []),
    ("figures", None),
    ("members", []),
    ("members/card.md/sha256", "00"),
    ("members/card.md/size", -1),
    ("members/card.md/mode", 7),
    ("surprise", 1),
]


def test_each_wrong_value_is_one_line_that_names_its_key(bundles: dict[str, Path]) -> None:
    for key, value in WRONG:
        output_text = refused(edited(bundles["float32"], key, value))
        named = re.sub(r"\.(\d+)", r"[\1]", "manifest." + key.replace("/", "."))
        table, _, last = named.rpartition(".")
        assert (
            named in output_text
            or (table in output_text and repr(last) in output_text)
            or "inputs" in named
        ), key
        assert len(output_text) < 400


def test_what_a_stranger_wrote_cannot_steer_a_terminal(bundles: dict[str, Path]) -> None:
    for text in ("\x1b[2J" * 9, "\u202e", "a\r\nb", "x" * 100_000):
        output_text = refused(edited(bundles["float32"], text, 1))
        assert output_text.isprintable() and len(output_text) < 900


def test_a_key_of_a_later_format_is_refused_in_an_earlier_one(bundles: dict[str, Path]) -> None:
    assert "has no parameter 'speech_level'" in refused(edited(bundles["float32"], "format", 1))


def test_every_key_is_needed(bundles: dict[str, Path]) -> None:
    members = unpack(bundles["float32"].read_bytes())
    manifest = json.loads(members["manifest.json"])
    within = [("window", "short"), ("parts", 0, "version"), ("quantization", "details")]
    within += [("runtimes", 0, "name"), ("thresholds", "uncertain"), ("tolerances", "output")]
    within += [("members", "card.md", "size")]
    for *way, key in [*((name,) for name in Manifest.__dataclass_fields__), *within]:
        changed = json.loads(members["manifest.json"])
        table = changed
        for step in way:
            table = table[step]
        del table[key]
        output_text = refused(pack({**members, "manifest.json": json.dumps(changed).encode()}))
        assert f"lacks '{key}'" in output_text
    assert set(manifest) == set(Manifest.__dataclass_fields__)


NO_JSON = [
    "",
    "null",
    "[1]",
    '{"format": 1, "format": 2}',
    '{"format": NaN}',
    '{"format": 1e999}',
    '{"format": ' + "9" * 5000 + "}",
    "[" * 100_000,
    '{"a":' * 50_000,
    '{"figures": ' + "[" * 60 + "]" * 60 + "}",
    '{"name": "\\ud800"}',
    '{"format": 1} trailing',
    "\ufeff{}",
]


def test_json_that_no_bundle_has_is_refused(bundles: dict[str, Path]) -> None:
    members = unpack(bundles["float32"].read_bytes())
    for text in NO_JSON:
        refused(pack({**members, "manifest.json": text.encode()}))
        assert "split.json" in refused(with_member(bundles["float32"], "split.json", text.encode()))


def pickled() -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **{"frames.mean": np.array([{"a": 1}], object), "frames.std": np.ones(17)})
    return buffer.getvalue()


def scaled(name: str, value: Any) -> bytes:
    arrays = {"frames.mean": np.zeros(17, np.float32), "frames.std": np.ones(17, np.float32)}
    return to_npz({**arrays, name: value})


def test_adapters_that_do_not_fit_are_refused(bundles: dict[str, Path]) -> None:
    for what, content in {
        "empty": b"",
        "cut": b"PK",
        "pickle": pickled(),
        "zero": scaled("frames.std", np.zeros(17, np.float32)),
        "nan": scaled("frames.std", np.full(17, np.nan, np.float32)),
        "short": scaled("frames.mean", np.ones(16, np.float32)),
        "double": scaled("frames.mean", np.ones(17, np.float64)),
        "whole": scaled("frames.mean", np.ones(17, np.int32)),
        "text": scaled("frames.mean", np.array(["a"] * 17)),
        "scalar": scaled("frames.mean", np.float32(1)),
        "other": scaled("other.mean", np.ones(17, np.float32)),
    }.items():
        output_text = refused(with_member(bundles["float32"], "adapter.npz", content))
        assert "adapter.npz" in output_text, what


def test_self_tests_that_do_not_fit_are_refused(bundles: dict[str, Path]) -> None:
    arrays = parse_bundle(read_bytes(bundles["float32"])).selftest
    for what, change in {
        "columns": {"output": np.zeros((2, 3), np.float32)},
        "infinite": {"output": np.full((2, 4), np.inf, np.float32)},
        "matrix": {"samples": np.zeros((2, 4), np.int16)},
        "empty": {"samples": np.zeros(0, np.int16)},
        "float": {"samples": np.zeros(9, np.float32)},
        "text": {"samples": np.array(["a"])},
        "more": {"more": np.zeros(9, np.float32)},
    }.items():
        content = to_npz({**arrays, **change})
        output_text = refused(with_member(bundles["float32"], "selftest.npz", content))
        assert "selftest.npz" in output_text, what


def test_only_the_owner_of_the_key_can_sign(make: Make, tmp_path: Path) -> None:
    path = make()
    private, public = generate_keys(tmp_path / "keys")
    assert stat.S_IMODE(private.stat().st_mode) == 0o600
    key = public.read_bytes()
    assert "not signed" in refused(path.read_bytes(), key)
    sign(path, private.read_bytes())
    assert parse_bundle(read_bytes(path), key).signed
    assert not parse_bundle(read_bytes(path)).signed
    signed = path.read_bytes()
    sign(path, private.read_bytes())
    assert path.read_bytes() == signed
    _, other = generate_keys(tmp_path / "others")
    assert "not by this key" in refused(signed, other.read_bytes())


def test_a_signature_covers_every_member(make: Make, tmp_path: Path) -> None:
    path = make()
    private, public = generate_keys(tmp_path / "keys")
    sign(path, private.read_bytes())
    key = public.read_bytes()
    for name in ("split.json", "card.md"):
        altered = with_member(path, name, b'{"clips": []}')
        assert parse_bundle(altered).manifest.name == "tiny"
        assert "not by this key" in refused(altered, key)
    assert "not by this key" in refused(edited(path, "thresholds/uncertain", 0.1), key)
    members = unpack(path.read_bytes())
    for forged in (b"", bytes(64), members["signature"][:63]):
        assert "not by this key" in refused(pack({**members, "signature": forged}), key)


def test_keys_are_never_overwritten_and_wrong_ones_are_told(make: Make, tmp_path: Path) -> None:
    private, public = generate_keys(tmp_path / "keys")
    before = private.read_bytes()
    with pytest.raises(SertkError, match="already there"):
        generate_keys(tmp_path / "keys")
    assert private.read_bytes() == before
    path = make()
    for wrong in (b"", b"no key", public.read_bytes()):
        with pytest.raises(SertkError, match="PEM"):
            sign(path, wrong)
    for wrong in (b"", b"no key", before):
        with pytest.raises(SertkError, match="PEM"):
            parse_bundle(read_bytes(path), wrong)


def test_keys_of_another_kind_are_told(make: Make) -> None:
    from cryptography.hazmat.primitives import serialization as forms
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    private = key.private_bytes(forms.Encoding.PEM, forms.PrivateFormat.PKCS8, forms.NoEncryption())
    public = key.public_key().public_bytes(
        forms.Encoding.PEM, forms.PublicFormat.SubjectPublicKeyInfo
    )
    path = make()
    with pytest.raises(SertkError, match="Ed25519 key expected"):
        sign(path, private)
    with pytest.raises(SertkError, match="Ed25519 public key expected"):
        parse_bundle(read_bytes(path), public)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written_names_the_file(tiny: Any, tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(OSError, match=r"own\.sertk"):
        write_bundle(tmp_path / "own.sertk", *tiny.parts("float32"))
