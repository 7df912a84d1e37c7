"""Sections of a configuration: clips and ingestion, training, captions, learning by example, upscaling, critics."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args

from footage.config import registry
from footage.config.strict import bounded, check_bounds, check_types, require, require_named
from footage.errors import ConfigError, counted, nearest

Shots = Literal["quick", "fine"]
"""How scenes are told apart: by differences of frames, or by a network."""


@dataclass(frozen=True)
class IngestConfig:
    """How videos become a data set."""

    height: int = bounded(64, 8, 2048)
    """Height of the clips, in pixels."""
    width: int = bounded(64, 8, 2048)
    """Width of the clips, in pixels."""
    size: str | None = None
    """Width and height in one, such as `512x384`; `auto` for the largest that suits the sources, up to 1280 pixels, or
    the longest side that it may have, such as `512`. It stays when sources are added."""
    channels: Literal[1, 3] = 3
    """1 for grey, 3 for RGB."""
    coding: Literal["auto", "raw", "jpeg"] = "auto"
    """How frames are stored: `raw`, or as `jpeg` pictures with small copies beside them. `auto` is as in the existing
    data set, else raw for up to 256×256 pixels."""
    quality: int = bounded(95, 1, 100)
    """Quality of JPEG pictures."""
    fps: float | None = bounded(None, 0.1, 1000)
    """Frames in a second, where 29.97 stands for 30000/1001; None for the rate of the existing data set, else for the
    one that most of the time of the sources has."""
    fit: Literal["crop", "letterbox", "stretch"] = "crop"
    """How a picture of another shape is fitted in."""
    layout: str | None = None
    """Axes of arrays, in order, such as `NTHWC`: number of the clip, time, height, width, channel; without N it is one
    clip, without C it is grey. None where shape and content tell."""
    bits: int | None = bounded(None, 8, 16)
    """Bits of the samples of pictures and arrays that store them in more, such as 10 in 16; None for the fewest that
    hold the brightest sample of a sequence."""
    background: str = "black"
    """Colour behind what is transparent, such as `white` or `#20a040`."""
    alpha: Literal["auto", "straight", "premultiplied"] = "auto"
    """Whether the colours of transparent pictures are multiplied by their opacity; `auto` takes them as formats say,
    and as straight where these do not."""
    deinterlace: Literal["auto", "double", "off"] = "auto"
    """What becomes of interlaced videos: `auto`, a frame for each; `double`, a frame for each of its fields; `off`,
    fields as they are. Frames are looked at, since marks in files are often wrong."""
    labels: str = "folder"
    """`folder` (the first folder below a source), `none`, or the path of a CSV or JSON table."""
    min_frames: int = bounded(16, 1, 100_000)
    """Shorter clips are left out."""
    heldout: float = bounded(0.1, 0, 0.9)
    """Part of the sources that is never trained on."""
    cuts: bool = True
    """Divide at scene cuts."""
    shots: Shots = "quick"
    """How scenes are told apart: `quick`, by differences of frames, which finds hard cuts; `fine`, by a network that
    finds dissolves and fades too and leaves out their frames (extra `shots`; 24 ms a frame)."""
    keep_static: bool = False
    """Keep clips in which nothing moves."""
    keep_duplicates: bool = False
    """Keep clips that repeat an earlier one; files that share one are on one side of the split."""
    sound: bool = True
    """Keep the sound of videos that have some, in mono with 16 bits at 22,050 Hz."""
    spacing: str | None = None
    """Of volumes (DICOM folders, .nii.gz): millimetres between slices, rows and columns, such as `2,1,1`; None for the
    middle distance of the slices, and in plane what brings the middle field of view to the size. Not a medical
    device."""
    window: str | None = None
    """Of volumes: the values of the lowest and the highest of 65,536 levels, such as `-160,240`; None or `auto` for
    -1024 to 1500 of Hounsfield units, else for the values from the 0.1th to the 99.9th percentile."""
    patients_of: str | None = None
    """Of volumes: another dataset of the same patients, whose secret is shared: the two can be paired, and patients are
    on the same side of both."""
    digits: int = bounded(2, 1, 3)
    """Digits in a clip made from IDX images, 1 to 3; with 1 it is also the label."""
    sequences: int = bounded(2000, 1, 10_000_000)
    """Training clips made from an IDX file; a quarter as many are held out, from other images."""
    sequence_frames: int = 20
    """Frames in a clip made from IDX images."""
    seed: int = 0
    """Seed of the clips made from IDX images."""
    workers: int | None = bounded(None, 0, 1024)
    """Processes; None for one for each core, 0 to decode in this process."""
    name: str | None = None
    """Name of the data set; None for that of its folder."""

    def __post_init__(self) -> None:
        check_types(self)
        require(self.channels in (1, 3), "channels", self.channels, "give 1 for grey or 3 for RGB")
        fits, codings = ("crop", "letterbox", "stretch"), ("auto", "raw", "jpeg")
        require(self.fit in fits, "fit", self.fit, nearest(str(self.fit), fits))
        require(self.coding in codings, "coding", self.coding, nearest(str(self.coding), codings))
        alphas = ("auto", "straight", "premultiplied")
        require(self.alpha in alphas, "alpha", self.alpha, nearest(str(self.alpha), alphas))
        require(self.shots in get_args(Shots), "shots", self.shots, nearest(str(self.shots), get_args(Shots)))
        modes = ("auto", "double", "off")
        require(self.deinterlace in modes, "deinterlace", self.deinterlace, nearest(str(self.deinterlace), modes))
        if self.layout is not None:
            axes, remedy = self.layout.upper(), "give axes out of N, T, H, W and C, such as NTHWC, THWC, NTHW or CTHW"
            fitting = set("THW") <= set(axes) <= set("NTHWC") and len(set(axes)) == len(axes)
            require(fitting, "layout", self.layout, remedy)
        size = "512x384" if self.size is None else str(self.size)
        remedy = "give a size such as 512x384, or auto, or the longest side, such as 512"
        require(re.fullmatch(r"auto|\d{1,5}([x×]\d{1,5})?", size) is not None, "size", self.size, remedy)
        both = self.size is not None and (self.height, self.width) != (64, 64)
        require(not both, "size", self.size, "leave height and width out beside it")
        check_bounds(self)
        least, frames = self.min_frames, self.sequence_frames
        require(least <= frames <= 100_000, "sequence_frames", frames, f"give {least:g} to 100000")


@dataclass(frozen=True)
class ClipConfig:
    """The shape of the clips that a model is trained on and makes."""

    frames: int = bounded(16, 2, 4096, "frames")
    """Number of frames, T."""
    height: int = bounded(64, 8, 4096, "pixels")
    """Height in pixels, H."""
    width: int = bounded(64, 8, 4096, "pixels")
    """Width in pixels, W."""
    channels: int = 3
    """1 for grey, 3 for RGB."""

    def __post_init__(self) -> None:
        check_bounds(self, "clip.")
        require(self.channels in (1, 3), "clip.channels", self.channels, "give 1 for grey or 3 for RGB")


def unlimited(frames: int, height: int, width: int, channels: int) -> ClipConfig:
    """Return the shape of what is no clip that could be trained on: the limits of one do not hold."""
    shape = object.__new__(ClipConfig)
    for knob, value in (("frames", frames), ("height", height), ("width", width), ("channels", channels)):
        object.__setattr__(shape, knob, value)
    return shape


def halvings(height: int, width: int) -> int:
    """Return how often a picture halves until its shorter side is 4 to 7 pixels; at least once."""
    return max(1, (min(height, width) // 4).bit_length() - 1)


@dataclass(frozen=True)
class TrainConfig:
    """The training loop, whatever the method."""

    batch_size: int | None = bounded(None, 1, 65_536, remedy="give 1 to 65536, or leave it out")
    """Clips in a step; None finds one that fits the memory."""
    seed: int = 0
    """Seed of the weights, the order of the clips and every random draw."""
    labels: Literal["auto", "yes", "no"] = "auto"
    """Condition on labels: `auto` does when every training clip has one, there are at least two, and not most of them
    stand for one clip each."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """Arithmetic of the networks; `auto` takes bf16 where the device is faster with it."""
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """Where to train; `auto` takes the best there is."""
    threads: int | None = bounded(None, 1, 1024, remedy="give at least 1, or leave it out")
    """Threads of a step on a CPU; None takes as many as are fastest, measured at first and whenever the rate changes.
    A run that is resumed has bit for bit the weights of one that was not where they are given."""
    save_minutes: float = 1.0
    """Minutes between two saves of the resumable state."""
    sample_clips: int = bounded(10_000, 1)
    """Clips seen between two sample sheets."""
    sample_minutes: float = bounded(10.0, 0.0)
    """Minutes of training between two sample sheets at most; the first ones come sooner, the very first within a
    minute. 0 for sheets by clips alone."""
    snapshot_clips: int | None = bounded(None, 1, remedy="give at least 1, or leave it out")
    """Clips seen between two models that are kept in snapshots/, for `footage evaluate RUN --all`; None keeps none."""

    def __post_init__(self) -> None:
        require_named(self, "train", "labels", "precision", "device")
        check_bounds(self, "train.")
        require(0 <= self.seed < 2**63, "train.seed", self.seed, "give 0 or more, below 2^63")
        require(self.save_minutes > 0, "train.save_minutes", self.save_minutes, "give more than 0")


@dataclass(frozen=True)
class TextConfig:
    """Captions: whether a model is told by words what to show, and how words become numbers."""

    encoder: str = "none"
    """`none`: captions are not used. `own`: an encoder that learns beside the model, for any language. Frozen ones:
    `use` (extra `text`), `clip:FOLDER` and `t5:FOLDER` (extra `text-models`)."""
    size: int = bounded(64, 4, 4096)
    """Length of a caption's vector; of a frozen encoder its own, found when training begins."""
    digest: str = ""
    """SHA-256 of a frozen encoder's weights, found when training begins."""
    scale: float = 2.0
    """Length that vectors are brought to; a label counts as much as a vector of length 1."""
    words: int = bounded(32, 1, 256)
    """Words of a caption that are read, the first ones; Chinese characters are a word each."""
    shortest: int = bounded(2, 1, 8)
    """Characters of the shortest pieces that words are read in."""
    longest: int = bounded(4, 1, 8)
    """Characters of the longest pieces."""
    pieces: int = bounded(8192, 64, 1_000_000)
    """Rows of the table of pieces; a piece's row is its hash modulo this."""
    hash: Literal["fnv1a-32"] = "fnv1a-32"
    """Hash function of pieces: FNV-1a of their UTF-8 bytes, 32 bits."""
    width: int = bounded(64, 8, 1024)
    """Width of the own encoder, a multiple of 8."""
    layers: int = bounded(2, 0, 12)
    """Layers of attention of the own encoder."""
    lr: float = 1e-3
    """Learning rate of the own encoder and of the network of clips that it is matched with."""
    temperature: float = 0.1
    """Temperature of the matching loss (InfoNCE)."""
    recall: float = bounded(0.5, 0)
    """Weight of naming a caption's words by its vector, so that the own encoder keeps apart what clips do not yet show
    it to be different; 0 for none."""
    empty: float = bounded(0.1, 0, 1)
    """Part of the captions that are left empty in training, so that clips can be made without any."""
    mismatched: float = bounded(0.5, 0)
    """Weight of the critics' third term: real clips beside captions of other clips; 0 for none."""
    near: float = bounded(0.5, 0, 1)
    """Part of those captions that are near the clip's own: another in one word, or else the most alike of a few. They
    teach what one word alone tells apart; a caption drawn from all nearly always differs in something easier."""

    def __post_init__(self) -> None:
        name, _, folder = self.encoder.partition(":")
        known = self.encoder in ("none", "own", "use") or (name in ("clip", "t5") and folder != "")
        require(known, "text.encoder", self.encoder, "give none, own, use, clip:FOLDER or t5:FOLDER")
        require_named(self, "text", "hash")
        check_bounds(self, "text.")
        require(self.shortest <= self.longest, "text.longest", self.longest, f"give at least {self.shortest}")
        require(self.width % 8 == 0, "text.width", self.width, "give a multiple of 8")
        require(0 < self.lr < 1, "text.lr", self.lr, "give a rate above 0 and below 1, such as 1e-3")
        for knob in ("scale", "temperature"):
            require(getattr(self, knob) > 0, f"text.{knob}", getattr(self, knob), "give more than 0")

    @property
    def used(self) -> bool:
        """Whether a model is told captions."""
        return self.encoder != "none"

    @property
    def frozen(self) -> bool:
        """Whether captions are read by an encoder that does not learn."""
        return self.encoder not in ("none", "own")


@dataclass(frozen=True)
class LaunchConfig:
    """How a training is spread over processes and machines."""

    devices: int | Literal["auto"] = 1
    """Processes on this machine, one for each GPU; on a CPU they share its cores. `auto`: every GPU, or on a CPU one or
    two, whichever a short trial finds faster."""
    strategy: Literal["ddp", "fsdp"] = "ddp"
    """`ddp`: each process has the whole networks. `fsdp`: each keeps a part of all weights, their averages, gradients
    and moments, for networks that do not fit one GPU; what is trained and the files are the same."""
    nodes: int = 1
    """Machines; the same command is given on each, with another `node_rank`."""
    node_rank: int = 0
    """Number of this machine, 0 to `nodes` - 1."""
    rendezvous: str = ""
    """HOST:PORT where machines find each other, the host being that of machine 0."""
    restarts: int = 0
    """How often processes are started again, from the run folder, where one has failed."""

    def __post_init__(self) -> None:
        for name, value, least in (("nodes", self.nodes, 1), ("restarts", self.restarts, 0)):
            if value < least:
                raise ConfigError(f"{name} is {value}", f"give at least {least}")
        require(self.strategy in ("ddp", "fsdp"), "strategy", self.strategy, "give ddp or fsdp")
        if self.devices != "auto" and self.devices < 1:
            raise ConfigError(f"devices is {self.devices}", "give at least 1, or auto")
        if not 0 <= self.node_rank < self.nodes:
            raise ConfigError(
                f"node_rank is {self.node_rank} of {counted(self.nodes, 'machine')}", f"give 0 to {self.nodes - 1}"
            )
        if self.nodes > 1 and not self.rendezvous:
            raise ConfigError(f"nodes is {self.nodes}, and there is no rendezvous", "give HOST:PORT of machine 0")
        host, _, port = self.rendezvous.rpartition(":")
        if self.rendezvous and not (host and port.isdigit() and 0 < int(port) < 65536):
            raise ConfigError(f'rendezvous is "{self.rendezvous}"', "give HOST:PORT, such as node0:29400")

    @property
    def several(self) -> bool:
        """Whether there is more than this process."""
        return self.devices != 1 or self.nodes > 1

    def torchrun(self, arguments: Sequence[str]) -> list[str]:
        """Return the line that starts `footage` with these arguments in every process of this machine."""
        line = ["torchrun", f"--nproc-per-node={self.devices}", f"--max-restarts={self.restarts}"]
        if self.nodes == 1:
            line.append("--standalone")
        else:
            line += [f"--nnodes={self.nodes}", f"--node-rank={self.node_rank}", "--rdzv-backend=c10d"]
            line += [f"--rdzv-endpoint={self.rendezvous}", "--rdzv-id=footage"]
        return [*line, "-m", "footage", *arguments]


@dataclass(frozen=True)
class LearnConfig:
    """Learning from examples: the loss between what is made and what should be, and the optimiser (Adam)."""

    loss: registry.ReconstructionLossName = "mse"
    """Squared or absolute difference, or one that is absolute, but for the smallest (Charbonnier et al. 1994)."""
    weight: float = 1.0
    """Weight of that difference beside the critics' verdicts, where there are critics; 100 is usual (pix2pix)."""
    critics_after: int = bounded(0, 0)
    """Clips seen before the critics begin: until then only the examples teach, and what would at first be told apart at
    a glance is not judged."""
    lr: float = 1e-3
    """Largest learning rate."""
    warm_up: int = bounded(1_000, 0)
    """Clips seen until the rate is reached, linearly."""
    decay: int = bounded(200_000, 0)
    """Clips seen until all rates, the critics' too, have fallen, by a cosine, to a hundredth, where they stay; 0 for
    never. As many as are to be seen gives the best end."""
    beta1: float = 0.9
    """Adam's first moment decay."""
    beta2: float = 0.99
    """Adam's second moment decay."""
    clip_gradient: float = bounded(0.0, 0)
    """Largest norm of the gradient; 0 for no limit."""
    ema: float = bounded(2_000.0, 0)
    """Half-life of the moving average of the weights, in clips seen."""

    def __post_init__(self) -> None:
        require_named(self, "learn", "loss")
        require(0 < self.lr < 1, "learn.lr", self.lr, "give a rate above 0 and below 1, such as 1e-3")
        for knob in ("beta1", "beta2"):
            value = getattr(self, knob)
            require(0 <= value < 1, f"learn.{knob}", value, "give 0 or more and less than 1")
        check_bounds(self, "learn.")
        ok = not self.decay or self.decay > self.warm_up
        require(ok, "learn.decay", self.decay, f"give 0, or more than learn.warm_up, {self.warm_up}")
        require(self.weight > 0, "learn.weight", self.weight, "give more than 0")


@dataclass(frozen=True)
class KlConfig:
    """Latent variables: how much the Kullback-Leibler divergence from their prior counts."""

    beta: float = bounded(1.0, 0)
    """Weight of the divergence, both parts being sums over a clip, in nats: 1 is the evidence lower bound."""
    ramp: int = bounded(5_000, 0)
    """Clips seen until that weight is reached, linearly."""
    free_bits: float = bounded(0.0, 0)
    """Divergence of each latent channel, in nats for each latent place, below which it costs nothing
    (Kingma et al. 2016, section 3.3)."""

    def __post_init__(self) -> None:
        check_bounds(self, "kl.")


@dataclass(frozen=True)
class TaskConfig:
    """What is asked for: frames to be continued, or pictures to be translated."""

    past: int = bounded(10, 1, None, "frame")
    """Frames that a predictor is given; the others of `clip.frames` it is to predict."""
    truth: int = bounded(0, 0, remedy="give 0, or a number of clips")
    """Clips seen while a recurrent predictor is shown true frames instead of its own, ever less often
    (scheduled sampling, Bengio et al. 2015)."""
    rehearsal: int = bounded(20_000, 0, remedy="give 0, or a number of clips")
    """Clips seen while a predictor that makes the past on its way, each frame from the true ones before, is scored on
    it as well; later only the future counts, and a step takes less."""
    source: registry.SourceName = "edges"
    """What a translator is given: made from the clip itself, or the clip of the same name in another data set."""
    source_channels: int = 3
    """Channels of that other data set; found when training begins."""

    def __post_init__(self) -> None:
        require_named(self, "task", "source")
        check_bounds(self, "task.")
        require(self.source_channels in (1, 3), "task.source_channels", self.source_channels, "give 1 or 3")


@dataclass(frozen=True)
class TalkConfig:
    """What is asked of a figure that speaks, beside the difference from the true one."""

    mouth: str | None = None
    """Where the mouths are: left, top, width and height in parts of the frame, such as `.3,.55,.4,.35`; None to find
    them, as what moves with the sound."""
    weight: float = bounded(10.0, 0)
    """Weight of the difference there, beside that of the whole frame."""
    sync: float = bounded(0.0, 0)
    """Weight of the verdict of a judge that tells which sound belongs to a mouth (InfoNCE over shifts of the same clip,
    van den Oord et al. 2018, eq. 4); 0 for none."""
    gain: float = bounded(10.0, 0, 40, "decibels")
    """Training clips are heard louder or softer by up to this."""

    def __post_init__(self) -> None:
        check_bounds(self, "talk.")
        if self.mouth is not None:
            self.box()

    def box(self) -> tuple[float, float, float, float]:
        """Return the mouths' left, top, right and bottom, in parts of the frame; the whole of it where none is given.

        Raises:
            ConfigError: what is given is no such box.
        """
        text = "0,0,1,1" if self.mouth is None else self.mouth
        with contextlib.suppress(ValueError):
            left, top, width, height = (float(part) for part in text.split(","))
            if min(left, top) >= 0 < min(width, height) and max(left + width, top + height) <= 1 + 1e-6:
                return left, top, left + width, top + height
        raise ConfigError(
            f'talk.mouth is "{text}"', "give left, top, width and height in parts of the frame: .3,.55,.4,.35"
        )


@dataclass(frozen=True)
class DegradeConfig:
    """How clips become the low-resolution ones that an upscaler is given in training."""

    probability: float = bounded(0.5, 0, 1)
    """Part of the clips that are spoilt as real ones are; the others are shrunk by the bicubic kernel and no more."""
    blur: float = bounded(1.0, 0, 8)
    """Largest standard deviation of a blur before shrinking, in pixels of the small picture."""
    noise: float = bounded(0.02, 0, 0.5)
    """Largest standard deviation of noise, as a part of the range from black to white."""
    crf_low: int = 18
    """Least loss of H.264, as its constant rate factor."""
    crf_high: int = 36
    """Greatest loss of H.264."""
    jpeg_low: int = 40
    """Least quality of JPEG, from 1 to 95."""
    jpeg_high: int = 95
    """Greatest quality of JPEG."""

    def __post_init__(self) -> None:
        check_bounds(self, "upscale.degrade.")
        for kind, least, most in (("crf", 0, 51), ("jpeg", 1, 95)):
            low, high = getattr(self, f"{kind}_low"), getattr(self, f"{kind}_high")
            ok = least <= low <= high <= most
            require(ok, f"upscale.degrade.{kind}_low and _high", (low, high), f"give {least} to {most}, in order")


@dataclass(frozen=True)
class UpscaleConfig:
    """What is asked of an enlarged clip, beside the difference from the true one."""

    consistency: float = bounded(10.0, 0)
    """Weight of |down(made) - down(real)|: shrunk again, a clip is what it was made from."""
    stability: float = bounded(0.0, 0)
    """Weight of the difference between the changes from frame to frame, made and real: without it, invented detail may
    flicker."""
    ends: float = bounded(0.1, 0, 1)
    """How often the frames before a clip, and as often those after it, are not there, as where a video begins or
    ends."""
    augmentation: float = bounded(0.12, 0, 1)
    """Largest standard deviation of the noise that small pictures are spoilt by for the decoder of a cascade, pixels in
    [-1, 1] (conditioning augmentation, Ho et al. 2022)."""
    degrade: DegradeConfig = field(default_factory=DegradeConfig)
    """How the input is made."""

    def __post_init__(self) -> None:
        check_bounds(self, "upscale.")


EARLY_BETA2 = 0.9
"""Adam's second moment decay at the beginning of a burn-in."""


@dataclass(frozen=True)
class GanConfig:
    """Adversarial training: loss, optimisers, penalties. The penalties hold for every critic."""

    loss: registry.LossName = "non-saturating"
    """The adversarial loss."""
    lr: float = 2e-4
    """Learning rate of the generator."""
    critic_lr: float = 2e-4
    """Learning rate of the critics, unless one has its own."""
    optimizer: Literal["adam", "rmsprop"] = "adam"
    """Optimiser of all networks."""
    beta1: float = 0.0
    """Adam's first moment decay."""
    beta2: float = 0.99
    """Adam's second moment decay; RMSprop's decay."""
    r1: float = bounded(2.0, 0)
    """Weight gamma of the R1 penalty, gamma / 2 E|grad D(x)|^2 on real clips; 0 for none."""
    r2: float = bounded(0.0, 0)
    """Weight gamma of the R2 penalty, the same on fake clips; 0 for none."""
    sigma: float = bounded(0.0, 0)
    """0 for the exact R1 and R2; else the noise's standard deviation of their finite-difference form."""
    gradient_penalty: float = bounded(0.0, 0)
    """Weight lambda of the WGAN-GP penalty, lambda E(|grad D| - 1)^2 between real and fake; 10 is usual."""
    temporal: float = bounded(0.0, 0)
    """Weight gamma of the temporal gradient penalty on real clips, with respect to the change between frames."""
    clip_weights: float = bounded(0.0, 0)
    """Limit that critics' weights are clipped to (Wasserstein without a penalty; 0.01 is usual); 0 for none."""
    penalty_every: int = bounded(4, 1)
    """Penalties are applied at every n-th step, n times as strong (lazy regularisation, StyleGAN2)."""
    matching: float = bounded(0.0, 0)
    """Weight of feature matching in the loss of what is made: the mean absolute difference between the critics'
    features of it and of the real clip that it should be (Wang et al. 2018, eq. 4)."""
    periodicity: Literal["none", "avoid", "loop"] = "none"
    """Motion that repeats itself: `avoid` more of it than real clips have, or ask for a `loop` of `period` frames."""
    period: int = bounded(8, 1, None, "frame")
    """Frames of a loop."""
    periodicity_weight: float = bounded(1.0, 0)
    """Weight of that in the generator's loss."""
    burn_in: int = bounded(0, 0, remedy="give 0 for none, or a number of clips")
    """Clips seen over which rates and penalties fall to a quarter, and beta2 rises from 0.9 to its value, by half a
    cosine (after R3GAN; scale it to the run: a third to all of its clips); 0 for none."""
    ema: float = bounded(5_000.0, 0, remedy="give 0 for no averaging, or a number of clips")
    """Half-life of the moving average of the generator's weights, in clips seen."""

    def __post_init__(self) -> None:
        require_named(self, "gan", "loss", "optimizer", "periodicity")
        for knob in ("lr", "critic_lr"):
            value = getattr(self, knob)
            require(0 < value < 1, f"gan.{knob}", value, "give a rate above 0 and below 1, such as 2e-4")
        for knob in ("beta1", "beta2"):
            value = getattr(self, knob)
            require(0 <= value < 1, f"gan.{knob}", value, "give 0 or more and less than 1")
        check_bounds(self, "gan.")
        require(
            not self.burn_in or (self.beta2 >= EARLY_BETA2 and self.optimizer == "adam"),
            "gan.burn_in",
            self.burn_in,
            f"Adam's beta2 rises with it from {EARLY_BETA2}: give --gan.optimizer adam, a --gan.beta2 above that, or 0",
        )
        held = self.r1 or self.r2 or self.gradient_penalty or self.clip_weights
        require(
            self.loss != "wasserstein" or held > 0,
            "gan.loss",
            self.loss,
            "its critic has no bound by itself: give --gan.gradient-penalty 10 (or r1, r2), or --gan.clip-weights 0.01",
        )
        require(
            not self.clip_weights or self.loss == "wasserstein",
            "gan.clip_weights",
            self.clip_weights,
            f"clipping bounds the slope of a Wasserstein critic; with the loss {self.loss} it is not defined: give 0",
        )
        require(
            not self.sigma or self.r1 + self.r2 > 0,
            "gan.sigma",
            self.sigma,
            "finite differences stand for R1 and R2, and both are off: give --gan.r1, or sigma 0",
        )


@dataclass(frozen=True)
class AugmentConfig:
    """Changes made alike to real and generated clips before the critic sees them."""

    probability: float = 0.0
    """Probability of each kind of change, once the ramp is over; 0 for none."""
    ramp: int = bounded(0, 0, remedy="give 0, or a number of clips")
    """Clips seen until the probability is reached, linearly; 0 to begin with it."""
    translation: bool = True
    """Move the picture by up to an eighth of each side."""
    colour: bool = True
    """Change brightness, contrast and saturation."""
    cutout: bool = True
    """Hide a rectangle of half of each side."""
    flip: bool = False
    """Exchange left and right; only where the data are symmetric."""
    stretch: bool = True
    """Slow time down, to half at most."""

    def __post_init__(self) -> None:
        """Refuse what the generator would learn to imitate."""
        value = self.probability
        require(0 <= value < 1, "augment.probability", value, "give 0 or more and less than 1, such as 0.3")
        check_bounds(self, "augment.")


@dataclass(frozen=True)
class CriticConfig:
    """One critic: its network, what it sees of a clip, and how much it counts."""

    net: registry.CriticName = "conv"
    """Its network."""
    sees: Literal["clip", "frames", "sparse", "difference", "slab"] = "clip"
    """The clip; single frames; a few frames far apart as one picture; the change from frame to frame; or a slab, frames
    that follow each other from a random one on, with its place (HA-GAN, for volumes)."""
    frames: int = bounded(2, 1, 4096)
    """Frames of each clip that it sees, for `frames`, `sparse` and `slab`."""
    shrink: int = bounded(1, 1, 64)
    """Pictures are averaged down by this factor first (DVD-GAN's temporal critic: 2)."""
    shrink_time: int = bounded(1, 1, 64)
    """So many frames are averaged to one first: with `shrink`, the whole of a volume at half its resolution."""
    patch: bool = False
    """Judge overlapping patches instead of the whole."""
    time: Literal["halve", "valid"] = "halve"
    """How time shrinks on the way, for what has time: by strides of 2, or by kernels without padding (MoCoGAN)."""
    motion: Literal["flow", "encoder"] = "flow"
    """Where `embed_motion` takes the motion from: optical flow, or an encoder of its embedding network's features."""
    labels: Literal["projection", "classify"] = "projection"
    """Where clips have labels: judge by projection on the label's embedding, or name the label beside judging."""
    width: int | None = bounded(None, 1, 8192)
    """Channels (units, for mlp) of its outermost stage; None for the generator's."""
    weight: float = 1.0
    """Weight of its verdict in the generator's loss."""
    lr: float | None = None
    """Its learning rate; None for gan.critic_lr."""
    steps: int = bounded(1, 1, 100)
    """Its updates for each update of the generator."""

    def __post_init__(self) -> None:
        where = "critics.N"
        require_named(self, where, "net", "sees", "time", "motion", "labels")
        check_bounds(self, f"{where}.")
        require(self.lr is None or 0 < self.lr < 1, f"{where}.lr", self.lr, "give a rate above 0 and below 1")
        require(self.weight > 0, f"{where}.weight", self.weight, "give more than 0, or leave the critic out")
        ok = self.time == "halve" or (self.net == "conv" and not self.timeless)
        require(ok, f"{where}.time", self.time, f"{self.net} of {self.sees} has no such time: give halve")
        whole = self.net == "conv" and self.sees == "clip"
        remedy = "give 1: only the network conv that sees the clip has it"
        require(self.shrink_time == 1 or whole, f"{where}.shrink_time", self.shrink_time, remedy)
        if self.net != "conv":
            require(not self.patch, f"{where}.patch", self.patch, f"{self.net} judges the whole: only conv has patches")
            ok = self.sees == "clip"
            require(ok, f"{where}.sees", self.sees, f"{self.net} sees the clip: only conv sees parts of it")

    @property
    def timeless(self) -> bool:
        """Whether what it sees has no axis of time."""
        return self.sees in ("frames", "sparse")


@dataclass(frozen=True)
class PrivacyConfig:
    """Differential privacy of the clips that critics are shown (DP-SGD, Abadi et al. 2016)."""

    epsilon: float | None = None
    """Most that the model may tell of what is protected, the budget: 1 is strict, 8 is usual, above 10 says little;
    None for no limit, and none of this. Training ends where it is spent."""
    delta: float = 1e-5
    """Chance with which the limit does not hold; far less than one in the number of sources."""
    clip: float = bounded(1.0, 1e-6, 1e6)
    """Largest norm of the gradient of one clip."""
    unit: Literal["source", "clip"] = "source"
    """What is protected: everything that was cut from one source, or each clip by itself."""
    noise: float = bounded(0.0, 0)
    """Standard deviation of the noise in a sum of gradients, in units of `clip`; 0 to find that with which the budget
    lasts for the clips that are to be seen."""

    def __post_init__(self) -> None:
        require_named(self, "privacy", "unit")
        check_bounds(self, "privacy.")
        ok = self.epsilon is None or 0 < self.epsilon < float("inf")
        require(ok, "privacy.epsilon", self.epsilon, "give more than 0, such as 8, or leave it out")
        require(0 < self.delta < 1, "privacy.delta", self.delta, "give more than 0 and less than 1, such as 1e-5")

    @property
    def used(self) -> bool:
        """Whether there is a budget."""
        return self.epsilon is not None


def check_private(
    privacy: PrivacyConfig,
    method: str,
    gan: GanConfig,
    critics: Sequence[CriticConfig],
    train: TrainConfig,
    text: TextConfig,
) -> None:
    """Refuse what cannot be made private, where it is to be: all but the sum of what single clips ask of the critics.

    Raises:
        ConfigError: with the reason.
    """
    if not privacy.used:
        return
    steps = {critic.steps for critic in critics}
    refused: list[tuple[bool, str, str]] = [
        (
            method != "gan",
            f"method {method} learns from clips by more than what they ask of critics",
            "give a GAN of one network that makes clips from nothing, such as --preset conv3d-32",
        ),
        (
            gan.loss == "relativistic",
            "gan.loss is relativistic: it compares real clips with fakes in pairs",
            "give --gan.loss non-saturating, hinge or least-squares",
        ),
        (
            gan.periodicity == "avoid",
            "gan.periodicity is avoid: the generator would look at real clips itself",
            "give --gan.periodicity none",
        ),
        (text.used, f"text.encoder is {text.encoder}: captions are learned from, and kept", "give --text.encoder none"),
        (
            train.labels == "yes",
            "train.labels is yes: how often each label stands in the data is kept with the model",
            "leave it out: a private model has no labels",
        ),
        (
            len(steps) > 1,
            f"critics make {' and '.join(map(str, sorted(steps)))} steps: they are asked of one clip together",
            "give all critics the same steps",
        ),
    ]
    for knob, why in (
        ("gradient_penalty", "it mixes real clips with fakes"),
        ("temporal", "it is not made clip by clip; R1 is"),
        ("sigma", "R1 is exact where it is made clip by clip"),
    ):
        value, flag = getattr(gan, knob), knob.replace("_", "-")
        refused.append((bool(value), f"gan.{knob} is {value:g}: {why}", f"give --gan.{flag} 0"))
    for number, critic in enumerate(critics):
        what = f"critics.{number}.net is {critic.net}: its gradients clip by clip have not been tried"
        refused.append((critic.net not in ("conv", "mlp"), what, f"give --critics.{number}.net conv"))
    for bad, what, remedy in refused:
        if bad:
            raise ConfigError(f"privacy.epsilon is given, and {what}", remedy)


def check_together(gan: GanConfig, critics: Sequence[CriticConfig], clip: ClipConfig) -> None:
    """Refuse what is not defined for this loss, these critics and this clip.

    Raises:
        ConfigError: with the reason.
    """
    for number, critic in enumerate(critics):
        where = f"critics.{number}"
        if critic.patch and gan.loss == "relativistic":
            raise ConfigError(
                f"{where}.patch is on and gan.loss is relativistic: a patch of a real clip has no fake partner to be "
                "compared with",
                f"give --{where}.no-patch, or another loss",
            )
        for knob in ("height", "width"):
            side = getattr(clip, knob)
            if side % critic.shrink or (critic.shrink > 1 and side // critic.shrink < 8):
                raise ConfigError(
                    f"{where}.shrink is {critic.shrink}, clip.{knob} is {side}",
                    f"give a divisor of {side} that leaves at least 8 pixels",
                )
        if critic.shrink_time > 1 and (clip.frames % critic.shrink_time or clip.frames < 2 * critic.shrink_time):
            raise ConfigError(
                f"{where}.shrink_time is {critic.shrink_time}, clips have {counted(clip.frames, 'frame')}",
                "give a divisor that leaves at least 2",
            )
        if (critic.timeless or critic.sees == "slab") and critic.frames > clip.frames:
            raise ConfigError(f"{where}.frames is {critic.frames}, clips have {clip.frames}", "give no more than that")
        if gan.matching and critic.net != "conv":
            raise ConfigError(
                f"gan.matching is {gan.matching:g}, and {where}.net is {critic.net}: only conv tells its features",
                f"give --gan.matching 0, or --{where}.net conv",
            )
    if gan.temporal and any(critic.timeless or critic.sees == "difference" for critic in critics):
        number = next(i for i, c in enumerate(critics) if c.timeless or c.sees == "difference")
        raise ConfigError(
            f"gan.temporal is {gan.temporal:g}, but critic {number} sees {critics[number].sees}: the penalty is on the "
            "change from frame to frame, which this critic does not get as a part of a clip",
            "give --gan.temporal 0, or critics that see the clip",
        )
    if gan.periodicity == "loop" and gan.period >= clip.frames:
        raise ConfigError(
            f"gan.period is {gan.period}, a clip of {counted(clip.frames, 'frame')} never comes back to its beginning",
            f"give --gan.period {clip.frames - 1} or less",
        )
    if gan.periodicity == "avoid" and clip.frames < 6:
        raise ConfigError(
            f"clip.frames is {clip.frames}: too short to see motion repeat itself", "give 6, or periodicity none"
        )
