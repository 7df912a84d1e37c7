"""The verb that says of files where they come from."""

from __future__ import annotations

import contextlib
from dataclasses import asdict, dataclass
from json import dumps
from pathlib import Path

from rich.table import Table

from footage.commands.terminal import make_console
from footage.errors import ConfigError, MediaError
from footage.trust.provenance import Statement, examine

CHANGED, UNKNOWN = 3, 4
"""Exit status where a file was changed since it was signed; where one has no signature, and none was changed."""


@dataclass(frozen=True)
class Verified:
    """What is known of files."""

    statements: dict[Path, Statement]

    @property
    def exit_status(self) -> int:
        """0 where all are signed and unchanged."""
        states = {statement.state for statement in self.statements.values()}
        return CHANGED if "changed" in states else UNKNOWN if states & {"stripped", "unsigned"} else 0


def verify(
    videos: tuple[Path, ...], *, trust: tuple[Path, ...] = (), json: bool = False, quiet: bool = False
) -> Verified:
    """Say of files where they come from: signed and unchanged, changed, stripped, or unknown.

    What is read is a C2PA manifest, as other programs write it too. A signature proves who signed, and that nothing was
    changed since; not that what is said is true. Exit status 0: all are signed and unchanged; 3: one was changed; 4:
    one has no signature.

    Args:
        videos: files, videos and pictures.
        trust: files of certificates (PEM) whose signatures are trusted, beside those of this machine.
        json: print an object for each file.
    """
    from footage.media.encode import read_metadata

    anchors = []
    for path in trust:
        try:
            anchors.append(path.read_text(encoding="ascii"))
        except (OSError, UnicodeDecodeError) as fault:
            raise ConfigError(f'trust is "{path}", which cannot be read ({fault})', "give a file in PEM") from None
    console, statements = make_console(quiet), dict[Path, Statement]()
    for path in videos:
        if not path.is_file():
            raise ConfigError(f'there is no file "{path}"', "give videos or pictures")
        metadata = {}
        with contextlib.suppress(MediaError):  # of a file that no player reads a manifest may still be read
            metadata = read_metadata(path)
        statements[path] = examine(path, metadata, "\n".join(anchors))
    if json:
        for path, statement in statements.items():
            print(dumps({"file": str(path), **asdict(statement), "text": statement.text}, ensure_ascii=False))
    else:
        table = Table("file", "state", "what that says", "signer", "digital source", "made from")
        for path, told in statements.items():
            model = " ".join(str(told.request[key]) for key in ("model", "seed", "label") if key in told.request)
            parts = ", ".join(filter(None, (model, *told.ingredients)))
            table.add_row(path.name, told.state, told.text, told.signer, told.digital_source, parts)
        console.print(table)
    return Verified(statements)
