"""Whether clips show what their captions say: R-precision by a matching network of its own, attributes by probes.

R-precision 1 of n (Xu et al. 2018, AttnGAN, section 4): how often a clip's own caption is nearer to it than n - 1
captions of other clips. The network that says what is near is trained here, on the training half, with another seed
than the model's; never the encoder that the model was trained with. Real clips that were held out have the ceiling.
What is expected over all choices of the others is reckoned, not drawn.

Where what clips show is known (`shapes-captions`, `digits-captions`), a network that was trained to name it says how
many of the clips that were made show what was asked for.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from safetensors.torch import load_file
from safetensors.torch import save as serialize
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, normalize

from footage import files
from footage.config import TextConfig
from footage.config.sections import unlimited
from footage.config.words import TokenTable, spaceless, words_of
from footage.data.clips import BuiltInClips, ClipSource, Loader
from footage.data.store import Frames
from footage.data.synthetic import WORDS
from footage.errors import counted
from footage.evaluation.clip_sets import ClipSet, ClipShape, GeneratedClips, RealClips, TrainedModel
from footage.evaluation.feature_cache import FeatureCache
from footage.evaluation.results import Figure, Interval
from footage.generation.rollout import from_uint8
from footage.metrics.bootstrap import LEAST_SOURCES, LEVEL, mean_interval
from footage.models.layers import learn_levels
from footage.models.text.encoder import ClipEncoder, TextEncoder, matching_loss

CHOICES = (32, 100)
"""Captions that are chosen from."""
STEPS, BATCH = 500, 64
"""Steps of the matching network's training, and clips in each."""
PROBE_STEPS = 400
"""Steps of the probes' training."""
RATE = 2e-3
"""Learning rate of both at its highest; it falls to 0 along a cosine."""
SEED = 7
"""Seed of both; one more where a model was trained with the same."""
READING = TextConfig(encoder="own", width=64, size=64)
"""How the matching network reads captions."""
WIDTH = 16
"""Channels of the outermost stage of what looks at clips."""
PROBED = 8.0
"""What a clip's vector of length 1 is multiplied by for the probes."""
CALIBRATION = 256
"""Clips that levels are learned from."""
SAME = 1e-6
"""Captions whose vectors' cosine is this near to 1 are the same."""

Say = Callable[[str], None]


TITLES = {
    "": "",
    "_en": ", other languages than Chinese",
    "_zh": ", Chinese and the like",
    "_new_words": ", words that no training caption has",
}
"""Groups of captions, and what is printed of them behind a figure's name."""


class Judge(nn.Module):
    """An encoder of captions and one of clips that are matched; or, with `values`, one of clips that names them."""

    def __init__(self, shape: ClipShape, values: Mapping[str, int]) -> None:
        super().__init__()
        clip = unlimited(shape.frames, shape.height, shape.width, shape.channels)
        self.clips = ClipEncoder(clip, READING.size, WIDTH)
        self.texts = None if values else TextEncoder(READING)
        self.heads = nn.ModuleDict({name: nn.Linear(READING.size, count) for name, count in values.items()})

    def named(self, clips: Tensor) -> dict[str, Tensor]:
        """Return logits of each value, (B, n), of clips (B, C, T, H, W)."""
        seen = PROBED * self.clips(clips)
        return {name: head(seen) for name, head in self.heads.items()}

    @torch.no_grad()
    def read(self, texts: Sequence[str]) -> Tensor:
        """Return the vectors of texts, of length 1, (N, D)."""
        assert self.texts is not None
        pieces = torch.from_numpy(TokenTable(texts, READING).pieces(np.arange(len(texts))))
        return normalize(torch.cat([self.texts(part).vector for part in torch.split(pieces, BATCH)]), dim=1)


class SeenClips:
    """What a matching network and probes make of clips, batches of (B, C, T, H, W)."""

    @torch.no_grad()
    def __init__(self, matched: Judge, probes: Judge | None, clips: Iterable[Tensor]) -> None:
        vectors, named = list[Tensor](), dict[str, list[Tensor]]()
        for batch in clips:
            vectors.append(matched.clips(batch))
            for name, logits in probes.named(batch).items() if probes else ():
                named.setdefault(name, []).append(logits.argmax(dim=1))
        self.vectors = torch.cat(vectors)
        """(N, D), of length 1."""
        self.named = {name: torch.cat(parts) for name, parts in named.items()}
        """The number of each value that the probes see, (N,), by its name."""


@dataclass(frozen=True)
class TextTrial:
    """What is tried: held-out clips with captions, and what makes clips of the same captions."""

    model: TrainedModel
    real: RealClips
    """Windows of held-out clips."""
    seed: int
    cache: FeatureCache
    """Keeps trained networks in its folder, but of what is hidden."""
    say: Say

    @property
    def source(self) -> ClipSource:
        return self.real.source

    @property
    def judge_seed(self) -> int:
        return SEED + (self.model.info.config.train.seed == SEED)

    @property
    def values(self) -> dict[str, int]:
        """How many there are of each thing that is known of the clips; empty where nothing is."""
        if not isinstance(self.source, BuiltInClips) or not self.source.captioned:
            return {}
        return {name: len(WORDS["en"][name]) for name in self.source.values(0)}

    def judge(self, values: Mapping[str, int]) -> Judge:
        """Return the matching network, or with `values` the probes: from the cache, or trained on training clips."""
        steps = PROBE_STEPS if values else STEPS
        shape = self.real.shape
        recipe = [self.source.content_hash, vars(shape), dict(values), steps, BATCH, RATE, WIDTH, vars(READING)]
        key = f"text-{files.json_digest([*recipe, self.judge_seed, 1])[:24]}"
        path = None if self.cache.held is not None else self.cache.folder / key / "judge.safetensors"
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.judge_seed)
            judge = Judge(shape, values)
        if path is not None and path.is_file():
            judge.load_state_dict(load_file(path))
            return judge.eval()
        reach = (self.real.shape.frames - 1) * self.real.stride + 1
        loader = Loader(self.source, "train", frames=reach, batch_size=BATCH, seed=self.judge_seed, near=READING.near)
        table = TokenTable(loader.captions, READING)

        def shown(frames: Frames) -> Tensor:
            return from_uint8(np.stack([self.real.shape.fitted(clip[:: self.real.stride]) for clip in frames]))

        learn_levels((shown(loader.batch(seen)[0]) for seen in range(0, CALIBRATION, BATCH)), judge)
        optimizer = torch.optim.AdamW(judge.parameters(), RATE, weight_decay=0.01)
        network = "probes" if judge.heads else "matching network"
        for step, loaded in enumerate(loader.batches(0)):
            if step == steps:
                break
            for group in optimizer.param_groups:
                group["lr"] = RATE * min((step + 1) / 50, 0.5 * (1 + math.cos(math.pi * step / steps)))
            clips = shown(loaded.clips)
            if judge.heads:
                assert isinstance(self.source, BuiltInClips)
                rows = [self.source.values(loader.span(step * BATCH + row).index) for row in range(len(clips))]
                named = judge.named(clips).items()
                losses = [cross_entropy(logits, torch.tensor([row[name] for row in rows])) for name, logits in named]
                loss = torch.stack(losses).sum()
            else:
                assert loaded.captions is not None and judge.texts is not None
                numbers = torch.from_numpy(loaded.captions).T.flatten()  # own, then others
                vectors = judge.texts(torch.from_numpy(table.pieces(numbers.numpy()))).vector
                loss = matching_loss(judge.clips(clips), normalize(vectors, dim=1), numbers, READING.temperature).loss
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            if step % 50 == 0:
                self.say(f"training the {network}: {step:,} of {steps:,} steps")
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            files.write_bytes(path, serialize(judge.state_dict()))
        return judge.eval()

    def figures(self) -> list[Figure]:
        """Measure R-precision of clips made of held-out captions, in groups of captions, and attributes."""
        matched, probes = self.judge({}), self.judge(self.values) if self.values else None
        groups: dict[str, list[tuple[int, str]]] = {"": [], "_en": [], "_zh": [], "_new_words": []}
        for row, window in enumerate(self.real.windows):  # row of a real clip, one of its captions
            for caption in window.span.captions:
                strange = not set(words_of(caption)) <= set(self.model.info.text.words)
                for group in ("_new_words",) if strange else ("", "_zh" if spaceless(caption) else "_en"):
                    groups[group].append((row, caption))
        if not (groups["_zh"] and groups["_en"]):  # one way of writing alone: all of them
            del groups["_zh"], groups["_en"]
        shown = list(_shown(self.real))
        real = SeenClips(matched, probes, shown)
        figures = list[Figure]()
        for group, pairs in groups.items():
            if len(pairs) < CHOICES[0]:
                continue
            self.say(f"clips of {counted(len(pairs), 'caption')}{TITLES[group]}")
            texts = [caption for _, caption in pairs]
            clips = GeneratedClips(self.model, len(texts), self.real.shape, seed=self.seed, texts=texts)
            made, rows = SeenClips(matched, probes, _shown(clips)), torch.tensor([row for row, _ in pairs])
            said = matched.read(texts)
            for count in CHOICES:
                values = [r_precision(side, said, rows, count) for side in (made.vectors, real.vectors[rows])]
                if values[0] is not None and values[1] is not None:
                    label, note = f"R-precision 1 of {count}{TITLES[group]}", f"chance is {1 / count:.3f}"
                    figures.append(self._figure(f"r_precision_{count}{group}", label, values[0], values[1], rows, note))
            for name, choices in self.values.items():
                wanted = torch.tensor([self.wanted(row)[name] for row, _ in pairs])
                right, truth = ((named == wanted).double() for named in (made.named[name], real.named[name][rows]))
                label, note = f"{name} as asked{TITLES[group]}", f"chance is {1 / choices:.3f}"
                figures.append(self._figure(f"shows_{name}{group}", label, right, truth, rows, note))
        return figures

    def wanted(self, row: int) -> dict[str, int]:
        """Return what a real clip shows, where it is known."""
        assert isinstance(self.source, BuiltInClips)
        return self.source.values(self.real.windows[row].span.index)

    def _figure(self, name: str, label: str, made: Tensor, real: Tensor, rows: Tensor, note: str) -> Figure:
        sources, around = self.real.sources[rows], None  # captions of one file are drawn together
        if len(np.unique(sources)) >= LEAST_SOURCES:
            low, high = mean_interval([made], seed=self.seed, sources=[sources], resamples=200)
            around = Interval(low, high, LEVEL, "clips drawn anew 200 times, all of a file together")
        value = float(made.mean())
        return Figure(
            metric="text",
            name=name,
            label=label,
            value=value,
            better="higher",
            tier="B",
            networks=(),
            by_network=(),
            interval=around,
            floor=None,
            clips=(len(made), self.real.count),
            seeds=(self.seed,),
            repeats=(value,),
            real=float(real.mean()),
            note=note,
        )


def _shown(clips: ClipSet) -> Iterator[Tensor]:
    """Yield the clips of a set in order, (B, C, T, H, W) each."""
    kept: dict[int, Frames] = {}
    for first in range(0, clips.count, BATCH):
        rows = range(first, min(first + BATCH, clips.count))
        for numbers, batch in clips.batches(rows):
            kept |= dict(zip(numbers.tolist(), batch, strict=True))
        yield from_uint8(np.stack([kept.pop(row) for row in rows]))


def r_precision(clips: Tensor, captions: Tensor, owners: Tensor, count: int) -> Tensor | None:
    """Return how likely each clip's own caption is the nearest of `count`, the others drawn from those of other clips.

    With M captions of other clips, of which k are nearer, that is C(M - k, count - 1) / C(M, count - 1). Where two
    clips have the same caption, neither is wrong for the other.

    Args:
        clips: vectors of length 1, (N, D).
        captions: those of their captions, (N, D).
        owners: numbers of the clips that the captions are of, (N,): one may have several.
        count: captions that are chosen from.

    Returns:
        (N,), float64; None where there are too few captions.
    """
    nearness = clips.double() @ captions.double().T
    equal = (captions.double() @ captions.double().T) > 1 - SAME
    other = (owners[:, None] != owners) & ~equal
    total = other.sum(dim=1)
    if int(total.min()) < count - 1:
        return None
    nearer = (other & (nearness > nearness.diagonal()[:, None])).sum(dim=1)
    left = (total - nearer).double()
    drawn = torch.arange(count - 1, dtype=torch.float64)
    parts = ((left[:, None] - drawn) / (total[:, None] - drawn)).clamp(min=0)
    chance: Tensor = parts.prod(dim=1)
    return chance
