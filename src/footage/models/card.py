"""Cards of models: what `model.json` says of one, read and checked without torch."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

from footage import __version__, files
from footage.config import Config, from_json
from footage.config.registry import USES, MethodUse
from footage.config.strict import require
from footage.errors import ConfigError, LockError, ModelError, counted, meant
from footage.media.geometry import NOTICE, VolumeScale

PRETRAINED = Path(__file__).parent.parent / "pretrained"
"""Models that come with footage, a folder each."""
SCHEMA = 1
"""Version of the model folder. A higher number than ours is refused."""
LARGEST = 16 * 2**20
"""Bytes of a model card, at most."""
RATES = (1e-3, 1e5)
"""Least and most frames a second of a model's clips."""


@dataclass(frozen=True)
class TextNotes:
    """The words that a model was told."""

    words: tuple[str, ...] = ()
    """Those of its captions, the commonest first; see `footage.config.words.KNOWN`."""
    captions: tuple[str, ...] = ()
    """Some of its captions: where no text is asked for, one of them is drawn by the clip's seed."""


@dataclass(frozen=True)
class ModelInfo:
    """What a model is: the content of `model.json`, apart from its digest."""

    name: str
    config: Config
    """The complete configuration that it was trained with."""
    labels: tuple[str, ...]
    """Its classes; empty for an unconditional model."""
    label_shares: tuple[float, ...]
    """How often each class stands in the training clips; sums to 1."""
    fps: float
    dataset: str
    dataset_hash: str
    clips_seen: int
    weights: str = ""
    """File name of the weights, of which `weights_sha256` is the hash."""
    weights_sha256: str = ""
    made_by: str = f"footage {__version__}"
    """Program and version that wrote it."""
    schema: int = SCHEMA
    trained_with: Mapping[str, str] = field(default_factory=dict)
    """Feature networks in the losses or critics that trained it, or the model that it began with: name -> SHA-256 of
    the weights. They never judge it. Left out of the file where there are none."""
    text: TextNotes = field(default_factory=TextNotes)
    """Of models that are told captions. Left out of the file of others."""
    volume: VolumeScale | None = None
    """Of models of volumes, what the levels mean that they make. Left out of the file of others."""
    extra: dict[str, Any] = field(default_factory=dict)
    """Free to use. Of models in half precision, `compacted_from`: the hash of the weights before. Of models that are
    passed on, `sources`: what they were trained on, and by what licence. Of private ones, `privacy`: what was
    spent, and for what; see `footage.training.accounting.guarantee`. Their `dataset_hash` is 64 zeros."""

    required: ClassVar = ("name", "config", "labels", "label_shares", "fps", "dataset", "dataset_hash", "clips_seen")

    @property
    def use(self) -> MethodUse:
        return USES[self.config.method]

    @property
    def streams(self) -> bool:
        """Whether its frames are a function of time: it begins anywhere, goes at any rate, and comes back in a loop."""
        return self.config.net.seekable

    @property
    def reads_text(self) -> bool:
        """Whether it is told by words what to show."""
        return self.config.text.used

    def check_text(self, text: str | None) -> None:
        """Refuse a text that is to be shown by a model that reads none.

        Raises:
            ConfigError: it reads none.
        """
        if text is not None and not self.reads_text:
            raise ConfigError(
                f'{self.name} is asked for the text "{text[:40]}", and was trained without captions',
                "leave the text out, or train a model with --text.encoder own on clips with captions",
            )

    @property
    def sliders(self) -> int:
        """Number of its latent sliders, the one that changes most first."""
        return self.config.net.sliders


def read_info(folder: Path | str) -> ModelInfo:
    """Read and check `model.json`.

    Raises:
        LockError: it is locked and cannot be opened.
        ModelError: it is missing, an export, not JSON, altered, of a newer version, or holds a value that no model has.
    """
    path = Path(folder) / "model.json"
    if (path.parent / "export.json").exists():
        problem = f'"{folder}" is an export of a model, for programs without footage'
        raise ModelError(problem, "give the model that it was made of")
    try:
        if (size := path.stat().st_size) > LARGEST:
            raise ModelError(f"{path} has {size:,} bytes, more than {LARGEST:,}", "fetch the model again")
        value = json.loads(files.read_bytes(path))
    except FileNotFoundError:
        remedy = 'give the folder "model" inside a run, train one (footage train DATASET), or see: footage models'
        remedy += "; in Python footage.train(DATASET) and footage.models()"
        problem = f'"{folder}" is not a model (it has no model.json)'
        raise ModelError(problem, meant(folder, remedy, pretrained(), table="model.json")) from None
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(f"{path} cannot be read ({error})", "fetch the model again") from None
    if not isinstance(value, dict) or not isinstance(value.get("schema"), int) or not 0 <= value["schema"] < 10_000:
        raise ModelError(f"{path} does not describe a model", "fetch the model again")
    files.refuse_newer(value["schema"], SCHEMA, path, ModelError, value.get("made_by", "a newer footage"))
    digest = value.pop("digest", None)
    try:
        intact = digest == files.json_digest(value)
    except (ValueError, RecursionError):
        problem = f"{path} holds a number that is not finite, or text that is no Unicode"
        raise ModelError(problem, "fetch the model again") from None
    if not intact:
        raise ModelError(f"{path} was altered after it was written (its digest differs)", "fetch the model again")
    try:
        extra = value.pop("extra", {})
        require(isinstance(extra, dict), "extra", extra, "give an object of named values")
        info = from_json(ModelInfo, value, "model")
        require(RATES[0] <= info.fps <= RATES[1], "fps", info.fps, f"give {RATES[0]:g} to {RATES[1]:,.0f}")
        require(0 <= info.clips_seen < 2**63, "clips_seen", info.clips_seen, "give at least 0")
        shares = info.label_shares
        fitting = len(shares) == len(info.labels) and min(shares, default=0.0) >= 0 and (not shares or sum(shares) > 0)
        require(fitting, "label_shares", list(shares), "give each label a share, 0 or more")
        return replace(info, extra=extra)
    except ConfigError as error:
        raise ModelError(f"{path} does not describe a model: {error}", "fetch the model again") from None
    except (ValueError, TypeError, ArithmeticError, AttributeError, LookupError, RecursionError) as error:
        problem = f"{path} does not describe a model ({type(error).__name__}: {error})"
        raise ModelError(problem, "fetch the model again") from None


def weights_path(folder: Path, info: ModelInfo) -> Path:
    """Return the file of a model's weights.

    Raises:
        ModelError: it is missing, or is none of the folder.
    """
    path = folder / info.weights
    if path.parent != folder or path.suffix != ".safetensors":
        raise ModelError(f'weights are named "{info.weights}", which is not a file of the folder', "fetch it again")
    if not path.is_file():
        raise ModelError(f"{path} is missing", "fetch the model again")
    return path


def privacy_text(guarantee: Mapping[str, Any]) -> str:
    """Say how much a model tells at most of what it was trained on, by what its card says of it."""
    return f"ε {guarantee['epsilon']:.3g} at δ {guarantee['delta']:.1g} for each {guarantee['unit']} (DP-SGD)"


def readme(info: ModelInfo) -> str:
    """Return the text of a model folder's README.md."""
    clip, use, count = info.config.clip, info.use, info.sliders
    colours = "RGB" if clip.channels == 3 else "grey"
    labels = ", ".join(info.labels) or "none: the model is unconditional"
    sliders = (
        f"\n| latent sliders | {count}, the first changes most: `footage sliders FOLDER` shows them |" if count else ""
    )
    judges = ", ".join(f"`{name}` (SHA-256 `{digest}`)" for name, digest in info.trained_with.items())
    words = f"\n| text | {counted(len(info.text.words), 'word')} known: `--text` |" if info.reads_text else ""
    volume, notice = "", ""
    if info.volume is not None:
        low, high = info.volume.window
        steps = " × ".join(f"{step:g}" for step in info.volume.spacing)
        volume = f"\n| volumes | voxels {steps} mm (slices, rows, columns), {low:g} to {high:g} {info.volume.unit} |"
        notice = f"\n**What it makes is {NOTICE}.**\n"
    sources = "".join(f"\n| source | {source} |" for source in info.extra.get("sources", ()))
    told = info.extra.get("privacy")
    private = f"\n| privacy | {privacy_text(told)} |" if told else ""
    content = "" if told else f" (content {info.dataset_hash[:12]})"
    trained_with = f"\n| trained with | {judges}: figures by these do not count for it |" if judges else ""
    return f"""# {info.name}

{use.what}, made with {info.made_by}.

| | |
|---|---|
| preset | {info.config.preset} |
| clips | {counted(clip.frames, "frame")} of {clip.width}×{clip.height}, {colours}, {info.fps:g} fps |
| labels | {labels} |{words}{sliders}{volume}
| trained on | {info.dataset}{content} |{sources}{private}
| clips seen | {info.clips_seen:,} |{trained_with}
| weights | `{info.weights}`, SHA-256 `{info.weights_sha256}` |

Use it with `footage {use.verbs[0]} {use.example}`.
{notice}The folder holds JSON and safetensors only: loading it runs no code.
What it makes resembles what it was trained on; check the rights to that before you publish.
"""


def model_folder(folder: Path | str) -> Path:
    """Return the model folder that a path means: itself, the one inside a run, or one of `pretrained` by its name."""
    path = Path(folder)
    places = [path, path / "model", *([PRETRAINED / path] if len(path.parts) == 1 else [])]
    return next((place for place in places if (place / "model.json").exists()), path)


def find_upscaler(folder: Path, info: ModelInfo, quick: bool = False) -> Path:
    """Return the folder of the upscaler for a model's clips.

    That is the folder `upscaler` in its own; else, of those beside it or beside its run, one that was trained on the
    same data: by its hash, else by its name, the one that saw most; else one that comes with footage.

    Args:
        folder: the model folder.
        info: what it holds.
        quick: of those that come with footage take the narrowest, else the widest.

    Raises:
        ModelError: what is in the folder `upscaler` is damaged, or no upscaler.
        ConfigError: there is none.
    """
    own = folder / "upscaler"
    if own.exists():
        if read_info(model_folder(own)).config.method != "upscale":
            raise ModelError(f"{own} is no upscaler", "put one there, remove it, or give --upscale MODEL")
        return model_folder(own)
    place = folder.resolve()
    beside = (place.parent if place.name in ("model", "best") else place).parent
    known: list[tuple[bool, bool, bool, int, Path]] = []
    for path in sorted(map(model_folder, beside.iterdir())) + sorted(PRETRAINED.iterdir()):
        with contextlib.suppress(ModelError, LockError):  # what is no model, or is damaged, is none to choose
            other = read_info(path)
            same = (other.dataset_hash == info.dataset_hash, other.dataset == info.dataset)
            ours = path.parent == PRETRAINED
            if other.config.method == "upscale" and (any(same) or ours):
                width = getattr(other.config.net, "width", 0)
                known.append((*same, not ours, (-width if quick else width) if ours else other.clips_seen, path))
    if not known:
        raise ConfigError(
            f"{info.name} makes clips of {info.config.clip.width}×{info.config.clip.height}, and nothing is there that "
            f"makes them larger",
            "train an upscaler on the same videos (footage train VIDEOS --preset upscale-x4), and give --upscale MODEL",
        )
    return max(known)[-1]


def models_in(folder: Path) -> list[Path]:
    """Return the model folders in a folder and its subfolders, in order; exports for other programs are none."""
    found = sorted(path.parent for path in folder.rglob("model.json"))
    return [path for path in found if not (path / "export.json").exists()]


def pretrained() -> list[str]:
    """Return the names of the models that come with footage."""
    return sorted(path.parent.name for path in PRETRAINED.glob("*/model.json"))
