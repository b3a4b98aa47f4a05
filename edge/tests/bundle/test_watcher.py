"""Bundles dropped in while the daemon runs: checked first, the old one kept on any fault."""

from __future__ import annotations

import asyncio
import cProfile
import hashlib
import pstats
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ser_toolkit.runtime.bundle.container import pack, unpack
from ser_toolkit.runtime.bundle.file import sign
from ser_toolkit.runtime.bundle.signing import generate_keys
from ser_toolkit.runtime.errors import SertkError
from sertk_edge.bundle import loader
from sertk_edge.bundle.loader import LoadedBundle, load, read, reopen
from sertk_edge.bundle.watcher import BundleWatcher, RejectedBundle
from sertk_edge.settings import BundleSettings

SETTINGS = BundleSettings(watch_s=0.05)


@pytest.fixture
def path(tmp_path: Path, tiny_bundle: Path) -> Path:
    return Path(shutil.copy(tiny_bundle, tmp_path / "current.sertk"))


def opened(path: Path, settings: BundleSettings = SETTINGS) -> LoadedBundle:
    return load(read(path, settings), settings)


def altered(content: bytes, change: Callable[[bytes], bytes]) -> bytes:
    """The bundle with another manifest."""
    members = unpack(content)
    members["manifest.json"] = change(members["manifest.json"])
    return pack(members)


def renamed(content: bytes) -> bytes:
    return altered(content, lambda text: text.replace(b'"tiny"', b'"other"'))


def labelled(content: bytes) -> bytes:
    return altered(content, lambda text: text.replace(b'"joy"', b'"envy"'))


def replaced(path: Path, content: bytes) -> None:
    """As a careful person does: written beside, then renamed."""
    beside = path.with_name("new")
    beside.write_bytes(content)
    beside.replace(path)


def after(path: Path, change: Callable[[], Any], settings: BundleSettings = SETTINGS) -> Any:
    """What the watch finds after a change."""

    async def run() -> Any:
        watcher = BundleWatcher(path, settings)
        watcher.first()
        changes = watcher.changes()
        finding = asyncio.ensure_future(anext(changes))
        await asyncio.sleep(0.1)
        assert not finding.done()
        change()
        if not settings.watch_s:
            watcher.nudge()
        try:
            return await asyncio.wait_for(finding, 20)
        finally:
            await changes.aclose()

    return asyncio.run(run())


def test_a_changed_bundle_is_taken(path: Path) -> None:
    content = renamed(path.read_bytes())
    found = after(path, lambda: replaced(path, content))
    assert isinstance(found, LoadedBundle)
    assert found.classifier.manifest.name == "other"
    assert found.sha256 == hashlib.sha256(content).hexdigest()


def test_without_watching_a_hup_looks(path: Path) -> None:
    content = renamed(path.read_bytes())
    settings = BundleSettings(watch_s=0)
    assert isinstance(after(path, lambda: replaced(path, content), settings), LoadedBundle)


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda content: content[: len(content) // 2], "cut off within .*Copy the file again"),
        (lambda content: content.replace(b"TFL3", b"TFL9"), "damaged"),
        (lambda content: b"no bundle at all", ""),
        (lambda content: b"", ""),
        (labelled, "has anger, envy, .*allow_new_labels"),
    ],
)
def test_what_is_no_good_is_refused_with_its_reason(
    damage: Callable[[bytes], bytes], reason: str, path: Path
) -> None:
    content = damage(path.read_bytes())
    found = after(path, lambda: replaced(path, content))
    assert isinstance(found, RejectedBundle) and found.file == "current.sertk"
    assert "\n" not in found.reason
    assert re.search(reason, found.reason), found.reason


def test_a_failed_selftest_is_refused(path: Path) -> None:
    import io

    import numpy as np

    def other_output(content: bytes) -> bytes:
        import hashlib
        import json

        members = unpack(content)
        with np.load(io.BytesIO(members["selftest.npz"])) as arrays:
            kept = dict(arrays)
        kept["output"] = np.roll(kept["output"], 1, axis=1)
        buffer = io.BytesIO()
        np.savez(buffer, **kept)
        members["selftest.npz"] = buffer.getvalue()
        manifest = json.loads(members["manifest.json"])
        manifest["members"]["selftest.npz"] = {
            "sha256": hashlib.sha256(buffer.getvalue()).hexdigest(),
            "size": len(buffer.getvalue()),
        }
        members["manifest.json"] = json.dumps(manifest).encode()
        return pack(members)

    content = other_output(path.read_bytes())
    found = after(path, lambda: replaced(path, content))
    assert isinstance(found, RejectedBundle) and "self-test disagrees" in found.reason


def test_new_emotions_may_be_allowed(path: Path) -> None:
    content = labelled(path.read_bytes())
    settings = BundleSettings(watch_s=0.05, allow_new_labels=True)
    found = after(path, lambda: replaced(path, content), settings)
    assert isinstance(found, LoadedBundle) and "envy" in found.classifier.labels


def test_a_bundle_that_vanishes_is_missed_once_and_taken_when_it_is_back(path: Path) -> None:
    content = renamed(path.read_bytes())

    async def run() -> None:
        watcher = BundleWatcher(path, SETTINGS)
        watcher.first()
        changes = watcher.changes()
        path.unlink()
        gone = await asyncio.wait_for(anext(changes), 10)
        assert isinstance(gone, RejectedBundle) and "No such file" in gone.reason
        replaced(path, content)
        assert isinstance(await asyncio.wait_for(anext(changes), 10), LoadedBundle)
        await changes.aclose()

    asyncio.run(run())


def test_a_slow_copy_is_waited_for(path: Path) -> None:
    content = renamed(path.read_bytes())

    async def run() -> None:
        watcher = BundleWatcher(path, SETTINGS)
        watcher.first()
        changes = watcher.changes()
        finding = asyncio.ensure_future(anext(changes))
        with path.open("wb") as file:
            for first in range(0, len(content), len(content) // 4):
                file.write(content[first : first + len(content) // 4])
                file.flush()
                await asyncio.sleep(0.2)
        assert isinstance(await asyncio.wait_for(finding, 10), LoadedBundle)
        await changes.aclose()

    asyncio.run(run())


def test_the_same_bytes_again_are_the_bundle_that_answers_already(path: Path) -> None:
    assert after(path, lambda: replaced(path, path.read_bytes())) is None


def test_a_new_bundle_is_read_once(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read_files: list[Path] = []
    real = loader.read_bytes
    monkeypatch.setattr(loader, "read_bytes", lambda file: read_files.append(file) or real(file))
    content = renamed(path.read_bytes())
    assert isinstance(after(path, lambda: replaced(path, content)), LoadedBundle)
    # At the start, and when it had changed.
    assert read_files == [path, path]


def test_a_link_may_lead_about_in_the_folder_but_not_out_of_it(
    path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    link = path.with_name("link.sertk")
    link.symlink_to(path.name)
    assert opened(link, SETTINGS).classifier.manifest.name == "tiny"
    outside = Path(shutil.copy(path, tmp_path_factory.mktemp("outside") / "x.sertk"))
    link.unlink()
    link.symlink_to(outside)
    with pytest.raises(SertkError, match="out of the folder of bundles"):
        opened(link, SETTINGS)
    assert opened(link, BundleSettings(directory=outside.parent)).classifier.manifest.name == "tiny"


def test_only_signed_bundles_where_a_key_is_given(path: Path, tmp_path: Path) -> None:
    private, public = generate_keys(tmp_path / "keys")
    settings = BundleSettings(public_key=public)
    with pytest.raises(SertkError, match="not signed"):
        opened(path, settings)
    sign(path, private.read_bytes())
    assert opened(path, settings).signed
    with pytest.raises(SertkError, match="cannot read the key"):
        opened(path, BundleSettings(public_key=tmp_path / "none.pub"))


def test_a_bundle_can_be_opened_again_for_another_thread(path: Path) -> None:
    live = opened(path, SETTINGS)
    assert reopen(live).network is not live.classifier.network


def test_a_bundle_is_parsed_once_and_so_are_its_plugins_loaded(path: Path) -> None:
    profile = cProfile.Profile()
    live = profile.runcall(opened, path)
    profile.runcall(reopen, live)
    calls = {key[2]: row[1] for key, row in pstats.Stats(profile).stats.items()}  # type: ignore[attr-defined]
    assert (calls["parse_bundle"], calls["load_plugins"], calls["build_classifier"]) == (1, 1, 2)
