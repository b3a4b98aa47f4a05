"""A disk that is really full, in the cache and in the run directory."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

Sertk = Callable[..., CompletedProcess[str]]
Refused = Callable[..., None]
SIZE_KB = 2048


@pytest.fixture
def disk(small_disk: Callable[[int], Path]) -> Callable[[int], Path]:
    """A small file system of its own; called with the room to leave in it."""

    def leave(room_kb: int) -> Path:
        root = small_disk(SIZE_KB)
        (root / "ballast").write_bytes(bytes((SIZE_KB - room_kb) * 1024))
        return root

    return leave


def half_written(root: Path) -> list[str]:
    """Files that are empty, temporary, or cut off."""
    found = [path for path in root.rglob("*") if path.is_file() and path.name != "ballast"]
    return [
        path.name
        for path in found
        if not path.read_bytes()
        or (path.suffix == ".npz" and b"PK\x05\x06" not in path.read_bytes()[-22:])
        or (path.suffix == ".json" and path.read_bytes()[-2:] != b"}\n")
        or path.name[0] == "."
    ]


@pytest.mark.parametrize("workers", [1, 2])
def test_the_cache(
    workers: int,
    sertk: Sertk,
    refused: Refused,
    disk: Callable[..., Path],
    tiny: Path,
    good: Path,
    tmp_path: Path,
) -> None:
    root = disk(40)
    arguments = ("--recipe", tiny, "--data", good, "--out", tmp_path / "x.csv")
    env = {"SERTK_CACHE": str(root / "cache")}
    result = sertk("extract", *arguments, "--workers", workers, env=env)
    refused(result, "disk full while writing", "cache/features", "Make room")
    assert half_written(root) == []
    assert list(root.rglob("*.npz"))
    (root / "ballast").unlink()
    assert sertk("extract", *arguments, "--workers", workers, env=env).returncode == 0


def test_the_synthetic_corpus(sertk: Sertk, refused: Refused, disk: Callable[..., Path]) -> None:
    root = disk(200)
    arguments = ("train", "--data", "synthetic", "--out", root / "run")
    result = sertk(*arguments, env={"SERTK_CACHE": str(root / "cache")})
    refused(result, "cannot write synthetic speech", "No space left", "with room")
    assert half_written(root) == []


@pytest.mark.parametrize("ending", [".npy", ".npz"])
def test_extracting(
    ending: str, sertk: Sertk, refused: Refused, disk: Callable[..., Path], tiny: Path, good: Path
) -> None:
    root = disk(4)
    files = sorted(good.rglob("*.wav"))[:9]
    result = sertk("extract", *files, "--recipe", tiny, "--out", root / f"x{ending}")
    refused(result, f"disk full while writing {root / 'x'}{ending}", "Make room")
    assert [path.name for path in root.iterdir()] == ["ballast"]


# Room for nothing, and for the checkpoint but not for the network beside it.
@pytest.mark.slow
@pytest.mark.parametrize(("room_kb", "part"), [(0, "log.txt"), (116, "model.keras")])
def test_the_run_directory(
    room_kb: int,
    part: str,
    sertk: Sertk,
    refused: Refused,
    disk: Callable[..., Path],
    tiny: Path,
    good: Path,
) -> None:
    root = disk(room_kb)
    arguments = ("--data", good, "--workers", 1, "--out", root / "run")
    result = sertk("train", tiny, *arguments)
    refused(result, f"disk full while writing {root / 'run' / part}", "Make room")
    assert set(half_written(root)) <= {"log.txt", "history.csv"}
    assert not (root / "run" / "model.keras").exists()
    assert not (root / "run" / "metrics.json").exists()
