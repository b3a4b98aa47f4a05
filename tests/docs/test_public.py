"""Nothing that is published says where, by whom or with what papers at hand it was made."""

from __future__ import annotations

import getpass
import re
import shutil
import socket
import struct
import subprocess
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
# Put together here, so that this file does not hold what it looks for.
WORDS = {
    "a folder of drafts": re.escape("note" + "s" + "/"),
    "a file for insiders": re.escape("DEVELOPERS" + ".md"),
    "a ticket": r"\bissue" + r"s? +#?\d",
    "a folder of a workplace": re.escape("share" + "d" + "/"),
}
PLACES = {
    "a home": "(?<![\\w.~-])/(?:root|home/(?!pi/|user/|you/)\\w+|Users/\\w+)/",
    "a workplace": "(?<![\\w.~-])/" + "work" + "/",
    "a temporary folder": "(?<![\\w.~-])/" + "tmp" + "/",
}
# One line finds the recordings that the whole set of tests may use.
ALLOWED = {("a folder of a workplace", ".ci/run"): 1}
# Names that many machines and accounts have say nothing of one, and occur as words of the trade.
COMMON = {"root", "user", "runner", "admin", "ubuntu", "pi", "vm", "localhost", "host", "build"}
RUN = re.compile(rb"[\x20-\x7e]{8,}")


def own_names() -> list[str]:
    """Names of this machine and of whoever runs this."""
    names = {getpass.getuser(), *socket.gethostname().split(".")[:1]}
    return sorted(name for name in names if name)


def tracked() -> list[str]:
    """Files of the repository and those that are about to be."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    if not (ROOT / ".git").exists():
        pytest.skip("no git: this is not a checkout")
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return [name for name in result.stdout.split("\0") if name and (ROOT / name).is_file()]


def found(pattern: str, name: str, text: str) -> Iterator[str]:
    for number, line in enumerate(text.splitlines(), 1):
        if re.search(pattern, line, re.IGNORECASE):
            yield f"{name}:{number}: {line.strip()[:100]}"


def texts() -> Iterator[tuple[str, str]]:
    for name in tracked():
        content = (ROOT / name).read_bytes()
        if b"\0" not in content:
            yield name, content.decode("utf-8", "replace")


def test_the_repository_does_not_mention() -> None:
    lines: dict[str, list[str]] = {}
    for name, text in texts():
        for kind, pattern in (WORDS | PLACES).items():
            if kind == "a temporary folder" and "tests/" in name:
                continue
            hits = list(found(pattern, name, text))
            if len(hits) > ALLOWED.get((kind, name), 0):
                lines.setdefault(kind, []).extend(hits)
    assert lines == {}


def test_the_repository_does_not_name_its_machine() -> None:
    names = [re.escape(str(ROOT)), re.escape(str(Path.home())) + "/"]
    names += [rf"\b{re.escape(name)}\b" for name in own_names() if name not in COMMON]
    lines = [hit for name, text in texts() for one in names for hit in found(one, name, text)]
    assert lines == []


def test_no_name_of_a_file_says_more_than_it_should() -> None:
    for name in tracked():
        for pattern in WORDS.values():
            assert not re.search(pattern, name, re.IGNORECASE), name


def test_what_is_looked_for_is_found() -> None:
    """The patterns above work, and do not take ordinary lines for what they look for."""
    bad = {
        "a folder of drafts": "see note" + "s/x.md",
        "a file for insiders": "DEVELOPERS" + ".md",
        "a ticket": "closes iss" + "ue 3",
        "a folder of a workplace": "../share" + "d/data",
        "a home": "open('/ho" + "me/jo/x')",
        "a workplace": "cd /wo" + "rk/main",
        "a temporary folder": "> /tm" + "p/x",
    }
    fine = (
        "the note, an issue of 3 kinds, shared data, https://example.org/work/tmp/home/x /home/pi/x"
    )
    for kind, pattern in (WORDS | PLACES).items():
        assert list(found(pattern, "x", bad[kind]))
        assert not list(found(pattern, "x", fine))


def test_no_bundle_in_the_tree_says_more_than_it_should() -> None:
    bundles = [name for name in tracked() if name.endswith(".sertk")]
    assert bundles
    for name in bundles:
        with zipfile.ZipFile(ROOT / name) as archive:
            for member in archive.namelist():
                text = readable(archive.read(member))
                for pattern in (WORDS | PLACES).values():
                    assert list(found(pattern, f"{name}/{member}", text)) == []


# What a run leaves behind


@pytest.fixture(scope="module")
def artifacts(
    small_run: tuple[Any, Path], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, bytes]:
    """Every file of a run and of what is made from it by name, archives member by member."""
    import ser_toolkit as sertk
    from ser_toolkit.bench.measure import bench
    from ser_toolkit.training.report import write_json

    run, corpus = small_run
    out = tmp_path_factory.mktemp("extracted")
    for name in ("x.npz", "x.csv"):
        sertk.extract("compact", data=corpus, out=out / name, workers=1)
    copy = Path(shutil.copytree(run.path, out / "run"))
    bundle = out / "x.sertk"
    sertk.quantize(copy, mode="float32", out=bundle, force=True)
    write_json(out / "bench.json", bench(bundle.read_bytes(), bundle.name, [1], 0.05))
    some = next(corpus.rglob("*.wav"))
    sertk.inspect(some, recipe="lstm-notebook", out=out / "inspect.png", play_dir=out / "sounds")
    found = {}
    for path in (*run.path.rglob("*"), *out.rglob("*")):
        if path.is_file() and zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                found |= {f"{path.name}/{n}": archive.read(n) for n in archive.namelist()}
                found[f"{path.name} comment"] = archive.comment
        elif path.is_file() and path.name != "run.toml":  # it stays here, and says where data are
            found[path.name] = path.read_bytes()
    return found


def readable(content: bytes) -> str:
    """What of a file can be read: all of a text, the longer words of anything else."""
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        return "\n".join(part.decode() for part in RUN.findall(content))


@pytest.mark.slow
def test_the_artifacts_are_all_there(artifacts: dict[str, bytes]) -> None:
    endings = {name.rpartition(".")[2] for name in artifacts}
    assert {"toml", "json", "txt", "csv", "png", "npy", "h5", "tflite", "md", "wav"} <= endings
    assert {"model.keras/config.json", "model.keras/metadata.json"} <= set(artifacts)


@pytest.mark.slow
def test_no_artifact_mentions(artifacts: dict[str, bytes]) -> None:
    for name, content in artifacts.items():
        for kind, pattern in (WORDS | PLACES).items():
            assert list(found(pattern, name, readable(content))) == [], kind


@pytest.mark.slow
def test_no_artifact_names_a_place_or_a_person(
    artifacts: dict[str, bytes], small_run: tuple[Any, Path]
) -> None:
    places = [small_run[1].parent, small_run[0].path.parent, ROOT, Path.home(), Path.cwd()]
    patterns = [re.escape(str(place)) for place in places if len(place.parts) > 1]
    hits = [hit for n, c in artifacts.items() for p in patterns for hit in found(p, n, readable(c))]
    for name in own_names():
        # In what is no text, a name of two letters occurs by chance.
        searched = {n: c for n, c in artifacts.items() if len(name) > 4 or is_text(c)}
        pattern = rf"\b{re.escape(name)}\b"
        hits += [hit for n, c in searched.items() for hit in found(pattern, n, readable(c))]
    assert hits == []


def is_text(content: bytes) -> bool:
    try:
        content.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return b"\0" not in content


@pytest.mark.slow
def test_pictures_hold_nothing_but_the_picture(artifacts: dict[str, bytes]) -> None:
    pictures = {name: content for name, content in artifacts.items() if name.endswith(".png")}
    assert len(pictures) == 7
    for name, content in pictures.items():
        assert set(_chunks(content)) == {"IHDR", "pHYs", "IDAT", "IEND"}, name


def _chunks(content: bytes) -> Iterator[str]:
    place = 8
    while place < len(content):
        size, kind = struct.unpack(">I4s", content[place : place + 8])
        yield kind.decode()
        place += size + 12


@pytest.mark.slow
def test_archives_have_no_comments(artifacts: dict[str, bytes]) -> None:
    comments = {n: c for n, c in artifacts.items() if n.endswith(" comment")}
    assert len(comments) == 4
    assert set(comments.values()) == {b""}
