"""What models make, filed in a library."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from footage.errors import ConfigError

if TYPE_CHECKING:
    from rich.console import Console

    from footage.generation.model import Model


@contextlib.contextmanager
def place(to: Path | None, library: Path | None) -> Iterator[Path]:
    """Give the folder that clips are written into: the one that was asked for, else one that is gone afterwards.

    Raises:
        ConfigError: neither folder nor library was given.
    """
    if to is not None:
        yield Path(to)
    elif library is None:
        raise ConfigError("there is no place for the clips", "give --to FOLDER, or --library FOLDER, or both")
    else:
        with tempfile.TemporaryDirectory(prefix="footage-") as folder:
            yield Path(folder)


def file_into(
    library: Path | None,
    loaded: Model,
    written: Sequence[Path],
    console: Console,
    parents: Mapping[str, Path] | None = None,
    made: Mapping[str, Any] | None = None,
) -> list[Path]:
    """File clips in a library, with the model that made them and the clips they were made from.

    Args:
        library: its folder; None files nothing.
        loaded: the model.
        written: the clips' files.
        console: says what was filed.
        parents: what they were made from, by relation, such as `source`.
        made: what is to be taken for their metadata where their format has none.

    Returns:
        Their files in the library; without one, `written` as it is.
    """
    if library is None:
        return list(written)
    from footage import files
    from footage.library.additions import ClipDetails, Parent
    from footage.library.library import Library
    from footage.library.provenance import ModelCard
    from footage.media.encode import read_metadata

    info = loaded.info
    card = ModelCard(
        info.weights_sha256,
        info.name,
        str(loaded.folder.resolve()),
        info.config.preset,
        info.dataset,
        info.dataset_hash,
        info.clips_seen,
    )
    given = parents or {}
    from_files = tuple(
        Parent(files.file_digest(path), str(path), relation) for relation, path in given.items() if path.is_file()
    )
    source = ", ".join(str(path.absolute()) for path in given.values()) if given else info.name
    stored: list[Path] = []
    with Library(library) as opened:
        opened.register(card)
        for path in written:
            fps = read_metadata(path).get("fps", info.fps) if path.is_dir() else None
            known = ClipDetails(source=source, parents=from_files, fps=fps, made=None if made is None else dict(made))
            stored.append(opened.path(opened.add(path, known).id))
    console.print(f"{len(stored):,} filed in {library}", highlight=False)
    return stored
