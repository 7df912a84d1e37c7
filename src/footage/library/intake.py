"""What is found out about a file when it is taken in: what it is, who made it, and the pictures that show it."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from footage import files
from footage.library.entries import LONGEST_TEXT, plain
from footage.library.vault import DiskFull, Vault
from footage.media.encode import read_metadata
from footage.media.thumbnails import Thumbnails

THUMBNAIL_QUALITY = 82
"""WebP quality of thumbnails and previews."""
PREVIEW_SECONDS = 2.4
"""Length of an animated preview, at most."""
OWN = {"model", "weights_sha256", "seed", "label", "made_with", "prompt"}
"""What stands in a file's metadata and has a column of its own; the rest is settings."""


@dataclass(frozen=True)
class Origin:
    """What a file says of how it was made; empty for one that footage did not write."""

    made_with: str
    """Program and version; empty for a foreign file."""
    model: str | None
    """Name of the model."""
    weights: str | None
    """SHA-256 of its weights."""
    seed: int | None
    """Seed."""
    label: str | None
    """Class or mixture."""
    prompt: str
    """Caption."""
    settings: dict[str, Any]
    """Everything else that it was made with."""


def origin(path: Path) -> Origin:
    """Read what `footage.media.encode.write_clip` wrote into a file."""
    found: dict[str, Any] = {}
    with contextlib.suppress(Exception):  # whatever a foreign file holds, it only lacks metadata then
        found = read_metadata(path)
    return origin_of(found)


def origin_of(found: Mapping[str, Any]) -> Origin:
    """Read metadata that may come from anybody: wrong types are left out, text is made plain."""
    made_with = found.get("made_with")
    if not (isinstance(made_with, str) and made_with.startswith("footage ")):
        return Origin("", None, None, None, None, "", {})
    seed = found.get("seed")
    weights = found.get("weights_sha256")
    whole = isinstance(seed, int) and not isinstance(seed, bool) and -(2**63) <= seed < 2**63
    return Origin(
        plain(made_with),
        plain(found["model"]) if isinstance(found.get("model"), str) else None,
        weights if isinstance(weights, str) and re.fullmatch(r"[0-9a-f]{64}", weights) else None,
        seed if whole else None,
        plain(found["label"]) if isinstance(found.get("label"), str) else None,
        plain(found.get("prompt", ""), LONGEST_TEXT, lines=True),
        {plain(key): value for key, value in found.items() if key not in OWN or (key == "seed" and not whole)},
    )


def draw(vault: Vault, digest: str, seen: Thumbnails) -> None:
    """Write a clip's thumbnail and animated preview."""
    from PIL import Image

    pictures = [Image.fromarray(frame) for frame in seen.pictures]
    step = max(40, round(1000 * min(seen.seconds, PREVIEW_SECONDS) / len(pictures)))
    moving = {"save_all": True, "append_images": pictures[1:], "duration": step, "loop": 0} if len(pictures) > 1 else {}
    middle = pictures[len(pictures) // 2]
    try:
        for path, picture, options in (
            (vault.thumbnail(digest), middle, {}),
            (vault.preview(digest), pictures[0], moving),
        ):
            with files.replacing(path, durable=False) as temporary:
                picture.save(temporary, format="WEBP", quality=THUMBNAIL_QUALITY, method=2, **options)
    except OSError as error:
        if error.errno in files.DISK_FAULTS:
            raise DiskFull("the disk is full, the clip was not added", "free some space and go on") from error
        raise
