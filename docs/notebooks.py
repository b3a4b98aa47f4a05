"""Execute the notebooks of this folder and write their results into them."""

from __future__ import annotations

import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient


def execute(path: Path) -> None:
    """Run one notebook and save it, without the warnings of libraries."""
    notebook = nbformat.read(path, 4)
    NotebookClient(notebook, timeout=None).execute()
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if not _is_warning(output)]
    temporary = path.with_suffix(".tmp")
    nbformat.write(notebook, temporary)
    temporary.replace(path)


def _is_warning(output: nbformat.NotebookNode) -> bool:
    text = str(output.get("text", ""))
    return output.get("name") == "stderr" or text.startswith("WARNING:tensorflow")


if __name__ == "__main__":
    for name in sys.argv[1:] or sorted(Path(__file__).parent.glob("*.ipynb")):
        execute(Path(name))
