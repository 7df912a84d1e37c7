"""Verbs about what lies behind a model's clips: codes of clips, and the sliders that move codes."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import TYPE_CHECKING, Any

from footage.commands.loading import load
from footage.commands.making import Device
from footage.commands.terminal import make_console
from footage.errors import ConfigError
from footage.models.requests import PLAIN, Timing

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from footage.generation.model import Model

PLACES = (-3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0)
"""Values that sliders are shown at."""


def sliders(
    model: Path,
    to: Path | None = None,
    *,
    count: int = 8,
    seed: int = 0,
    label: str | None = None,
    timing: Timing = PLAIN,
    device: Device = "auto",
    quiet: bool = False,
) -> Path:
    """Show what a model's latent sliders do: a picture with a row for each, moved from -3 to 3 in one clip.

    The first changes most. They are found without training (SeFa); what each means is for people to see and name.

    Args:
        model: a model folder, or a run.
        to: the .png file to write; left out, NAME-sliders.png here.
        count: how many sliders, from the first.
        seed: of the clip; what is shown is the frame in its middle.
        label: its class, or a mixture such as circle+square; left out, one as often as in the training data.
        timing: where to look and so on, of models that stream.
        device: where to compute.
        quiet: print nothing.

    Returns:
        The file written.
    """
    from footage.media.sheets import save_picture, table

    console = make_console(quiet)
    loaded = load(model, device)
    target = Path(f"{loaded.info.name}-sliders.png") if to is None else Path(to)
    if target.suffix.lower() != ".png":
        raise ConfigError(f'to is "{target}"', "give a file that ends in .png")
    if count < 1:
        raise ConfigError(f"count is {count}", "give at least 1")
    known = loaded.generator.sliders
    loaded.moved({1: 0.0})  # complains of a model without any
    count = min(count, known)
    plain = _middle(loaded, seed, label, timing, {})
    with console.status("generating"):
        rows = [
            [_middle(loaded, seed, label, timing, {number: place}) if place else plain for place in PLACES]
            for number in range(1, count + 1)
        ]
    save_picture(
        target,
        table(rows, [str(n) for n in range(1, count + 1)], [f"{place:+g}" if place else "0" for place in PLACES]),
    )
    console.print(f"{count} of {known} sliders of {loaded.info.name}: {target}", highlight=False)
    return target


def _middle(
    loaded: Model, seed: int, label: str | None, timing: Timing, values: dict[int, float]
) -> npt.NDArray[np.uint8]:
    """Return the frame (H, W, C) in the middle of a clip whose sliders have these values."""
    (clip,) = loaded.generate(1, seed=seed, label=label, sliders=values, timing=timing)
    assert clip.frames is not None
    frames = itertools.chain.from_iterable(clip.chunks())
    found: npt.NDArray[np.uint8] = next(itertools.islice(frames, clip.frames // 2, None))
    return found


def embed(
    model: Path, videos: tuple[Path, ...], to: Path, *, device: Device = "auto", quiet: bool = False
) -> dict[str, Any]:
    """Write each clip's place in a VAE's latent space: clips that look and move alike lie near each other.

    Args:
        model: a model folder, or a run.
        videos: videos, or folders of pictures.
        to: the .npz file to write: `names` (N,) and `vectors` (N, D), float32, for `numpy.load`.
        device: where to compute.
        quiet: print nothing.

    Returns:
        The vector of each clip, by its path.
    """
    import numpy as np

    from footage import files
    from footage.commands.terminal import tracked

    console, to = make_console(quiet), Path(to)
    if to.suffix != ".npz":
        raise ConfigError(f'to is "{to}"', "give a file that ends in .npz")
    loaded = load(model, device)
    found = {str(clip): loaded.embed(clip) for clip in tracked(videos, len(videos), "embedding", console)}
    with files.replacing(to) as temporary, open(temporary, "wb") as handle:
        np.savez(handle, names=np.array(list(found)), vectors=np.stack(list(found.values())))
    console.print(f"{len(found):,} clips, {len(next(iter(found.values())))} numbers each: {to}", highlight=False)
    return found
