"""Notebooks out of examples/notebooks/*.py, which have a cell behind each `# %%`: `python .ci/notebooks.py [NAME ...]`.

The cells are run in their order, in one namespace, and what they print and show is kept: a Jupyter notebook (format
4.5) beside each file, with the commit and the day in its metadata. What a notebook is made from is the .py file;
nothing is edited in the .ipynb.
"""

from __future__ import annotations

import ast
import base64
import contextlib
import datetime
import hashlib
import io
import json
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent.parent / "examples" / "notebooks"


@dataclass(frozen=True)
class Cell:
    """A part of a notebook: Markdown, code, or, as code whose values may be changed before it is run, parameters."""

    kind: str
    text: str
    parameters: bool = False


def read_cells(path: Path) -> list[Cell]:
    """Return the cells of a file."""
    cells = []
    for head, body in re.findall(r"^# %%(.*)\n((?:(?!# %%).*\n?)*)", path.read_text(encoding="utf-8"), re.M):
        if "[markdown]" in head:
            cells.append(Cell("markdown", re.sub(r"^# ?", "", body.strip(), flags=re.M)))
        else:
            cells.append(Cell("code", body.strip(), "parameters" in head))
    return cells


def run_cell(cell: Cell, names: dict[str, Any]) -> list[dict[str, Any]]:
    """Run code in a namespace; return what it prints, and what its last expression is, as outputs of a notebook."""
    tree = ast.parse(cell.text)
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(tree, "<cell>", "exec"), names)
        value = None if last is None else eval(compile(ast.Expression(last.value), "<cell>", "eval"), names)  # type: ignore[attr-defined]
    outputs: list[dict[str, Any]] = []
    if text := printed.getvalue():
        outputs.append({"output_type": "stream", "name": "stdout", "text": text.splitlines(keepends=True)})
    if value is not None:
        pictured = hasattr(value, "_repr_jpeg_")
        data: dict[str, Any] = {"text/plain": [f"<{type(value).__name__}>" if pictured else repr(value)]}
        if pictured:
            data["image/jpeg"] = base64.b64encode(value._repr_jpeg_()).decode()
        outputs.append({"output_type": "display_data", "metadata": {}, "data": data})
    return outputs


def run(path: Path, given: Mapping[str, Any] | None = None) -> tuple[dict[str, Any], dict[str, Any]]:
    """Run a file's cells, `given` in place of what its parameters are; return the notebook and the namespace."""
    names: dict[str, Any] = {"__name__": "__main__"}
    made: list[dict[str, Any]] = []
    for number, cell in enumerate(read_cells(path)):
        about = {"cell_type": cell.kind, "id": hashlib.sha256(f"{number}{cell.text}".encode()).hexdigest()[:8]}
        source = {"metadata": {"tags": ["parameters"]} if cell.parameters else {}}
        source |= {"source": cell.text.splitlines(keepends=True)}
        if cell.kind == "code":
            outputs = run_cell(cell, names)
            if cell.parameters:
                assert set(given or ()) <= set(names), f"{path.name} has no such parameter"
                names |= given or {}
            source |= {"execution_count": 1 + sum(c["cell_type"] == "code" for c in made), "outputs": outputs}
        made.append(about | source)
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    about = {"kernelspec": kernel, "language_info": {"name": "python"}}
    return {"cells": made, "metadata": about, "nbformat": 4, "nbformat_minor": 5}, names


def page(notebook: Mapping[str, Any], name: str) -> tuple[str, dict[str, bytes]]:
    """Return a notebook as Markdown, and the pictures beside it by their names."""
    ran = notebook["metadata"]["footage"]
    parts, pictures = [], {}
    for cell in notebook["cells"]:
        text = "".join(cell["source"])
        text = text.replace(".ipynb)", ".md)")  # the pages that others are
        parts.append(text if cell["cell_type"] == "markdown" else f"```python\n{text}\n```")
        for output in cell.get("outputs", ()):
            if output["output_type"] == "stream":
                parts.append("```text\n" + "".join(output["text"]).rstrip() + "\n```")
            elif "image/jpeg" not in output["data"]:
                parts.append("```text\n" + "".join(output["data"]["text/plain"]) + "\n```")
            else:
                picture = f"{name}-{len(pictures) + 1}.jpg"
                pictures[picture] = base64.b64decode(output["data"]["image/jpeg"])
                parts.append(f"![what the cell shows]({picture})")
    parts.append(f"*Run at commit `{ran['commit']}` on {ran['date']}.*")
    return "\n\n".join(parts) + "\n", pictures


if __name__ == "__main__":
    asked = ["git", "-C", str(FOLDER), "rev-parse", "--short", "HEAD"]
    commit = subprocess.run(asked, check=True, capture_output=True, text=True).stdout.strip()
    for path in [FOLDER / f"{name}.py" for name in sys.argv[1:]] or sorted(FOLDER.glob("*.py")):
        made = run(path)[0]
        made["metadata"]["footage"] = {"commit": commit, "date": datetime.date.today().isoformat()}
        notebook = json.dumps(made, indent=1, ensure_ascii=False) + "\n"
        path.with_suffix(".ipynb").write_text(notebook, encoding="utf-8")
        print(path.stem, f"{len(notebook):,} bytes")
