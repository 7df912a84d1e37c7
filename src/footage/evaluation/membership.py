"""What a model tells of the clips that it was trained on: who can say of a clip that it was among them, and of which.

Scores, each higher for clips that were trained on, if it tells anything at all:

- how near the nearest of many generated clips comes to a clip, as a part of how near real clips of other sources come
  (GAN-Leaks, Chen et al. 2020, eq. 4 and section 4.4; other real clips stand for its reference model): in small copies
  of the pixels, in features of a network that did not train the model, frame by frame, and of what changes from frame
  to frame alone (VidLeaks 2026: sparse frames and motion tell what whole videos do not);
- the critics' logits, where the run that the model stands in has kept them (LOGAN, Hayes et al. 2019).

Clips that were held out, or others of the same kind, show what such scores are without training.
"""

from __future__ import annotations

import contextlib
import functools
import math
import tempfile
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from footage import __version__
from footage.data.clips import ClipSource, Span, Window, named_one_by_one
from footage.data.store import Frames
from footage.errors import ConfigError, ModelError, counted
from footage.evaluation.clip_sets import ClipSet, ClipShape, GeneratedClips, RealClips, one_clip
from footage.evaluation.feature_cache import SMALL_COPIES, FeatureCache, StepSeconds, extract_features, feature_readers
from footage.evaluation.features import Extractor
from footage.evaluation.features.catalogue import RANDOM, extractors
from footage.evaluation.features.pretrained import CELL
from footage.evaluation.inputs import EvaluationInput
from footage.evaluation.memorisation import REPEATED
from footage.evaluation.report.content import write_samples
from footage.generation.model import Model
from footage.generation.rollout import from_uint8
from footage.metrics.bootstrap import FALSE_POSITIVES, LEVEL, Separation, chance_of_lowest, separate
from footage.metrics.clip_vectors import small_shape
from footage.metrics.distances import nearest
from footage.models.adversarial.critics import Critics
from footage.models.base import Generates
from footage.models.card import ModelInfo
from footage.models.checkpoint import read_state
from footage.pages.environment import write_page
from footage.trust.locks import check_plain

MOST = 512
"""Clips of each side that are looked at, at most."""
WINDOWS = 3
"""Windows of a clip, evenly spaced from its beginning to its end, at most: of members and others alike."""
STILLEST = 1e-3
"""Part of the usual distance to other real clips that counts where a clip has a twin there."""
LOOKS = 4
"""Choices of frames that a critic of sparse frames is shown."""
WORST = 12
"""Pairs that are shown."""
NAMED = 6
"""Sources that the advice names."""

Vectors = npt.NDArray[Any]


@dataclass(frozen=True)
class MembershipAttack:
    """One way to tell who was trained on, and how well it does."""

    name: str
    """`pixels`, `key frames`, `motion`, `critics`, or the names of feature networks."""
    about: str
    separation: Separation
    tells: bool
    """Whether it does better than chance, by a permutation test over sources; see `PrivacyAudit.level`."""


@dataclass(frozen=True)
class ExposedPair:
    """A clip that was trained on, and what comes nearest to it of all that was generated."""

    clip: str
    source: str
    start: int
    """First frame of the window."""
    seed: int
    """Of the generated clip."""
    space: str
    ratio: float
    """Of its distance to that usual of clips that were not trained on, both as parts of those to other real clips."""
    recognised: bool
    """Whether it is below REPEATED in a space, and below that of every clip that was not trained on, and more are than
    by chance."""


@dataclass(frozen=True)
class SourceExposure:
    """What the model tells of one source."""

    source: str
    clips: int
    recognised: int
    """Clips that can be recognised."""
    ratio: float
    """The least of its clips' ratios."""
    copies: dict[str, int]
    """Generated clips that repeat it, by space: less than half as far from it as unseen clips are from members."""


@dataclass(frozen=True)
class PrivacyAudit:
    """What `footage privacy` has found."""

    model: str
    data: str
    members: int
    member_sources: int
    others: int
    other_sources: int
    made: int
    level: float
    """Of each interval, and of each test: all of them together hold LEVEL of the time (Bonferroni)."""
    attacks: tuple[MembershipAttack, ...]
    sources: tuple[SourceExposure, ...]
    """Those that can be recognised or are repeated, worst first."""
    pairs: tuple[ExposedPair, ...]
    notes: tuple[str, ...]
    """What has to be known before any figure is believed."""
    guarantee: dict[str, Any] | None = None
    """What the model's card says of differential privacy."""
    doubtful: int = 0
    """Clips that come nearer than any unseen one and yet are not recognised: as many do by chance, or nobody knows."""
    doubt: float = 1.0
    """How often as many of them do by chance, in the space where that is least; 1 where no unseen clip is of their
    labels."""

    @property
    def recognised(self) -> int:
        return sum(source.recognised for source in self.sources)

    @property
    def advice(self) -> str:
        """What to do, in a sentence."""
        exposed = [source.source for source in self.sources if source.recognised]
        telling = [attack for attack in self.attacks if attack.tells]
        if exposed:
            more = f" and {len(exposed) - NAMED} more" if len(exposed) > NAMED else ""
            return (
                f"{self.recognised} of {counted(self.members, 'clip')} can be recognised: train shorter, augment, "
                f"or leave these out: {', '.join(exposed[:NAMED])}{more}"
            )
        if telling:
            best = max(telling, key=lambda attack: attack.separation.auc)
            return (
                f"no single clip stands out, but scores by {best.name} tell the clips of the training from others "
                f"(AUC {best.separation.auc:.2f}): train shorter, augment, or train with --privacy.epsilon"
            )
        if self.doubtful:
            unseen = counted(self.other_sources, "unseen source")
            but = f"beside {unseen} as many do by chance ({self.doubt:.0%} of the time)"
            but = but if self.doubt < 1 else "no unseen clip has their labels"
            return (
                f"no clip is named: {counted(self.doubtful, 'clip comes', 'clips come')} nearer than any unseen one, "
                f"but {but}; give more unseen clips of the same kinds: --held-out DATA, or footage ingest --heldout"
            )
        if math.comb(self.member_sources + self.other_sources, self.member_sources) * (1 - self.level) < 1:
            sides = f"{counted(self.member_sources, 'source')} beside {self.other_sources}"
            return f"no clip stands out; {sides} are too few to say more"
        return (
            "nothing was found that tells clips that were trained on from others, which is no proof that nothing does"
        )


@dataclass(frozen=True)
class _RealSide:
    """Clips that were trained on, or others: their windows."""

    clips: RealClips
    spans: tuple[Span, ...]
    owner: Tensor
    """Number of the clip of each window, (W,)."""

    @property
    def sources(self) -> list[str]:
        return [self.source_of(span) for span in self.spans]

    def source_of(self, span: Span) -> str:
        """Return what a clip was cut from; of what is drawn, the data set with the clip's number."""
        return span.source if span.name or span.file else f"{self.clips.source.name} {span.index}"

    @functools.cached_property
    def repeated(self) -> frozenset[str]:
        """Names that several clips have."""
        return frozenset(name for name, times in Counter(span.name for span in self.spans).items() if times > 1)

    def name_of(self, span: Span) -> str:
        """Return a clip's name, with its number where it has none, or other folders have clips of the same."""
        name = span.name or self.clips.source.name
        return f"{name} {span.index}" if not span.name or name in self.repeated else name

    @functools.cached_property
    def kinds(self) -> dict[str, str]:
        """The label of each source, of its first clip that has one; empty where none has."""
        names = self.clips.source.labels
        told = {self.source_of(span): names[span.label] for span in reversed(self.spans) if span.label >= 0}
        return dict.fromkeys(self.sources, "") | told

    def known(self, labels: Sequence[str]) -> dict[int, int]:
        """Return the clips whose label a model knows, in their order: number -> class; of one without labels all."""
        names = self.clips.source.labels
        told = [names[span.label] if span.label >= 0 else None for span in self.spans]
        return {
            row: labels.index(name) if labels else -1 for row, name in enumerate(told) if not labels or name in labels
        }

    @classmethod
    def of(cls, source: ClipSource, spans: Sequence[Span], shape: ClipShape, seed: int) -> _RealSide:
        """Cut windows of clips that are long enough, of MOST of them at random."""
        rng = np.random.Generator(np.random.Philox(key=[seed, 0x3E3B]))
        fitting = [span for span in spans if span.frames >= shape.frames]
        chosen = tuple(fitting[number] for number in sorted(rng.permutation(len(fitting))[:MOST].tolist()))
        windows, owner = list[Window](), list[int]()
        for number, span in enumerate(chosen):
            last = span.frames - shape.frames
            starts = np.unique(np.linspace(0, last, min(WINDOWS, last + 1)).round().astype(int)).tolist()
            windows += [Window(span, start) for start in starts]
            owner += [number] * len(starts)
        return cls(RealClips(source, windows, shape), chosen, torch.tensor(owner))

    def scores(self, known: Mapping[int, int], critics: Critics, seed: int) -> Tensor:
        """Return the mean logit of some clips, with their classes, by each critic, over their windows: (N, critics)."""
        rows = [row for row, owner in enumerate(self.owner.tolist()) if owner in known]
        chosen, owners = self.clips.others([self.clips.windows[row] for row in rows]), self.owner[rows]
        scores = torch.empty(len(rows), len(critics.nets), dtype=torch.float64)
        for numbers, frames in chosen.batches(range(chosen.count)):
            classes = torch.tensor([known[int(owner)] for owner in owners[numbers]])
            labels = classes if (classes >= 0).all() else None
            scores[torch.from_numpy(numbers)] = critics.scores(from_uint8(frames), labels, LOOKS, seed)
        return torch.stack([scores[owners == row].mean(dim=0) for row in known])

    def lowest(self, values: Tensor) -> tuple[Tensor, Tensor]:
        """Return the lowest value of each clip's windows (W,), and the window that has it: (N,) each."""
        count = len(self.spans)
        least = torch.full((count,), math.inf).double().scatter_reduce(0, self.owner, values, "amin")
        order = values.argsort(descending=True)  # what comes last stays
        window = torch.zeros(count, dtype=torch.int64)
        for row in order.tolist():
            window[self.owner[row]] = row
        return least, window


@dataclass(frozen=True)
class _Space:
    """Vectors of all windows in which they are compared."""

    name: str
    about: str
    rows: Sequence[Vectors]
    """Of what was generated, of members, and of others: (W, D) each, or `each` times as many."""
    each: int = 1
    """Vectors of a window."""
    names_clips: bool = True
    """Whether a clip that comes near in it is recognised."""
    whole: bool = False
    """Whether copies are counted in it."""


@dataclass(frozen=True)
class _Nearness:
    """How near what was generated comes to each clip in a space, as a part of what is usual for others."""

    space: _Space
    members: Tensor
    """(M,)."""
    others: Tensor
    """(N,)."""
    windows: Tensor
    """The window of each member that is nearest, (M,)."""
    made: Tensor
    """The generated clip that is nearest to that, (M,)."""
    plain: Tensor
    """The distance to each member itself, as a part of what is usual for others, (M,)."""

    @classmethod
    def of(cls, space: _Space, sides: Sequence[_RealSide]) -> _Nearness | None:
        """Compare members and others in a space; None where real clips do not differ in it."""
        names = [side.sources[number] for side in sides for number in side.owner.tolist()]
        known = {name: number for number, name in enumerate(dict.fromkeys(names))}
        groups = torch.tensor([known[name] for name in names]).repeat_interleave(space.each)
        made, *known_rows = space.rows
        real = np.concatenate(known_rows)
        gaps, numbers = (found[:, 0] for found in nearest(real, made))
        usual = nearest(real, real, groups=(groups, groups))[0][:, 0]
        middle = float(usual.median())
        if not 0 < middle < math.inf:
            return None
        ratios = (gaps / usual.clamp(min=STILLEST * middle)).view(-1, space.each)  # W k
        numbers = numbers.view(-1, space.each).gather(1, ratios.argmin(dim=1, keepdim=True))[:, 0] // space.each
        distances = gaps.view(-1, space.each)
        values, plain = (
            of.topk(-(-space.each // 2), dim=1, largest=False).values.mean(dim=1) for of in (ratios, distances)
        )
        count = len(sides[0].owner)
        parts = [(part[:count], part[count:]) for part in (values, plain)]
        (members, windows), (others, _) = (side.lowest(part) for side, part in zip(sides, parts[0], strict=True))
        own, usual_own = (side.lowest(part)[0] for side, part in zip(sides, parts[1], strict=True))
        scale = others.median().clamp(min=STILLEST)
        own = own / usual_own.median().clamp(min=STILLEST * middle)
        return cls(space, members / scale, others / scale, windows, numbers[windows], own)

    @property
    def near(self) -> Tensor:
        """Whether each member stands out, (M,): also by itself, since a clip unlike all others has a low ratio too."""
        near = (self.members < REPEATED) & (self.plain < REPEATED)
        return near & (self.members < self.others.min()) & self.space.names_clips

    def chance(self, sources: Sequence[Sequence[str]], kinds: Sequence[Mapping[str, str]], seed: int) -> float:
        """Return how often as many sources of members stand out by chance as do: 1 where none does.

        Args:
            sources: of members (M,) and of others (N,).
            kinds: what the sources of either are compared by, of those that can be judged.
            seed: of the draws.
        """
        values, named = list[list[float]](), list[list[str]]()
        for names, clips, known in zip(sources, (self.members, self.others), kinds, strict=True):
            least: dict[str, float] = {}
            for source, value in zip(names, clips.tolist(), strict=True):
                if source in known:
                    least[source] = min(value, least.get(source, math.inf))
            values.append(list(least.values()))
            named.append([known[source] for source in least])
        out = {source for source, near in zip(sources[0], self.near.tolist(), strict=True) if near} & kinds[0].keys()
        return chance_of_lowest(values[0], values[1], len(out), named, seed=seed) if out else 1.0


class PrivacyAuditor:
    """Compares what a model makes with clips that it was trained on, and with others.

    Args:
        model: makes clips from nothing.
        data: what it was trained on; clips that were held out are the others.
        heldout: others, where the data hold none out.
        count: clips that are generated.
        networks: names of feature networks; none for `lite0` where it is there, else random ones.
        cache: keeps features.
        seed: of what is generated and drawn.
        say: is told what is being done.

    Raises:
        ConfigError: the model makes no clips from nothing, there is nothing to compare with, or a network that was
            named has trained the model; or something is locked, and the features would be kept in files.
    """

    def __init__(
        self,
        model: Model,
        data: EvaluationInput,
        heldout: EvaluationInput | None = None,
        *,
        count: int,
        cache: FeatureCache,
        networks: Sequence[str] = (),
        seed: int = 0,
        say: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.model, self.cache, self.seed, self.say = model, cache, seed, say
        self.places: list[Path | str] = [model.folder, *(side.given for side in (data, heldout) if side is not None)]
        """What is compared, as it was given."""
        cache.refuse(self.places)
        if not isinstance(model.sampler, Generates):
            raise model.unable("makes no clips from nothing")
        clip, info = model.info.config.clip, model.info
        self.shape = ClipShape(clip.frames, clip.height, clip.width, clip.channels)
        source = data.source(self.shape)
        unseen = source if heldout is None else heldout.source(self.shape)
        self.notes = list[str]()
        if heldout is not None and unseen.content_hash == source.content_hash:
            raise ConfigError(f"held-out is {heldout.given}, the same clips as {data.given}", "give other clips")
        more = unseen.spans("train") if heldout is not None else []
        spans = [source.spans("train"), unseen.spans("heldout") + more]
        sides = [_RealSide.of(of, some, self.shape, seed) for of, some in zip((source, unseen), spans, strict=True)]
        for side, given, source_spans in zip(sides, (data, heldout or data), spans, strict=True):
            if not side.spans:
                held = side is sides[1] and heldout is None
                what = "has no held-out clips" if held else "has no clips"
                raise ConfigError(
                    f"{given.given} {what} of {counted(clip.frames, 'frame')}: there is nothing to compare with",
                    "give --held-out DATA, clips of the same kind that the model has not seen",
                )
            if (there := sum(span.frames >= clip.frames for span in source_spans)) > len(side.spans):
                self.notes.append(
                    f"{len(side.spans)} of {there:,} clips of {given.given} were looked at, drawn at random"
                )
        self.members, self.others = sides
        self.made = GeneratedClips(model, count, self.shape, seed=seed)
        self.nets = impartial_networks(info, networks, str(model.sampler.device))
        if source.content_hash != info.dataset_hash and "privacy" not in info.extra:
            self.notes.append(
                f"{info.name} says that it learned from other clips than those of {data.given} as they are now: which "
                "of them it has seen is not known"
            )
        if heldout is not None:
            self.notes.append(
                f"{heldout.given} has to be of the same kind as {data.given}: what else is different is taken for a "
                "trace of the training"
            )
        elif "chosen" in info.extra:
            self.notes.append("the model was chosen by the clips that were held out: it knows a little of them too")
        if len(self.others.spans) * FALSE_POSITIVES < 1:
            self.notes.append(
                f"{counted(len(self.others.spans), 'other clip')}: too few to say how many are found at "
                f"{FALSE_POSITIVES:.0%} false ones, which takes {math.ceil(1 / FALSE_POSITIVES)}"
            )

    @functools.cached_property
    def kinds(self) -> list[dict[str, str]]:
        """What sources of either side are compared by, of those that can be: labels that both sides have, or none."""
        sides = (self.members, self.others)
        labelled = all(any(side.kinds.values()) for side in sides)
        labelled = labelled and not named_one_by_one(filter(None, self.members.kinds.values()))
        told = [side.kinds if labelled else dict.fromkeys(side.sources, "") for side in sides]
        return [{name: kind for name, kind in told[0].items() if kind in told[1].values()}, told[1]]

    def audit(self) -> PrivacyAudit:
        """Compare."""
        sides = (self.members, self.others)
        if unlike := [source for source in self.members.sources if source not in self.kinds[0]]:
            labels = sorted({self.members.kinds[source] for source in unlike})
            named = ", ".join(filter(None, labels[:NAMED])) + (" and others" if len(labels) > NAMED else "")
            kinds = [f"labelled {named}"] * bool(named) + ["without a label"] * ("" in labels)
            self.notes.append(
                f"no unseen clip is {' or '.join(kinds)}: of {counted(len(unlike), 'clip')} of the training it cannot "
                "be said whether they are recognised; give --held-out DATA with such clips, or ingest with more held "
                "out (--heldout)"
            )
        near = [found for space in self._spaces() if (found := _Nearness.of(space, sides)) is not None]
        sources = [self.members.sources, self.others.sources]
        kept: list[tuple[str, str, Tensor, Tensor, list[list[str]]]] = [
            (found.space.name, found.space.about, -found.members, -found.others, sources) for found in near
        ]
        if (judged := self._critics()) is not None:
            kept.append(judged)
        level = 1 - (1 - LEVEL) / max(1, len(kept))
        attacks = []
        for name, about, members, others, of in kept:
            told = separate(members, others, *of, seed=self.seed, level=level)
            attacks.append(MembershipAttack(name, about, told, told.chance <= 1 - level))
        naming = [found for found in near if found.space.names_clips]
        chances = {found.space.name: found.chance(sources, self.kinds, self.seed) for found in naming}
        sure = {name for name, chance in chances.items() if chance <= (1 - LEVEL) / len(naming)}
        pairs, exposures = self._exposed(near, sure, {attack.name for attack in attacks if attack.tells})
        standing = torch.stack([found.near for found in near]).any(dim=0).sum() if near else 0
        return PrivacyAudit(
            model=self.model.info.name,
            data=self.members.clips.source.name,
            members=len(self.members.spans),
            member_sources=len(set(sources[0])),
            others=len(self.others.spans),
            other_sources=len(set(sources[1])),
            made=self.made.count,
            level=level,
            attacks=tuple(attacks),
            sources=tuple(exposures),
            pairs=tuple(pairs[:WORST]),
            notes=tuple(self.notes),
            guarantee=self.model.info.extra.get("privacy"),
            doubtful=int(standing) - sum(exposure.recognised for exposure in exposures),
            doubt=min(chances.values(), default=1.0),
        )

    def frames_of(self, pair: ExposedPair) -> tuple[Frames, Frames]:
        """Return the two clips of a pair, uint8 (T, H, W, C): that which was trained on, and what was generated."""
        span = next(span for span in self.members.spans if self.members.name_of(span) == pair.clip)
        window = self.members.clips.others([Window(span, pair.start)])
        return one_clip(window, 0), one_clip(self.made, pair.seed - self.seed)

    def _spaces(self) -> Iterator[_Space]:
        """Yield the spaces, with all that is compared in them."""
        readers = [
            reader
            for reader in feature_readers(self.nets, self.made)
            if reader.name in (SMALL_COPIES, *(net.about.name for net in self.nets))
        ]
        sides: tuple[ClipSet, ...] = (self.made, self.members.clips, self.others.clips)
        read = []
        for clips, what in zip(sides, ("generated clips", "clips of the training", "other clips"), strict=True):

            def progress(done: int, count: int, what: str = what) -> None:
                self.say(f"{what}: {done:,} of {count:,}")

            self.say(what)
            features = extract_features(clips, readers, self.cache, StepSeconds(), progress)
            read.append({name: rows[0 : rows.shape[0]] for name, rows in features.rows.items()})
        small = [rows[SMALL_COPIES].astype(np.float64) for rows in read]
        yield _Space("pixels", "nearest in small copies of the pixels", small, whole=True)
        clip = self.shape
        shots = small_shape(clip.frames, clip.height, clip.width, clip.channels)[0]
        apart = [rows.reshape(len(rows) * shots, -1) for rows in small]  # N (t h w C) -> (N t) (h w C)
        yield _Space("key frames", "nearest frame by frame, the better half of a clip's", apart, each=shots)
        if shots > 1:
            moving = [np.diff(rows.reshape(len(rows), shots, -1), axis=1).reshape(len(rows), -1) for rows in small]
            yield _Space("motion", "nearest in what changes from frame to frame", moving, names_clips=False)
        names = [net.about.name for net in self.nets]
        parts = []
        for name in names:
            real = np.concatenate([read[1][name], read[2][name]]).astype(np.float64)
            scale = np.maximum(real.std(axis=0), 1e-6)
            parts.append([rows[name] / scale for rows in read])
        title = RANDOM if names[0].startswith(RANDOM) else ", ".join(names)
        joined = [np.concatenate(columns, axis=1) for columns in zip(*parts, strict=True)]
        yield _Space(title, "nearest in features of networks", joined, whole=True)

    def _exposed(
        self, near: Sequence[_Nearness], sure: Collection[str], telling: Collection[str]
    ) -> tuple[list[ExposedPair], list[SourceExposure]]:
        """Return what is nearest to each member, and what is told of each source of which anything is, worst first.

        Args:
            near: of each space.
            sure: names of spaces in which more members stand out than do by chance.
            telling: names of those that tell members from others.
        """
        rows = {row for found in near if found.space.name in sure for row in found.near.nonzero()[:, 0].tolist()}
        seen = {row for row in rows if self.members.sources[row] in self.kinds[0]}
        worst: dict[str, ExposedPair] = {}
        for found in near:
            for number in range(len(found.members)) if found.space.names_clips else ():
                window = self.members.clips.windows[int(found.windows[number])]
                pair = ExposedPair(
                    clip=self.members.name_of(window.span),
                    source=self.members.source_of(window.span),
                    start=window.start,
                    seed=self.seed + int(found.made[number]),
                    space=found.space.name,
                    ratio=float(found.members[number]),
                    recognised=number in seen,
                )
                if pair.clip not in worst or pair.ratio <= worst[pair.clip].ratio:
                    worst[pair.clip] = pair
        pairs = sorted(worst.values(), key=lambda pair: pair.ratio)
        copies: dict[str, Counter[str]] = {}
        for space in (found.space for found in near if found.space.whole and found.space.name in {*sure, *telling}):
            made, members, others = space.rows
            usual = nearest(others, members)[0].median()
            gaps, windows = (found[:, 0] for found in nearest(made, members))
            owners = self.members.owner[windows[gaps < REPEATED * usual]].tolist()
            copies[space.name] = Counter(self.members.sources[owner] for owner in owners)
        recognised = Counter(pair.source for pair in pairs if pair.recognised)
        least = {pair.source: pair.ratio for pair in reversed(pairs)}
        told = [
            SourceExposure(
                name, count, recognised[name], least[name], {space: counted[name] for space, counted in copies.items()}
            )
            for name, count in Counter(self.members.sources).items()
            if recognised[name] or any(counted[name] for counted in copies.values())
        ]
        return pairs, sorted(told, key=lambda source: (-source.recognised, source.ratio, source.source))

    def _critics(self) -> tuple[str, str, Tensor, Tensor, list[list[str]]] | None:
        """Return what the critics of the model's run think of both sides; None, and a note, where they cannot be asked.

        Raises:
            ModelError: the run has other critics than its model says.
        """
        info, state = self.model.info, self.model.folder.parent / "state" / "last.pt"
        why = "" if state.is_file() else "the model does not stand in its run"
        if not why and (info.config.method != "gan" or info.reads_text):
            why = f"those of method {info.config.method}{' with captions' if info.reads_text else ''} are not asked"
        known = [side.known(info.labels) for side in (self.members, self.others)]
        if not why and not all(map(len, known)):
            why = "it knows none of the labels"
        if why:
            self.notes.append(f"no critic was asked: {why}")
            return None
        self.say("asking the critics")
        critics = Critics(info.config, len(info.labels), info.config.clip, info.config.net.width)
        nets = read_state(state)["nets"]
        try:
            for name, net in critics.nets.items():
                net.load_state_dict(nets[name])
                net.eval().requires_grad_(False)
        except (KeyError, RuntimeError) as error:
            remedy = "give the model folder alone, elsewhere"
            raise ModelError(f"{state} holds other critics ({str(error)[:200]})", remedy) from None
        sides = list(zip((self.members, self.others), known, strict=True))
        scores = [side.scores(rows, critics, self.seed) for side, rows in sides]
        spread = scores[1].std(dim=0, unbiased=False).clamp(min=1e-6)  # one critic counts as much as another
        members, others = ((side / spread).sum(dim=1) for side in scores)
        sources = [[side.source_of(side.spans[row]) for row in rows] for side, rows in sides]
        return "critics", "the logits of the run's critics, as they are now", members, others, sources


def impartial_networks(info: ModelInfo, names: Sequence[str], device: str) -> list[Extractor]:
    """Return feature networks that did not train a model: those named, else `lite0` where it is there, else random.

    Raises:
        ConfigError: one that was named has trained it.
    """
    clip = info.config.clip
    if not names and "lite0" not in info.trained_with and min(clip.height, clip.width) >= CELL:
        with contextlib.suppress(ModelError):  # its wheel is not there
            return extractors(("lite0",), clip.channels, device=device)
    nets = extractors(names or (RANDOM,), clip.channels, device=device)
    known = {*info.trained_with, *info.trained_with.values()}
    partial = [net.about.name for net in nets if net.about.name in known or net.about.digest in known]
    if partial:
        raise ConfigError(
            f"networks is {', '.join(names)}, and {', '.join(partial)} trained {info.name}",
            "give --networks without it, such as random",
        )
    return nets


def write_privacy_page(path: Path, auditor: PrivacyAuditor, audit: PrivacyAudit) -> Path:
    """Write an audit as one page that needs nothing else, with the worst pairs side by side, which a click plays.

    Raises:
        ConfigError: something that was compared is locked.
    """
    check_plain(auditor.places, f'"{path}"', "ask for figures alone")
    shown = []
    with tempfile.TemporaryDirectory(prefix="footage-") as folder:
        for pair in audit.pairs:
            video = Path(folder) / "pair.mp4"
            write_samples(video, auditor.frames_of(pair), auditor.model.info.fps)
            shown.append((pair, video.read_bytes()))
    return write_page(path, "privacy.html", audit=audit, shown=shown, made_by=f"footage {__version__}")
