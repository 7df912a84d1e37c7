"""Every figure of one model beside real clips: of what it makes of them, and of what it makes from nothing."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from typing import Any

from rich.table import Table

from footage.config.tasks import guides
from footage.data.clips import ClipSource
from footage.data.store import Split
from footage.errors import ConfigError, DatasetError
from footage.evaluation import feature_nets, measure_model, reference
from footage.fidelity import measure_fidelity
from footage.methods.base import Converts, Generates, Predicts
from footage.model import Model

WORDS = {
    "mse": "squared error, summed over a frame",
    "mae": "absolute error, summed over a frame",
    "psnr": "PSNR, dB",
    "ssim": "SSIM",
}


def measure(
    model: Model, source: ClipSource, *, split: Split, count: int, samples: int = 1, seed: int = 0
) -> dict[str, Any]:
    """Measure a model on real clips.

    Args:
        model: the model.
        source: where real clips come from.
        split: which of them are given to a model that predicts or converts; samples stand beside both, see
            `footage.evaluation.reference`.
        count: windows of real clips, and clips that are made.
        samples: futures, or translations, of each.
        seed: of everything random.

    Returns:
        `about`: what was measured on what; `fidelity`: see `footage.fidelity.measure_fidelity`, where the model
        predicts or converts; `samples`: see `footage.evaluation.compare`, with their floor, where it
        makes clips from nothing.

    Raises:
        ConfigError: the clips have another size than the model's, or another guide, or a model that has one answer is
            asked for more.
        DatasetError: no clip is long enough.
    """
    clip, sampler = model.info.config.clip, model.sampler
    answers = isinstance(sampler, Predicts | Converts)
    _check(model, source, samples)
    spans = [span for span in source.spans(split) if span.frames >= clip.frames]
    if answers and not spans:
        raise DatasetError(
            f'{source.name} has no clip of {clip.frames} frames in split "{split}"', "give another --split"
        )
    found: dict[str, Any] = {
        "about": {
            "model": model.info.name,
            "preset": model.info.config.preset,
            "weights_sha256": model.info.weights_sha256,
            "clips_seen": model.info.clips_seen,
            "data": source.name,
            "content_hash": source.content_hash,
            "split": split if answers else None,
            "seed": seed,
        }
    }
    if answers:
        found["fidelity"] = measure_fidelity(model, source, spans, count=count, samples=samples, seed=seed)
    if isinstance(sampler, Generates):
        real = reference(source, feature_nets(clip.channels), frames=clip.frames, count=count, keep=0, seed=seed)
        figures, _ = measure_model(model, source, real, count=count, seed=seed)
        found["samples"] = {"figures": figures, "floor": real.floor, "floor_how": real.how, "clips": count}
    return found


def _check(model: Model, source: ClipSource, samples: int) -> None:
    """Refuse clips that are not the model's kind, and tries that would all be the same."""
    config, sampler, name = model.info.config, model.sampler, model.info.name
    clip, wanted = config.clip, guides(config.method, config.task)
    if source.guides != wanted:
        there = _channels(source.guides)
        if not source.guides:
            what, remedy = "there is none", "give --guide DATASET"
        elif not wanted:
            what, remedy = f"{source.name} has one of {there}", "leave --guide out"
        else:
            what = f"that of {source.name} has {there}"
            remedy = f"give --guide DATASET with clips that were ingested with --channels {wanted}"
        learned = f"{name} learned from a guide of {_channels(wanted)}" if wanted else f"{name} takes no guide"
        raise ConfigError(f"{learned}, and {what}", remedy)
    height, width, channels = source.shape
    if (height, width, channels - wanted) != (clip.height, clip.width, clip.channels):
        raise ConfigError(
            f"{source.name} has frames of {width}×{height} with {_channels(channels - wanted)}, "
            f"{name} knows {clip.width}×{clip.height} with {clip.channels}",
            "ingest the clips again for it",
        )
    if samples > 1 and isinstance(sampler, Predicts) and sampler.certain:
        raise ConfigError(f"samples is {samples}, and {name} knows one future only", "give --samples 1")
    if samples > 1 and isinstance(sampler, Converts) and sampler.source.frames != 1:
        raise ConfigError(f"samples is {samples}, and {name} has one answer to each clip only", "give --samples 1")
    if samples > 1 and not isinstance(sampler, Predicts | Converts):
        raise ConfigError(f"samples is {samples}, and {name} is given no clips to answer", "give --samples 1")


def _channels(number: int) -> str:
    return f"{number} channel{'' if number == 1 else 's'}"


def table(found: Mapping[str, Any]) -> Table:
    """Return the figures of `measure` for the terminal."""
    about = found["about"]
    shown = Table("figure", "model", title=f"{about['model']} on {about['data']}")
    shown.title_justify = "left"
    if "fidelity" in found:
        figures = found["fidelity"]
        more = [name for name in ("best", "plain") if name in figures]
        for name in more:
            shown.add_column({"best": f"best of {figures['samples']}", "plain": "plain answer"}[name])
        shown.add_row("clips that it is given", about["split"])
        for name, words in WORDS.items():
            shown.add_row(words, *(f"{figures[kind][name]:.4g}" for kind in ("model", *more)))
        for name, words in (("sharpness_ratio", "sharpness, made / real"), ("motion_ratio", "motion, made / real")):
            shown.add_row(words, _ratio(figures[name]))
        shown.add_row("RFD-rand from the same real clips", _mean(figures["rfd"]))
    if "samples" in found:
        made, floor = found["samples"]["figures"], found["samples"]["floor"]
        shown.add_section()
        rows = {name: words for name, words in _SAMPLES.items() if name in made}
        shown.add_row("RFD-rand of samples (real against real)", f"{_mean(made['rfd'])} ({_mean(floor['rfd'])})")
        for name, words in rows.items():
            shown.add_row(words, f"{_ratio(made[name])} ({_ratio(floor[name])})")
    return shown


_SAMPLES = {
    "motion_ratio": "motion of samples, made / real",
    "motion_distance": "distance of motion",
    "diversity_ratio": "variety of samples, made / real",
    "contrast_ratio": "contrast of samples, made / real",
    "sharpness_ratio": "sharpness of samples, made / real",
}


def _ratio(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _mean(values: list[float] | None) -> str:
    return "–" if values is None else f"{statistics.mean(values):.4g}"
