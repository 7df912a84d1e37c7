"""What can be chosen by a name: network architectures, methods, losses, networks of critics.

An entry is "module:attribute", a string that is imported when the entry is looked up: so the command line lists names
without torch, and what stands on a higher floor is named here and not imported. One line makes a thing known to
configurations, presets, flags and error texts:

    ARCHITECTURES["toy"] = "toy_module:ToyConfig"
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping, MutableMapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeAlias, TypeVar

from footage.config.strict import check_bounds, from_json, require
from footage.errors import nearest

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor, nn

    from footage.config import Config
    from footage.config.sections import ClipConfig, TaskConfig
    from footage.models.adversarial.losses import AdversarialLoss
    from footage.models.base import Method

T = TypeVar("T")


def imported(reference: str) -> Any:
    """Import what "module:attribute" names."""
    module, _, attribute = reference.partition(":")
    return getattr(importlib.import_module(module), attribute)


class Registry(MutableMapping[str, T]):
    """Names, and what each stands for; an entry that is a string is loaded when it is first looked up.

    Args:
        entries: strings, by name.
        load: what makes the thing of such a string; by default it is "module:attribute" and imported.
    """

    def __init__(self, entries: Mapping[str, str], load: Callable[[str], T] = imported) -> None:
        self._entries: dict[str, str | T] = dict(entries)
        self._load = load

    def __getitem__(self, name: str) -> T:
        entry = self._entries[name]
        if isinstance(entry, str):
            entry = self._entries[name] = self._load(entry)
        return entry

    def __setitem__(self, name: str, entry: str | T) -> None:
        self._entries[name] = entry

    def __delitem__(self, name: str) -> None:
        del self._entries[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, name: object) -> bool:
        return name in self._entries  # without importing it


_MODELS = "footage.models"

ARCHITECTURES: Registry[type[NetConfig]] = Registry(
    {
        "mlp": f"{_MODELS}.generators.mlp:MlpConfig",
        "conv3d": f"{_MODELS}.generators.conv3d:Conv3dConfig",
        "recurrent": f"{_MODELS}.generators.recurrent:RecurrentConfig",
        "stream": f"{_MODELS}.generators.stream:StreamConfig",
        "cascade": f"{_MODELS}.generators.cascade:CascadeConfig",
        "vae": f"{_MODELS}.autoencoders:VaeConfig",
        "lens": f"{_MODELS}.autoencoders.lens:LensConfig",
        "diffusion": f"{_MODELS}.diffusion:DiffusionConfig",
        "convlstm": f"{_MODELS}.predictors.convlstm:ConvLstmConfig",
        "simvp": f"{_MODELS}.predictors.simvp:SimVpConfig",
        "sprites": f"{_MODELS}.predictors.sprites:SpritesConfig",
        "svg": f"{_MODELS}.predictors.svg:SvgConfig",
        "translator": f"{_MODELS}.translators:TranslatorConfig",
        "figure": f"{_MODELS}.talking:FigureConfig",
        "upscaler": f"{_MODELS}.upscalers:UpscalerConfig",
    }
)
"""Configurations of the networks that are trained and kept, by their `kind`. They know no torch."""
METHODS: Registry[type[Method]] = Registry(
    {
        "gan": f"{_MODELS}.adversarial.gan:Gan",
        "cascade": f"{_MODELS}.generators.cascade.network:Cascade",
        "vae": f"{_MODELS}.autoencoders.vae:VideoVae",
        "lens": f"{_MODELS}.autoencoders.lens.network:LensTraining",
        "diffusion": f"{_MODELS}.diffusion.edm:Diffusion",
        "predict": f"{_MODELS}.predictors.predict:Predict",
        "translate": f"{_MODELS}.translators.translate:Translate",
        "talk": f"{_MODELS}.talking.figure:Talk",
        "upscale": f"{_MODELS}.upscalers.upscale:Upscale",
    }
)
"""The ways of training, by the name that `method` gives; each has a line in `USES` too."""
ADVERSARIAL = {"gan", "cascade"}
"""Those that have a generator, which makes clips from noise alone and learns from critics."""
LOSSES: Registry[AdversarialLoss] = Registry(
    {
        "minimax": f"{_MODELS}.adversarial.losses:MINIMAX",
        "non-saturating": f"{_MODELS}.adversarial.losses:NON_SATURATING",
        "least-squares": f"{_MODELS}.adversarial.losses:LEAST_SQUARES",
        "wasserstein": f"{_MODELS}.adversarial.losses:WASSERSTEIN",
        "hinge": f"{_MODELS}.adversarial.losses:HINGE",
        "relativistic": f"{_MODELS}.adversarial.losses:RELATIVISTIC",
    }
)
"""Adversarial losses, by the name that `gan.loss` gives."""
LOGISTIC = {"minimax", "non-saturating", "relativistic"}
"""Those whose logits are logarithms of odds: a large gap between real and fake tells that the critic has won."""
RECONSTRUCTION_LOSSES: Registry[Callable[[Tensor], Tensor]] = Registry(
    {
        "mse": f"{_MODELS}.supervised:mse",
        "l1": f"{_MODELS}.supervised:l1",
        "charbonnier": f"{_MODELS}.supervised:charbonnier",
    }
)
"""What the difference between a clip and the true one costs, by the name that `learn.loss` gives."""
SOURCES: Registry[Callable[[Tensor], Tensor]] = Registry(
    {
        "edges": f"{_MODELS}.translators.translate:edges",
        "grey": f"{_MODELS}.translators.translate:grey",
        "lowres": f"{_MODELS}.translators.translate:lowres",
        "blur": f"{_MODELS}.translators.translate:blur",
    }
)
"""What translators may be given that is made from the clips' own frames, by the name that `task.source` gives."""
_EFFECTS = "footage.generation.cutting.effects"
EFFECTS: Registry[Callable[..., Any]] = Registry(
    {
        name: f"{_EFFECTS}:{function}"
        for name, function in {
            "read": "chain_of",
            "tell": "chain_json",
            "size": "chain_size",
            "render": "render_effects",
        }.items()
    }
)
"""What is done with chains of effects, which libraries keep: reading one, telling it, the size of what it makes,
rendering."""
CRITICS: Registry[Callable[..., nn.Module]] = Registry(
    {
        "conv": f"{_MODELS}.adversarial.discriminators:Critic",
        "mlp": f"{_MODELS}.adversarial.discriminators:Critic",
        "embed_motion": f"{_MODELS}.adversarial.discriminators:EmbedMotionCritic",
        "two_stream": f"{_MODELS}.adversarial.discriminators:Critic",
    }
)
"""Networks of critics, by the name that `critics.N.net` gives."""

if TYPE_CHECKING:
    MethodName: TypeAlias = str
    LossName: TypeAlias = str
    ReconstructionLossName: TypeAlias = str
    CriticName: TypeAlias = str
    SourceName: TypeAlias = str
else:

    def __getattr__(name):
        """Return the type of a name: a Literal of the names that there are now, which flags and JSON are held to."""
        tables = {
            "MethodName": METHODS,
            "LossName": LOSSES,
            "ReconstructionLossName": RECONSTRUCTION_LOSSES,
            "CriticName": CRITICS,
            "SourceName": [*SOURCES, "first-frame", "slices", "pairs"],
        }
        if name not in tables:
            raise AttributeError(f"{__name__} has no {name}")
        return Literal[tuple(tables[name])]


@dataclass(frozen=True)
class MethodUse:
    """What the models of a method are good for."""

    what: str
    """What one is."""
    does: str
    """What it does."""
    verbs: tuple[str, ...]
    """The commands that take it; the first is the one that it was made for."""
    example: str
    """How that is used."""
    presets: tuple[str, ...] = ()
    """Some presets, for error texts."""


USES = {
    "gan": MethodUse(
        "A video generator",
        "makes clips from seeds",
        ("generate",),
        "FOLDER --to CLIPS --count 16",
        ("stream-64", "conv3d-64"),
    ),
    "cascade": MethodUse(
        "A video generator",
        "makes large clips from seeds",
        ("generate",),
        "FOLDER --to CLIPS --count 16",
        ("stream-512", "stream-720p"),
    ),
    "vae": MethodUse(
        "A video autoencoder",
        "packs clips into few numbers, and unpacks them",
        ("reconstruct", "interpolate", "embed", "generate"),
        "FOLDER CLIP.mp4",
        ("vae-64", "vae-gan-64"),
    ),
    "lens": MethodUse(
        "A lens, which packs frames of any size",
        "packs frames of any size into few numbers, and unpacks them",
        ("reconstruct", "interpolate", "embed"),
        "FOLDER CLIP.mp4",
        ("lens-8", "lens-8-gan"),
    ),
    "diffusion": MethodUse(
        "A diffusion model of videos",
        "makes clips from seeds, slowly",
        ("generate",),
        "FOLDER --to CLIPS --count 4",
        ("diffusion-32", "diffusion-64"),
    ),
    "predict": MethodUse(
        "A predictor, which continues clips",
        "continues a clip",
        ("predict",),
        "FOLDER CLIP.mp4 --frames 50",
        ("simvp-64", "svg-64"),
    ),
    "translate": MethodUse(
        "A translator of pictures or clips",
        "turns a picture or a clip into another",
        ("translate",),
        "FOLDER CLIP.mp4",
        ("translate-64", "spade-64"),
    ),
    "talk": MethodUse(
        "A figure that speaks",
        "lets a still speak what is heard",
        ("talk",),
        "FOLDER STILL.png --audio SPEECH.wav --to FILM.mp4",
        ("talk-64",),
    ),
    "upscale": MethodUse(
        "An upscaler, which makes clips larger and sharper",
        "makes a clip larger and sharper",
        ("upscale",),
        "FOLDER CLIP.mp4 --to LARGE.mp4",
        ("upscale-x4", "upscale-x2"),
    ),
}
"""What models are good for, by their method."""


class NetConfig:
    """Base of the networks' configurations, which are frozen dataclasses told apart by `kind`.

    A configuration says which network it is of, and all that others need to know of it before it is built.
    """

    kind: str
    """A key of ARCHITECTURES; its default is the only value."""
    width: int
    """How wide the network is; critics without a width of their own have the same."""
    method: ClassVar[str]
    """The method that trains it."""
    network: ClassVar[str]
    """The network itself, "module:attribute"."""
    seekable: ClassVar[bool] = False
    """Whether its frames are a function of time, so that videos begin anywhere, at any rate, and loop."""
    crops: ClassVar[bool] = False
    """Whether it is trained on crops, of videos as they are or of clips that are larger."""
    hears: ClassVar[bool] = False
    """Whether it is given a still and the sound of each clip, as channels behind it."""
    unit: ClassVar[int] = 8
    """Clips of other sizes that it is given are cut down to multiples of this; 1 for any size."""
    detail_crop: int = 0
    """Height and width of the crops of real frames that training reads beside each clip; 0 for none."""
    tiny: ClassVar[Mapping[str, int]] = {}
    """Knobs of the smallest network, for tests."""

    def __post_init__(self) -> None:
        check_bounds(self, "net.")

    @classmethod
    def decode(cls, value: Any, where: str) -> NetConfig:
        """Build the configuration that a JSON value's `kind` names."""
        kind: Any = value.get("kind") if isinstance(value, dict) else value
        require(
            isinstance(kind, str) and kind in ARCHITECTURES, f"{where}.kind", kind, nearest(str(kind), ARCHITECTURES)
        )
        return from_json(ARCHITECTURES[kind], value, where)

    @property
    def needs_critics(self) -> bool:
        """Whether it learns from critics, or not at all."""
        return False

    @property
    def takes_labels(self) -> bool:
        """Whether a model can be told a label."""
        return False

    @property
    def takes_text(self) -> bool:
        """Whether a model can be told by words what to show."""
        return self.takes_labels

    @property
    def sliders(self) -> int:
        """Number of latent sliders: as many as its code is long; 0 where no code stays for a whole clip."""
        return 0

    def check(self, config: Config) -> None:
        """Refuse clips, tasks and knobs that do not go together with the network.

        Raises:
            ConfigError: with the reason.
        """

    def read_clip(self, clip: ClipConfig) -> ClipConfig:
        """Return the shape of the clips that training reads: the clips themselves, or the same made small."""
        return clip

    def guides(self, clip: ClipConfig, task: TaskConfig) -> int:
        """Return how many channels of what a clip is made from stand behind its own."""
        return 0

    def conditions(self, clip: ClipConfig, task: TaskConfig) -> int:
        """Return how many channels of what the critics judge, the last ones, are what the others were made from."""
        return 0

    def judged_clip(self, clip: ClipConfig, task: TaskConfig) -> ClipConfig:
        """Return the shape of what critics judge, with all that they are shown beside the clip."""
        return clip
