"""The verb that says of files where they come from."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from json import dumps
from pathlib import Path
from typing import TYPE_CHECKING

from rich.table import Table

from footage.commands.terminal import make_console
from footage.errors import ConfigError, MediaError, ProvenanceError
from footage.trust.provenance import Statement, examine

if TYPE_CHECKING:
    from footage.trust.mark import Reading

READ = 512
"""Frames, from the first on, in which a mark is looked for."""
SAME = 28
"""Bits of 32 that a mark shares with a model whose clip it is: of another model's marks 1 in 100,000 does."""
CHANGED, UNKNOWN = 3, 4
"""Exit status where a file was changed since it was signed; where one has no signature, and none was changed."""


@dataclass(frozen=True)
class Verified:
    """What is known of files."""

    statements: dict[Path, Statement]
    marks: dict[Path, Reading]
    """What was read of the invisible mark, of files that can be decoded."""

    @property
    def exit_status(self) -> int:
        """0 where all are signed and unchanged."""
        states = {statement.state for statement in self.statements.values()}
        return CHANGED if "changed" in states else UNKNOWN if states & {"stripped", "unsigned"} else 0


def verify(
    videos: tuple[Path, ...], *, trust: tuple[Path, ...] = (), json: bool = False, quiet: bool = False
) -> Verified:
    """Say of files where they come from: signed and unchanged, changed, stripped, or unknown; and look for the mark.

    What is read is a C2PA manifest, as other programs write it too. A signature proves who signed, and that nothing was
    changed since; not that what is said is true. Exit status 0: all are signed and unchanged; 3: one was changed; 4:
    one has no signature. Without the extra `provenance` it looks for the mark alone, and ends with 2.

    Args:
        videos: files, videos and pictures.
        trust: files of certificates (PEM) whose signatures are trusted, beside those of this machine.
        json: print an object for each file.
    """
    from footage.media.encode import read_metadata
    from footage.models.card import model_folder, pretrained, read_info
    from footage.trust.mark import message_of

    anchors = []
    for path in trust:
        try:
            anchors.append(path.read_text(encoding="ascii"))
        except (OSError, UnicodeDecodeError) as fault:
            raise ConfigError(f'trust is "{path}", which cannot be read ({fault})', "give a file in PEM") from None
    unread: ProvenanceError | None = None
    console, statements, marks = make_console(quiet), dict[Path, Statement](), dict[Path, "Reading"]()
    names = {message_of(read_info(model_folder(name)).weights_sha256): name for name in pretrained()}
    for path in videos:
        if not path.is_file():
            raise ConfigError(f'there is no file "{path}"', "give videos or pictures")
        metadata = {}
        with contextlib.suppress(MediaError):  # of a file that no player reads a manifest may still be read
            metadata = read_metadata(path)
        try:
            statements[path] = examine(path, metadata, "\n".join(anchors))
        except ProvenanceError as error:
            if find_spec("c2pa") is not None:
                raise
            statements[path], unread = Statement("unread"), error  # the mark can be read all the same
        request = statements[path].request  # what is signed names models that do not come with footage
        if "weights_sha256" in request:
            names.setdefault(message_of(str(request["weights_sha256"])), str(request.get("model")))
        with contextlib.suppress(MediaError):
            marks[path] = read_mark(path, tuple(names))
    texts = {path: _mark_text(reading, names) for path, reading in marks.items()}
    if json:
        for path, statement in statements.items():
            told_of_mark = {
                "mark": None if path not in marks else asdict(marks[path]),
                "mark_text": texts.get(path, ""),
            }
            about = {"file": str(path), **asdict(statement), "text": statement.text, **told_of_mark}
            print(dumps(about, ensure_ascii=False))
    else:
        table = Table("file", "state", "what that says", "mark", "signer", "digital source", "made from")
        for path, told in statements.items():
            model = " ".join(str(told.request[key]) for key in ("model", "seed", "label") if key in told.request)
            parts = ", ".join(filter(None, (model, *told.ingredients)))
            mark = texts.get(path, "")
            table.add_row(path.name, told.state, told.text, mark, told.signer, told.digital_source, parts)
        console.print(table)
    if unread is not None:
        raise unread
    return Verified(statements, marks)


def read_mark(path: Path, known: Sequence[int] = ()) -> Reading:
    """Look for the invisible mark in a file's first frames; a weaker one is found where its message is `known`.

    Raises:
        MediaError: it cannot be decoded.
    """
    from footage.media.reader import Footage
    from footage.trust.mark import read

    clip = Footage(path)
    height, width = clip.size()
    chunks = clip.chunks(height=height, width=width, channels=3, fps=clip.rate() or 1)
    frames = (frame[None] for chunk in chunks for frame in chunk)
    return read(itertools.islice(frames, READ), known)


def _mark_text(reading: Reading, names: Mapping[int, str]) -> str:
    """Return what a reading says, in words, with the names of models by their messages."""
    if reading.message is None:
        return "none found"
    nearest = max(names, key=reading.agreement, default=0)
    known = names[nearest] if reading.agreement(nearest) >= SAME else f"model {reading.message:08x}"
    return f"made by footage, {known}"
