"""The verb that shows a model's endless video as it is made."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from footage.commands.loading import load
from footage.commands.making import Device
from footage.commands.terminal import make_console
from footage.errors import ConfigError
from footage.models.requests import PLAIN, Duration, Timing, parse_duration

if TYPE_CHECKING:
    from footage.generation.player import Performance

SHOWN = 512
"""Pixels of the longer side on the page, about, where no scale is given."""
MOST_FPS = 1000.0
"""Frames a second that can be asked for."""


def play(
    model: Path,
    *,
    fps: float | None = None,
    seed: int = 0,
    label: str | None = None,
    sliders: str | None = None,
    seconds: Duration | None = None,
    port: int = 0,
    scale: int | None = None,
    terminal: bool = False,
    headless: bool = False,
    chunk: int | None = None,
    timing: Timing = PLAIN,
    device: Device = "auto",
    quiet: bool = False,
) -> Performance:
    """Show an endless video while it is made: on a page of this computer, or in the terminal. Ctrl-C ends it.

    The page says how many frames are made a second and how long each takes, and changes seed and label.

    Args:
        model: a model folder, or a run.
        fps: frames a second; left out, those of the training data. Models that stream move as fast at any rate.
        seed: of the video.
        label: its class, or a mixture such as circle+square; left out, one as often as in the training data.
        sliders: how far latent sliders are moved, such as 1=2,3=-1.5; see footage sliders.
        seconds: end after this long; left out, go on for ever.
        port: of the page, on 127.0.0.1; 0 for any that is free.
        scale: pixels of the page for one of the video; left out, as fits.
        terminal: show it in the terminal instead, as coloured half blocks.
        headless: show nothing, and only say how fast frames are made.
        chunk: frames that a model that streams makes at once: 1, which is meant when left out, gives the shortest wait,
            more go faster.
        timing: loops, slow motion, where to begin and so on, of models that stream.
        device: where to compute.
        quiet: print nothing.

    Returns:
        How fast frames were made.
    """
    from footage.generation.player import Page, Producer, watch
    from footage.models.base import Streams

    console = make_console(quiet)
    if terminal and not sys.stdout.isatty():
        raise ConfigError("--terminal is asked for, and the output is no terminal", "leave it out, or give --headless")
    if terminal and headless:
        raise ConfigError("--terminal and --headless are asked for", "leave one of the two out")
    for name, value, low, high in (("fps", fps, 0.01, MOST_FPS), ("port", port, 0, 65535), ("scale", scale, 1, 64)):
        if value is not None and not low <= value <= high:
            raise ConfigError(f"{name} is {value}", f"give {low:g} to {high:g}")
    limit = None if seconds is None else parse_duration(seconds, "seconds")
    loaded = load(model, device)

    at_once = (1 if isinstance(loaded.generator, Streams) else None) if chunk is None else chunk

    def source(seed: int, label: str | None) -> Iterator[Any]:
        return loaded.stream(fps, seed=seed, label=label, sliders=sliders, timing=timing, chunk=at_once)

    producer = Producer(source, fps or loaded.info.fps, seed, label, chunk=at_once or loaded.generator.hop)
    page = None
    if not (terminal or headless):
        clip = loaded.info.config.clip
        page = Page(producer, loaded.labels, scale or max(1, SHOWN // max(clip.height, clip.width)), port)
        page.start()
        console.print(f"{loaded.info.name} plays at {page.address} until Ctrl-C is pressed", highlight=False)
    try:
        found = watch(producer, limit, sys.stdout if terminal else None)
    finally:
        if page is not None:
            page.stop()
    console.print(_said(found), highlight=False)
    return found


def _said(found: Performance) -> str:
    if found.latency_p50_ms is None:
        return "no frame was made"
    return (
        f"{found.frames:,} frames, {found.achieved_fps:.1f} a second of {found.asked_fps:g} asked for; each took "
        f"{found.latency_p50_ms:.1f} ms (median), {found.latency_p99_ms:.1f} ms (99th percentile); "
        f"the first came after {found.first_frame_ms:.0f} ms"
    )
