"""A first look: generate with a model that comes along, train one, generate with it, and say where everything is."""

from __future__ import annotations

import shlex
import shutil
from pathlib import Path

from footage import commands
from footage.commands.terminal import make_console
from footage.config.presets import preset

READY, PRESET = "stream-shapes", "stream-32"
"""The model that comes with footage, and what is trained."""
FIRST, CLIPS = 4, 16
"""Clips that are generated at the beginning, and at the end."""


def demo(to: Path = Path("demo"), *, minutes: float = 3.0, quiet: bool = False) -> Path:
    """Generate with a model that comes with footage, train one on moving shapes, and say what to try next.

    Args:
        to: folder for everything.
        minutes: minutes to train, over the whole life of the demo's run.
        quiet: print nothing.

    Returns:
        The contact sheet; the folder, where the training was stopped.
    """
    console, to = make_console(quiet), Path(to)
    console.rule("footage demo")
    console.print(f"First, {FIRST} clips of the model {READY}, which comes with footage.\n", highlight=False)
    commands.generate(Path(READY), to / "first", count=FIRST, seconds=4, device="cpu", quiet=quiet)
    console.print(
        f"\nTraining a small video generator on moving shapes for {minutes:g} minutes; then it makes {CLIPS} clips.\n",
        highlight=False,
    )
    run = commands.train("shapes", preset(PRESET), out=to / "run", minutes=minutes, quiet=quiet)
    if run.interrupted:
        return to
    console.print()
    commands.generate(run.path, to / "clips", count=CLIPS, device="cpu", quiet=quiet)
    for made, name in ((to / "clips" / "sheet.png", "sheet.png"), (run.path / "curves.png", "curves.png")):
        shutil.copyfile(made, to / name)
    model = shlex.quote(str(run.path))
    console.print(
        f"""
Where things are
  {to}/first/        {FIRST} clips of {READY}
  {to}/sheet.png     contact sheet: a row is a clip, time runs to the right
  {to}/curves.png    how the training went
  {to}/clips/        {CLIPS} clips as mp4
  {to}/run/samples/  what the model made while it learned
  {to}/run/model/    the model: all that `generate` needs, yours to keep

What to try next
  footage generate {model} --to more --count 100 --label circle --frames 64
  footage generate {READY} --to film --count 1 --seconds 60
  footage play {model}
  footage demo --minutes 10          train the same model on
  footage ingest MY_VIDEOS --to my-data
  footage train my-data --minutes 30
""",
        highlight=False,
        soft_wrap=True,
    )
    return to / "sheet.png"
