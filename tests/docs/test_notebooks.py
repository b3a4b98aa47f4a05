"""The notebooks in docs/: executed, true, and free of what belongs to the machine they ran on."""

from __future__ import annotations

import importlib.util
import re
import shutil
from pathlib import Path
from typing import Any

import nbformat
import pytest

DOCS = Path(__file__).parents[2] / "docs"
NOTEBOOKS = sorted(path.name for path in DOCS.glob("*.ipynb"))
ROW = re.compile(r"^(EMO-DB|TESS, 24 words) +(notebook: [a-z ]+?|toolkit: [a-z ]+?) +([\d.]+) +")
MESSAGES = re.compile(r"^(EMO-DB|TESS, 24 words): (support vectors: [a-z ]+): UAR ([\d.]+)")
COUNTS = {"notebook-lstm.ipynb": 6, "notebook-msf.ipynb": 12}
KINDS = ("random rows", "the training rows", "every speaker once")
CORPORA = ("EMO-DB", "TESS, 24 words")


def printed(path: Path) -> str:
    cells = nbformat.read(path, 4).cells
    outputs = [one for cell in cells for one in cell.get("outputs", [])]
    return "".join(one.get("text", "") for one in outputs if one.get("name") == "stdout")


def table(path: Path) -> dict[tuple[str, str], float]:
    lines = printed(path).splitlines()
    rows = [pattern.match(line) for line in lines for pattern in (ROW, MESSAGES)]
    return {(row[1], row[2]): float(row[3]) for row in rows if row}


def execute(path: Path) -> None:
    spec = importlib.util.spec_from_file_location("notebooks", DOCS / "notebooks.py")
    assert spec and spec.loader
    module: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.execute(path)


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_every_cell_was_executed_in_order_and_without_an_error(name: str) -> None:
    cells = [c for c in nbformat.read(DOCS / name, 4).cells if c.cell_type == "code"]
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [one for cell in cells for one in cell.outputs]
    assert not [one for one in outputs if one.output_type == "error"]
    assert not [one for one in outputs if one.get("name") == "stderr"]


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_the_page_quotes_what_the_notebook_printed(name: str) -> None:
    page = (DOCS / "notebooks-revisited.md").read_text("utf-8")
    metrics = table(DOCS / name)
    assert len(metrics) == COUNTS[name]
    assert not [value for value in metrics.values() if f"{value:.1f}" not in page]


@pytest.mark.parametrize("corpus", CORPORA)
def test_metrics_of_unseen_speakers_are_the_lowest(corpus: str) -> None:
    lstm, msf = (table(DOCS / f"notebook-{name}.ipynb") for name in ("lstm", "msf"))
    honest = lstm[corpus, "toolkit: every speaker once"]
    assert honest == min(value for (where, _), value in lstm.items() if where == corpus)
    same_rows = {kind: msf[corpus, f"support vectors: {kind}"] for kind in KINDS}
    assert same_rows["every speaker once"] < same_rows["random rows"] - 30
    assert same_rows["the training rows"] == 100


@pytest.mark.nightly
@pytest.mark.timeout(1800)
@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("name", NOTEBOOKS)
def test_the_notebooks_still_run(
    name: str, data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One epoch instead of all of them."""
    monkeypatch.setenv("EPOCHS", "1")
    monkeypatch.setenv("SERTK_DATA", str(data_dir))
    copy = Path(shutil.copy(DOCS / name, tmp_path))
    execute(copy)
    assert len(table(copy)) == COUNTS[name]
