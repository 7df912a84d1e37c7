"""Knobs of the networks that are trained: one class each, told apart by `kind`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from footage.config.strict import require, require_named


@dataclass(frozen=True)
class MlpConfig:
    """The fully connected generator (Goodfellow et al. 2014)."""

    kind: Literal["mlp"] = "mlp"
    """Which generator."""
    latent: int = 100
    """Length of the latent code z."""
    label: int = 64
    """Length of the label's embedding, where there are labels."""
    width: int = 256
    """Units of the first hidden layer; the second has twice, the third four times as many."""

    def __post_init__(self) -> None:
        """Refuse sizes below one."""
        _check_sizes(self.latent, self.label)
        require(1 <= self.width <= 8192, "net.width", self.width, "give 1 to 8192 units")


@dataclass(frozen=True)
class Conv3dConfig:
    """The 3D-convolutional generator (VGAN)."""

    kind: Literal["conv3d"] = "conv3d"
    """Which generator."""
    latent: int = 100
    """Length of the latent code z."""
    label: int = 64
    """Length of the label's embedding, where there are labels."""
    width: int = 48
    """Channels of the outermost hidden stage; they double towards the innermost, up to 512."""
    mix: Literal["modulate", "concatenate"] = "modulate"
    """How noise and label enter: they also scale the channels of every stage, so that none is forgotten on the way; or
    they stand at the start alone (VGAN)."""
    streams: Literal[1, 2] = 1
    """2 for a moving foreground over a still background, put together by a mask."""
    mask: float = 0.1
    """Weight of the mean mask in the generator's loss, with two streams: as much background as possible."""

    def __post_init__(self) -> None:
        """Refuse sizes below one."""
        _check_sizes(self.latent, self.label)
        require(4 <= self.width <= 512, "net.width", self.width, "give 4 to 512 channels")
        require(self.streams in (1, 2), "net.streams", self.streams, "give 1 or 2")
        require(self.mask >= 0, "net.mask", self.mask, "give 0 or more")


@dataclass(frozen=True)
class RecurrentConfig:
    """The recurrent generator (MoCoGAN): a content code, a label and a path of motion codes; clips of any length."""

    kind: Literal["recurrent"] = "recurrent"
    """Which generator."""
    content: int = 50
    """Length of the content code, one for a clip."""
    motion: int = 10
    """Length of the noise that is drawn anew for each frame."""
    hidden: int = 10
    """Length of the motion code, the recurrent cell's state."""
    cell: Literal["gru", "lstm"] = "gru"
    """The recurrent cell."""
    mix: Literal["modulate", "concatenate"] = "modulate"
    """How the decoder gets the content: it scales the channels of every stage, so that it stays while motion goes on;
    or it stands beside the motion code at the start (MoCoGAN)."""
    label: int = 64
    """Length of the label's embedding, where there are labels."""
    width: int = 48
    """Channels of the outermost hidden stage of the frame decoder; they double towards the innermost, up to 512."""

    def __post_init__(self) -> None:
        """Refuse sizes below one."""
        _check_sizes(self.content, self.label)
        require(self.motion >= 1, "net.motion", self.motion, "give at least 1")
        require(self.hidden >= 1, "net.hidden", self.hidden, "give at least 1")
        require(4 <= self.width <= 512, "net.width", self.width, "give 4 to 512 channels")


@dataclass(frozen=True)
class StreamConfig:
    """The flagship generator: content, a bank of stationary noise that moves points, and a decoder of single frames."""

    kind: Literal["stream"] = "stream"
    """Which generator."""
    content: int = 64
    """Length of the content code, one for a video."""
    processes: int = 16
    """Processes in the noise bank, two numbers each for every frame; every other one turns."""
    fastest: float = 2.0
    """The shortest time constant among them, in frames."""
    slowest: float = 512.0
    """The longest, in frames."""
    points: int = 16
    """Points that motion moves; what stands at them is decided by content."""
    groups: int = 8
    """Groups of points that move together; a divisor of `points`."""
    deform: bool = True
    """Let motion also change the features of the picture, and not only the places of points; off for what is rigid."""
    palette: int = 4
    """Colours that content chooses for a video, each with a mask; 0 for none."""
    codes: int = 128
    """Length of what frames are decoded from: the code of motion, and the style that content and label give."""
    shot: int = 0
    """0 for motion that goes on for ever; else clips are parts of events of this many frames, and the generator is told
    the time since their beginning."""
    label: int = 16
    """Length of the label's embedding, where there are labels."""
    width: int = 32
    """Channels of the outermost hidden stage; they double towards the innermost, up to four times as many."""

    def __post_init__(self) -> None:
        """Refuse sizes below one, and times that are not in order."""
        _check_sizes(self.content, self.label)
        for knob, most in (("processes", 256), ("points", 256), ("groups", 256), ("codes", 4096)):
            value = getattr(self, knob)
            require(1 <= value <= most, f"net.{knob}", value, f"give 1 to {most}")
        require(
            self.points % self.groups == 0, "net.groups", self.groups, f"give a divisor of the {self.points} points"
        )
        require(self.fastest >= 1, "net.fastest", self.fastest, "give at least 1 frame")
        require(self.slowest >= self.fastest, "net.slowest", self.slowest, f"give at least {self.fastest:g} frames")
        require(0 <= self.palette <= 64, "net.palette", self.palette, "give 0 to 64 colours")
        require(self.shot >= 0, "net.shot", self.shot, "give 0 for motion without end, or a number of frames")
        require(4 <= self.width <= 512, "net.width", self.width, "give 4 to 512 channels")


@dataclass(frozen=True)
class VaeConfig:
    """The causal (2+1)D video VAE."""

    kind: Literal["vae"] = "vae"
    """Which network."""
    latent: int = 16
    """Channels of the latent volume (latent, T / 4, H / 8, W / 8)."""
    width: int = 32
    """Channels of the outermost stage; they double towards the innermost."""
    prior: Literal["normal", "gan"] = "normal"
    """What samples are drawn from: independent normal numbers, or a 3D-convolutional GAN in the latent space that
    learns beside the VAE; `critics` then judge latent volumes."""
    noise: int = 64
    """Length of that GAN's latent code."""
    label: int = 16
    """Length of the label's embedding in that GAN, where there are labels."""

    def __post_init__(self) -> None:
        """Refuse sizes below one."""
        require_named(self, "net", "prior")
        require(1 <= self.latent <= 1024, "net.latent", self.latent, "give 1 to 1024 channels")
        require(4 <= self.width <= 512, "net.width", self.width, "give 4 to 512 channels")
        require(self.noise >= 1, "net.noise", self.noise, "give at least 1")
        require(self.label >= 1, "net.label", self.label, "give at least 1")


@dataclass(frozen=True)
class ConvLstmConfig:
    """The convolutional LSTM encoder and forecaster (Shi et al. 2015)."""

    kind: Literal["convlstm"] = "convlstm"
    """Which network."""
    width: int = 64
    """Channels of each layer's state."""
    layers: int = 3
    """Layers."""
    kernel: int = 3
    """Size of the convolutions from state to state, odd."""
    patch: int = 4
    """Frames enter as patches of this size, a channel for each pixel."""
    copies: int = 2
    """Copies of the frame before whose pixels are moved to make the next one (dynamic neural advection, Finn et al.
    2016); 0 to paint every pixel anew, as Shi et al. do."""
    reach: int = 4
    """Furthest that a pixel moves in a frame, in pixels."""
    surprise: bool = False
    """Tell the network, while it is given true frames, how each differs from what it had predicted (predictive coding,
    Lotter et al. 2017)."""

    def __post_init__(self) -> None:
        """Refuse sizes below one."""
        require(1 <= self.width <= 512, "net.width", self.width, "give 1 to 512 channels")
        require(1 <= self.layers <= 16, "net.layers", self.layers, "give 1 to 16")
        require(self.kernel in (1, 3, 5, 7), "net.kernel", self.kernel, "give 1, 3, 5 or 7")
        require(self.patch in (1, 2, 4, 8), "net.patch", self.patch, "give 1, 2, 4 or 8")
        require(0 <= self.copies <= 16, "net.copies", self.copies, "give 0 to 16")
        require(1 <= self.reach <= 64, "net.reach", self.reach, "give 1 to 64 pixels")


@dataclass(frozen=True)
class SimVpConfig:
    """The predictor without recurrence: SimVP (Gao et al. 2022) with gated attention (Tan et al. 2022)."""

    kind: Literal["simvp"] = "simvp"
    """Which network."""
    width: int = 32
    """Channels of each frame's features, at a quarter of the size."""
    hidden: int = 192
    """Channels of all frames' features together, inside the translator."""
    layers: int = 6
    """Blocks of attention."""

    def __post_init__(self) -> None:
        """Refuse sizes below one."""
        require(4 <= self.width <= 512, "net.width", self.width, "give 4 to 512 channels")
        require(4 <= self.hidden <= 4096, "net.hidden", self.hidden, "give 4 to 4096 channels")
        require(1 <= self.layers <= 64, "net.layers", self.layers, "give 1 to 64")


@dataclass(frozen=True)
class SpritesConfig:
    """The predictor that finds a few things and moves them on, before a still background (Hsieh et al. 2018)."""

    kind: Literal["sprites"] = "sprites"
    """Which network."""
    sprites: int = 2
    """Things that are looked for; those that are not there become clear."""
    side: int = 32
    """Side of what is known of each, in pixels: as large as the largest of them."""
    width: int = 32
    """Channels of a frame's features, and of what cleans the looks of sprites; a multiple of 4."""
    features: int = 64
    """Length of a slot's memory, by which a thing is known again."""
    motion: int = 192
    """Units of the GRU that moves sprites on."""

    def __post_init__(self) -> None:
        """Refuse sizes below one."""
        require(1 <= self.sprites <= 64, "net.sprites", self.sprites, "give 1 to 64")
        require(4 <= self.side <= 512, "net.side", self.side, "give 4 to 512 pixels")
        valid = 4 <= self.width <= 512 and self.width % 4 == 0
        require(valid, "net.width", self.width, "give a multiple of 4, 4 to 512 channels")
        require(1 <= self.features <= 4096, "net.features", self.features, "give 1 to 4096")
        require(1 <= self.motion <= 4096, "net.motion", self.motion, "give 1 to 4096")


@dataclass(frozen=True)
class SvgConfig:
    """Stochastic prediction with a learned prior: SVG-LP (Denton and Fergus 2018)."""

    kind: Literal["svg"] = "svg"
    """Which network."""
    latent: int = 10
    """Length of the latent code of a frame."""
    code: int = 128
    """Length of a frame's features g."""
    hidden: int = 256
    """Units of the LSTM layers."""
    width: int = 32
    """Channels of the outermost stage of encoder and decoder; they double towards the innermost, up to 512."""

    def __post_init__(self) -> None:
        """Refuse sizes below one."""
        for knob in ("latent", "code", "hidden"):
            require(getattr(self, knob) >= 1, f"net.{knob}", getattr(self, knob), "give at least 1")
        require(4 <= self.width <= 512, "net.width", self.width, "give 4 to 512 channels")


@dataclass(frozen=True)
class TranslatorConfig:
    """The generator that is given a picture or a clip (Isola et al. 2017)."""

    kind: Literal["translator"] = "translator"
    """Which network."""
    shape: Literal["resnet", "unet"] = "unet"
    """Residual blocks at a quarter of the size, or ever smaller stages with shortcuts between equal sizes."""
    width: int = 32
    """Channels of the outermost stage; they double towards the innermost, up to 512."""
    blocks: int = 6
    """Residual blocks, for `resnet`."""
    time: int = 3
    """Frames that a convolution over time sees, all of them past; 1 translates every frame by itself."""
    modulate: bool = False
    """Let the source scale and shift the features at every stage of the decoder (spatially adaptive modulation, Park et
    al. 2019), so that label maps are not washed out."""
    motion: int = 16
    """Length of the motion code, where a clip is made from a picture."""

    def __post_init__(self) -> None:
        """Refuse names and sizes that cannot be."""
        require_named(self, "net", "shape")
        require(4 <= self.width <= 512, "net.width", self.width, "give 4 to 512 channels")
        require(1 <= self.blocks <= 64, "net.blocks", self.blocks, "give 1 to 64")
        require(1 <= self.time <= 9, "net.time", self.time, "give 1 to 9 frames")
        require(self.motion >= 1, "net.motion", self.motion, "give at least 1")


@dataclass(frozen=True)
class UpscalerConfig:
    """The network that enlarges the frames of a video; all of its work is done at the low resolution."""

    kind: Literal["upscaler"] = "upscaler"
    """Which network."""
    scale: Literal[2, 4] = 4
    """How many times as high and wide the frames become."""
    width: int = 32
    """Channels; the depth follows from it: a residual block for every eight."""
    past: int = 4
    """Frames before the one that is enlarged, which are looked at as well."""
    future: int = 1
    """Frames after it; as many frames late it comes."""

    def __post_init__(self) -> None:
        """Refuse sizes that cannot be."""
        require(self.scale in (2, 4), "net.scale", self.scale, "give 2 or 4")
        require(4 <= self.width <= 512, "net.width", self.width, "give 4 to 512 channels")
        require(0 <= self.past <= 16, "net.past", self.past, "give 0 to 16 frames")
        require(0 <= self.future <= 16, "net.future", self.future, "give 0 to 16 frames")

    @property
    def blocks(self) -> int:
        """Residual blocks."""
        return max(1, self.width // 8)


GeneratorConfig = MlpConfig | Conv3dConfig | RecurrentConfig | StreamConfig
"""Generators from noise."""
PredictorConfig = ConvLstmConfig | SimVpConfig | SpritesConfig | SvgConfig
"""Networks that continue a clip."""
NetConfig = (
    MlpConfig
    | Conv3dConfig
    | RecurrentConfig
    | StreamConfig
    | VaeConfig
    | ConvLstmConfig
    | SimVpConfig
    | SpritesConfig
    | SvgConfig
    | TranslatorConfig
    | UpscalerConfig
)
"""Every network's configuration."""


def _check_sizes(code: int, label: int) -> None:
    require(code >= 1, "net.latent", code, "give at least 1")
    require(label >= 1, "net.label", label, "give at least 1")
