"""Sounds that people send to the studio, for clips and streams to follow: kept under the hash of what is in them.

sounds/ID.SUFFIX    what was sent
sounds/ID.json      what it is called, how long it is, its tempo
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path

from fastapi import HTTPException

from footage import files
from footage.errors import ConfigError
from footage.library.entries import plain
from footage.media.kinds import suffix_of

SCHEMA = 1
"""Version of what is known of a sound."""
MOST = 500
"""Sounds that are kept."""
SIGNS = 16
"""Hexadecimal digits of a hash by which a sound is called."""


@dataclass(frozen=True)
class SentSound:
    """A sound that was sent."""

    id: str
    name: str
    seconds: float
    tempo: float
    """Beats a minute; 0 where there is no beat."""
    actor: str
    """Account that sent it; empty where there are none."""


class SentSounds:
    """The sounds of a studio, in a folder that is made when the first comes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def all(self) -> list[SentSound]:
        """Return the sounds, by name."""
        ids = sorted(path.stem for path in self.folder.glob("*.json")) if self.folder.is_dir() else []
        return sorted(filter(None, map(self.get, ids)), key=lambda sound: (sound.name.casefold(), sound.id))

    def get(self, id: str) -> SentSound | None:
        """Return a sound; None where there is none of this name, or it cannot be read.

        Raises:
            LockError: it is locked by a key that is not known.
        """
        if not re.fullmatch(rf"[0-9a-f]{{{SIGNS}}}", id):
            return None
        try:
            known = json.loads(files.read_bytes(self.folder / f"{id}.json"))
            return SentSound(id, str(known["name"]), float(known["seconds"]), float(known["tempo"]), known["actor"])
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def find(self, id: str) -> tuple[Path, SentSound]:
        """Return the file of a sound, and what is known of it.

        Raises:
            HTTPException: there is none.
        """
        sound = self.get(id)
        if sound is not None:
            for path in self.folder.glob(f"{id}.*"):
                if path.suffix != ".json":
                    return path, sound
        raise HTTPException(404, "there is no such sound: send it again")

    def check_room(self) -> None:
        """Refuse one more where there are as many as are kept.

        Raises:
            ConfigError: there are.
        """
        if len(self.all()) >= MOST:
            raise ConfigError(f"{MOST} sounds are kept already", "remove one")

    def keep(self, path: Path, name: str, seconds: float, tempo: float, actor: str) -> SentSound:
        """Keep a copy of a file that was looked at, locked where the folder is; the same again is what is there."""
        with open(path, "rb") as sent:
            id = hashlib.file_digest(sent, "sha256").hexdigest()[:SIGNS]
        known = self.get(id)
        if known is not None:
            return known
        sound = SentSound(id, plain(name), round(seconds, 3), round(tempo, 2), actor)
        with files.writing(self.folder / f"{id}.{suffix_of(str(path))}") as kept, open(path, "rb") as sent:
            shutil.copyfileobj(sent, kept)
        files.write_json(self.folder / f"{id}.json", {"schema": SCHEMA, **asdict(sound)})
        return sound

    def remove(self, id: str) -> None:
        """Remove a sound; clips that were made from it stay.

        Raises:
            HTTPException: there is none.
        """
        path = self.find(id)[0]
        (self.folder / f"{id}.json").unlink(
            missing_ok=True
        )  # first: without it the sound is not known, and may be sent again
        path.unlink(missing_ok=True)
