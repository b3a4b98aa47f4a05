"""The readers as components, and a README that agrees with them."""

from __future__ import annotations

import re
from pathlib import Path

from ser_toolkit import EMOTIONS, configure
from sertk_corpora import CORPORA, CorpusReader

READERS = {reader.name: reader for reader in CORPORA}
N_SPEAKERS = {"emodb": 10, "tess": 2, "savee": 4, "ravdess": 24, "cremad": 91}
README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")


def test_a_field_can_be_set() -> None:
    reader = configure(READERS["tess"], {"emotions": [["ps", "happiness"]]})
    assert isinstance(reader, CorpusReader)
    assert reader.emotions == (("ps", "happiness"),)
    assert reader.pattern == READERS["tess"].pattern


def test_a_reader_is_complete() -> None:
    for reader in CORPORA:
        assert {emotion for _, emotion in reader.emotions} <= set(EMOTIONS), reader.name
        assert reader.homepage.startswith("http"), reader.name
        assert all((reader.language, reader.licence, reader.citation)), reader.name


def test_the_readme_has_the_same_figures() -> None:
    for reader in CORPORA:
        (row,) = re.findall(rf"^\| `{reader.name}` \|.*<http.*$", README, re.MULTILINE)
        cells = [cell.strip() for cell in row.strip("|").split("|")]
        assert cells[3:5] == [str(reader.n_files), str(N_SPEAKERS[reader.name])]
        assert cells[6:] == [reader.licence, f"<{reader.homepage}>"]
        assert all(emotion in cells[5] for _, emotion in reader.emotions)


def test_the_reader_in_the_readme_works(tmp_path: Path) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    namespace: dict[str, object] = {}
    exec(compile(code, "README.md", "exec"), namespace)
    (reader,) = namespace["sertk_readers"]()  # type: ignore[operator]
    (tmp_path / "f1_angry_07.wav").touch()
    (clip,) = reader.read(tmp_path).clips
    assert (clip.speaker, clip.emotion, clip.text) == ("f1", "anger", "07")
