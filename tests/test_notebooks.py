"""The notebooks run at tiny size, and what is kept of them is of the files that they are made from."""

from __future__ import annotations

import json
import re
from datetime import date
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.test_site import hooks

FOLDER = Path(__file__).parents[1] / "examples" / "notebooks"
TINY: dict[str, dict[str, Any]] = {
    "how_stream_works": {"FRAMES": 16},
    "trusted_figures": {"CLIPS": 8, "RESAMPLES": 4},
    "your_clips": {"VIDEOS": 8, "SIZE": 32, "MINUTES": 0.02},
}


@pytest.fixture(scope="module")
def notebooks() -> ModuleType:
    module: ModuleType = hooks().beside("notebooks")
    return module


def said(notebook: dict[str, Any]) -> list[str]:
    """Return what a notebook prints, line by line, but for numbers and curves."""
    lines = [line for output in shown(notebook) for line in output.get("text", ())]
    return [re.sub(r"[\d.,▁-█]+", "#", " ".join(line.split())) for line in lines]


def shown(notebook: dict[str, Any]) -> list[dict[str, Any]]:
    return [output for cell in notebook["cells"] for output in cell.get("outputs", ())]


def test_all_are_run() -> None:
    assert {path.stem for path in FOLDER.glob("*.py")} == {path.stem for path in FOLDER.glob("*.ipynb")} == set(TINY)


@pytest.mark.parametrize("name", TINY)
def test_run_at_tiny_size(notebooks: ModuleType, name: str) -> None:
    made, names = notebooks.run(FOLDER / f"{name}.py", TINY[name])
    assert all(names[parameter] == value for parameter, value in TINY[name].items())
    kept = json.loads((FOLDER / f"{name}.ipynb").read_text(encoding="utf-8"))
    kinds = [output["output_type"] for output in shown(made)]
    assert kinds == [output["output_type"] for output in shown(kept)]
    assert said(made) == said(kept)
    if name == "how_stream_works":
        assert "frames that differ: 0 of 8\n" in [line for output in shown(made) for line in output.get("text", ())]


@pytest.mark.parametrize("name", TINY)
def test_kept_as_it_is_written(notebooks: ModuleType, name: str) -> None:
    path = FOLDER / f"{name}.ipynb"
    kept = json.loads(path.read_text(encoding="utf-8"))
    assert path.stat().st_size < 300_000 and (kept["nbformat"], kept["nbformat_minor"]) == (4, 5)
    cells = notebooks.read_cells(path.with_suffix(".py"))
    assert [("".join(cell["source"]), cell["cell_type"]) for cell in kept["cells"]] == [(c.text, c.kind) for c in cells]
    assert re.fullmatch("[0-9a-f]{7,}", kept["metadata"]["footage"]["commit"])
    assert date.fromisoformat(kept["metadata"]["footage"]["date"])
    identities = [cell["id"] for cell in kept["cells"]]
    assert len(set(identities)) == len(identities)
    for cell in kept["cells"]:
        wanted = {"id", "cell_type", "metadata", "source"}
        assert set(cell) == wanted | ({"outputs", "execution_count"} if cell["cell_type"] == "code" else set())
    assert not re.search(r"/(tmp|home|root|work)/", path.read_text(encoding="utf-8"))


def test_a_page_shows_what_a_notebook_shows(notebooks: ModuleType) -> None:
    kept = json.loads((FOLDER / "how_stream_works.ipynb").read_text(encoding="utf-8"))
    page, pictures = notebooks.page(kept, "how_stream_works")
    assert page.count("![") == len(pictures) == 3 and f"`{kept['metadata']['footage']['commit']}`" in page
    assert all("".join(output["text"]) in page for output in shown(kept) if "text" in output)
    assert all(picture.startswith(b"\xff\xd8") for picture in pictures.values())
    assert all(f"({name})" in page for name in pictures)


def test_cells_are_told_apart_and_what_they_show_is_kept(notebooks: ModuleType, tmp_path: Path) -> None:
    path = tmp_path / "a.py"
    path.write_text('# %% [markdown]\n# # A\n#\n# b\n\n# %% tags=["parameters"]\nN = 2\n\n# %%\nprint(N)\nN * 3\n')
    made, names = notebooks.run(path, {"N": 5})
    assert [cell["cell_type"] for cell in made["cells"]] == ["markdown", "code", "code"]
    assert "".join(made["cells"][0]["source"]) == "# A\n\nb" and names["N"] == 5
    assert shown(made)[0]["text"] == ["5\n"] and shown(made)[1]["data"] == {"text/plain": ["15"]}
    with pytest.raises(AssertionError, match="no such parameter"):
        notebooks.run(path, {"M": 5})
