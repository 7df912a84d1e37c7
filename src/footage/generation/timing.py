"""Lengths of videos, and the mapping from their frames to a model's time, from what a user asks for."""

from __future__ import annotations

from footage.errors import ConfigError
from footage.generation.rollout import SEED_LIMIT
from footage.models.base import Generates, Streams
from footage.models.generators.stream.sampler import loop_frames
from footage.models.requests import Duration, TimeMapping, Timing, parse_duration, parse_factor

MOST_FRAMES = 2**33
"""Times below this many frames are exact: in float64 they are whole ticks of 2^-20 (`methods.streaming.TICK`)."""
MOST_SLOW = 1000.0
"""How much slower, or faster, than normal a video can be asked for."""
MOST_RATE = 2.0**20
"""Most frames of the model from one frame of the video to the next, and the inverse of the fewest."""


def time_mapping(timing: Timing, fps: float, *, played: float | None = None, between: bool = False) -> TimeMapping:
    """Return the mapping from a video's frames to a model's time.

    Args:
        timing: what is asked for.
        fps: frames a second that the model was trained on.
        played: frames a second of the video, whose motion is as fast at any; None for those of the training.
        between: whether motion, too, goes from one seed to another.

    Raises:
        ConfigError: a value cannot be read, or is out of range.
    """

    def frames(duration: Duration | None, name: str) -> float:
        found = 0.0 if duration is None else parse_duration(duration, name) * fps
        if found >= MOST_FRAMES:
            raise ConfigError(f'{name} is "{duration}"', f"give less than {MOST_FRAMES / fps / 3600:,.0f}h")
        return found

    slow = 1.0 if timing.slow is None else parse_factor(timing.slow, "slow")
    if not 1 / MOST_SLOW <= slow <= MOST_SLOW:
        raise ConfigError(f'slow is "{timing.slow}"', f"give {1 / MOST_SLOW:g}x to {MOST_SLOW:g}x")
    played = fps if played is None else played
    low, high = fps / slow / MOST_RATE, fps / slow * MOST_RATE
    if not low <= played <= high:
        raise ConfigError(f"fps is {played}", f"give {low:.2g} to {high:.2g}")
    mapping = TimeMapping(
        start=frames(timing.seek, "seek"),
        rate=fps / played / slow,
        loop=frames(timing.loop, "loop"),
        motion_seed=None if timing.motion_seed is None else timing.motion_seed % SEED_LIMIT,
        strength=timing.strength,
        truncation=timing.truncation,
        drift=frames(timing.drift, "drift"),
        between=between,
    )
    if timing.motion_seed is not None and timing.motion_seed < 0:
        raise ConfigError(f"motion_seed is {timing.motion_seed}", "give at least 0")
    for duration, name, least in ((timing.loop, "loop", 2.0), (timing.drift, "drift", 1.0)):
        if duration is not None and frames(duration, name) < least:
            remedy = f"give at least {least / fps:.2g}s, {least:g} frame{'' if least == 1 else 's'}, or leave it out"
            raise ConfigError(f'{name} is "{duration}"', remedy)
    return mapping


def length_of(mapping: TimeMapping, *, frames: int | None, duration: Duration | None, fps: float, known: int) -> int:
    """Return how many frames a video is to have.

    Args:
        mapping: from its frames to the time of the model.
        frames: what was asked for, in frames.
        duration: what was asked for, as it plays.
        fps: frames a second when it is played.
        known: frames of the clips that the model was trained on.

    Raises:
        ConfigError: both were asked for, or less than a frame, or more than can be timed.
    """
    if duration is not None:
        if frames is not None:
            raise ConfigError(f'frames is {frames}, and seconds is "{duration}"', "leave one of the two out")
        found = parse_duration(duration, "seconds") * fps
        if found < MOST_FRAMES and round(found) < 1:
            raise ConfigError(f'seconds is "{duration}"', f"give at least {1 / fps:.2g}s, one frame")
        length = MOST_FRAMES if found >= MOST_FRAMES else round(found)
    elif frames is not None:
        length = frames
    else:
        length = loop_frames(mapping) if mapping.loop else known
    _check_end(mapping, length)
    return length


def _check_end(mapping: TimeMapping, length: int) -> None:
    """Refuse a video of which not all frames can be counted and timed.

    Raises:
        ConfigError: it is one.
    """
    if length >= MOST_FRAMES:
        raise ConfigError(f"the video has {length:,} frames or more", f"ask for fewer than {MOST_FRAMES:,}")
    end = mapping.start + length * mapping.rate
    if not mapping.loop and end >= MOST_FRAMES:
        raise ConfigError(
            f"the video ends at frame {end:,.0f} of the model's time",
            f"ask for less or seek less far: it is timed up to frame {MOST_FRAMES:,}",
        )


def refuse(sampler: Generates, name: str, timing: Timing, *, between: bool = False) -> None:
    """Refuse what only models that stream can do, of a model that cannot.

    Raises:
        ConfigError: it was asked for.
    """
    given = [*timing.given(), *(["between"] if between else [])]
    if given and not isinstance(sampler, Streams):
        flags = " and ".join(f"--{flag.replace('_', '-')}" for flag in given)
        raise ConfigError(
            f"{flags} {'is' if len(given) == 1 else 'are'} asked for, and frames of {name} are no function of time",
            f"leave {'it' if len(given) == 1 else 'them'} out, or train a model that streams with --preset stream-64",
        )
