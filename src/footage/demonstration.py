"""A first look: train a small model on moving shapes, generate with it, and say where everything is."""

from __future__ import annotations

import shlex
import shutil
from pathlib import Path

from footage import api
from footage.console import make_console
from footage.presets import preset

CLIPS = 16
"""Clips that are generated at the end."""


def demo(to: Path = Path("demo"), *, minutes: float = 3.0, quiet: bool = False) -> Path:
    """Train a small model on moving shapes, generate 16 clips with it, and say what to try next.

    Args:
        to: folder for everything.
        minutes: minutes to train, over the whole life of the demo's run.
        quiet: print nothing.

    Returns:
        The contact sheet; the folder, where the training was stopped.
    """
    console, to = make_console(quiet), Path(to)
    console.rule("footage demo")
    console.print(
        f"Training a small video generator on moving shapes for {minutes:g} minutes; then it makes {CLIPS} clips.\n",
        highlight=False,
    )
    run = api.train("shapes", preset("conv3d-32"), out=to / "run", minutes=minutes, quiet=quiet)
    if run.interrupted:
        return to
    console.print()
    api.generate(run.path, to / "clips", count=CLIPS, device="cpu", quiet=quiet)
    for made, name in ((to / "clips" / "sheet.png", "sheet.png"), (run.path / "curves.png", "curves.png")):
        shutil.copyfile(made, to / name)
    model = shlex.quote(str(run.path))
    console.print(
        f"""
Where things are
  {to}/sheet.png     contact sheet: a row is a clip, time runs to the right
  {to}/curves.png    how the training went
  {to}/clips/        {CLIPS} clips as mp4
  {to}/run/samples/  what the model made while it learned
  {to}/run/model/    the model: all that `generate` needs, yours to keep

What to try next
  footage generate {model} --to more --count 100 --label circle --frames 64
  footage play {model}
  footage demo --minutes 10          train the same model on
  footage ingest MY_VIDEOS --to my-data
  footage train my-data --minutes 30
""",
        highlight=False,
        soft_wrap=True,
    )
    return to / "sheet.png"
