"""Verbs about models: load one, list them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from footage.commands.terminal import make_console
from footage.config.presets import PRESETS
from footage.errors import ModelError

if TYPE_CHECKING:
    from rich.table import Table

    from footage.generation.model import Model


def load(model: Path | str, device: str = "auto") -> Model:
    """Load a model folder; nothing in it can run code.

    Args:
        model: a model folder, a run, or the name of a model that comes with footage.
        device: where to compute; `auto` takes the best there is.

    Raises:
        ModelError: the folder is missing, damaged, tampered with, or made by a newer version.
    """
    from footage.generation.model import Model

    return Model(model, device)


def models(folder: Path = Path("."), *, quiet: bool = False) -> list[Path]:
    """List the presets, the models that come with footage, and those in a folder, with what each can do.

    Args:
        folder: where to look for models, with all its subfolders.
        quiet: print nothing.

    Returns:
        The model folders.
    """
    from rich.table import Table

    from footage.models.card import model_folder, pretrained

    console = make_console(quiet)
    table = Table("preset", "what it is", title="presets, for: footage train DATA --preset NAME", title_justify="left")
    for name, entry in PRESETS.items():
        table.add_row(name, entry.about)
    console.print(table)
    shipped = {name: model_folder(name) for name in pretrained()}
    console.print(_models_table("models that come with footage", shipped))
    own = sorted(path.parent for path in Path(folder).rglob("model.json"))
    nothing = f"no models in {folder}; train one with: footage train DATA"
    console.print(_models_table(f"models in {folder}", {str(path): path for path in own}) if own else nothing)
    return own


def _models_table(title: str, folders: Mapping[str, Path]) -> Table:
    """Lay out what models can do and make, or why they are refused."""
    from rich.table import Column, Table

    from footage.models.card import read_info

    model, columns = Column("model", overflow="fold"), ("for: footage …", "clips", "labels", "sliders", "trained on")
    table = Table(model, *columns, title=title, title_justify="left")
    for name, path in folders.items():
        try:
            info = read_info(path)
        except ModelError as error:
            table.add_row(name, "", "", "", "", f"refused: {error}")
            continue
        clip = info.config.clip
        colours = "RGB" if clip.channels == 3 else "grey"
        table.add_row(
            name,
            ", ".join(info.use.verbs),
            f"{clip.frames} × {clip.width}×{clip.height}, {colours}, {info.fps:g} fps",
            ", ".join(info.labels) or "–",
            f"{info.sliders or '–'}",
            f"{info.dataset}, {info.clips_seen:,} clips",
        )
    return table
