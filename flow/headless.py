"""Execute a notebook on the simulated board: `python -m flow.headless NOTEBOOK BOARD`.

Runs in the environment of pynq (.tools/pynq), which has neither torch nor FINN. The notebook is
executed where it lies and overwritten with its outputs, also where a cell fails; BOARD is the
folder that flow.board.prepare made. The last line on standard output is JSON: {"error": null}, or
what went wrong, in one line.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellControlSignal, DeadKernelError

CELL_SECONDS = 3600  # in which a cell must end
ACTIVATE = "import flow.board\nflow.board.activate({folder!r})"


def execute(path: Path, activate: str) -> str | None:
    """Run the notebook at `path` after the code `activate`, which leaves no trace in it.

    Returns None, or the error of the first cell that failed.
    """
    notebook = nbformat.read(path, as_version=4)
    notebook.cells.insert(0, nbformat.v4.new_code_cell(activate))

    def progress(cell: Any, cell_index: int) -> None:
        heading = cell.source.splitlines()[0] if cell.source else ""
        if cell.cell_type == "markdown" and heading.startswith("#"):
            print(f"  {heading.lstrip('# ')}", file=sys.stderr, flush=True)

    client = NotebookClient(
        notebook,
        timeout=CELL_SECONDS,
        record_timing=False,
        extra_arguments=["--log-level=ERROR"],
        resources={"metadata": {"path": str(path.parent)}},
        on_cell_start=progress,
    )
    error = None
    try:
        client.execute()
    except (CellControlSignal, DeadKernelError) as caught:
        error = _one_line(notebook, caught)
    except AssertionError:
        if client.km is not None:
            raise
        sys.exit(f"{path.name}: stopped")  # by a signal, after which nbclient has ended the kernel
    del notebook.cells[0]
    for cell in notebook.cells:
        if cell.cell_type == "code" and cell.execution_count:
            cell.execution_count -= 1
            for output in cell.outputs:
                if "execution_count" in output:
                    output.execution_count = cell.execution_count
    nbformat.write(notebook, path)
    return error


def _one_line(notebook: Any, caught: Exception) -> str:
    """The cell, the class and the message of an error in a cell, or of the kernel."""
    for number, cell in enumerate(notebook.cells):
        for output in cell.get("outputs", []):
            if output.output_type == "error":
                where = f"cell {number}" if number else "the simulated board"
                return f"{where}: {output.ename}: {' '.join(output.evalue.split())}"
    return f"{type(caught).__name__}: {' '.join(str(caught).split())}"


def main() -> None:
    path, board = Path(sys.argv[1]), sys.argv[2]
    # The kernel imports flow.board from here, pynq and the rest from its own environment.
    root = str(Path(__file__).resolve().parents[1])
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
    print(json.dumps({"error": execute(path, ACTIVATE.format(folder=board))}))


if __name__ == "__main__":
    main()
