"""Which reader reads what, and what corpora are called."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from ser_toolkit.contracts.components import Clip
from ser_toolkit.data.sources import named_apart, sources_of
from ser_toolkit.plugins.registry import Plugins, load_plugins
from ser_toolkit.runtime.errors import SertkError
from ser_toolkit.utils.progress import BufferedCallback, Callback


@pytest.fixture(scope="module")
def plugins() -> Plugins:
    return load_plugins()


def folders(root: Path, words: Sequence[str] = ("anger", "sad")) -> Path:
    for word in words:
        (root / word / "ann").mkdir(parents=True)
        (root / word / "ann" / "a.wav").touch()
    return root


def names(plugins: Plugins, *data: str | Path) -> list[list[str]]:
    """The names of the corpora of each source."""
    sources = sources_of(data, plugins, Callback(), None)
    corpora = named_apart([one.reader.read(one.root).clips for one in sources], sources)
    return [sorted({clip.corpus for clip in clips}) for clips in corpora]


def test_a_name_before_the_path(plugins: Plugins, tmp_path: Path) -> None:
    here, there = folders(tmp_path / "here" / "voices"), folders(tmp_path / "there" / "voices")
    assert names(plugins, f"mine={here}", there) == [["mine"], ["voices"]]
    assert names(plugins, f"mine={here}", f"mine={there}") == [["mine"], ["mine"]]
    assert names(plugins, f"voices={here}", there) == [["voices"], ["there-voices"]]
    assert names(plugins, folders(tmp_path / "a=b")) == [["a=b"]]
    clip = Clip(Path("x"), "x", "emodb", "anger", "03")
    (source,) = sources_of([f"own={here}"], plugins, Callback(), "emodb")
    assert named_apart([[clip]], [source])[0][0].corpus == "own"


def test_a_name_without_a_path_or_a_path_that_is_not_there(
    plugins: Plugins, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for where, problem in (
        ("mine=", "NAME=PATH expected, received 'mine='"),
        ("mine=gone", "data folder 'gone' does not exist"),
        ("gone/a=b", "data folder 'gone/a=b' does not exist"),
        ("x" * 460, "does not exist"),
    ):
        with pytest.raises(SertkError, match=problem):
            sources_of([where], plugins, Callback(), None)
    folders(tmp_path / "a=b")
    assert sources_of(["a=b"], plugins, Callback(), None)[0].root == Path("a=b")
    assert sources_of(["mine=synthetic"], plugins, Callback(), None)[0].name == "mine"


def test_a_folder_of_corpora_names_them(plugins: Plugins, tmp_path: Path) -> None:
    folders(tmp_path / "Mine")
    (tmp_path / "Crema").mkdir()
    (tmp_path / "Crema" / "1001_DFA_ANG_XX.wav").touch()
    (tmp_path / "notes").mkdir()
    with pytest.raises(SertkError, match=r"it holds Crema/ \(cremad\), Mine/ \(folders\)"):
        sources_of([tmp_path], plugins, Callback(), None)


def test_each_reader_says_why_not(plugins: Plugins, tmp_path: Path) -> None:
    folders(tmp_path, ("0", "1"))
    (tmp_path / "labels.csv").write_text("file,labels\na.wav,anger\n", "utf-8")
    said = BufferedCallback(Callback())
    with pytest.raises(SertkError, match="no reader recognises"):
        sources_of([tmp_path], plugins, said, None)
    assert "folders: not recognised, but could read 2 clips of 0, 1" in said.messages
    (table,) = (line for line in said.messages if line.startswith("table: "))
    assert "labels.csv has no column emotion, its first line has: file, labels" in table
    assert any(line.startswith("emodb: no file of the corpus") for line in said.messages)


def test_own_predictions_do_not_become_labels(plugins: Plugins, tmp_path: Path) -> None:
    rows = "file,start_s,end_s,label,uncertain,anger,error\nanger/ann/a.wav,,,sadness,false,0.1,\n"
    (folders(tmp_path) / "predictions.csv").write_text(rows, "utf-8")
    assert sources_of([tmp_path], plugins, Callback(), None)[0].reader.name == "folders"
