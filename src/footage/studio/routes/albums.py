"""Interface to albums and saved views."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path

from footage.library.albums import Album
from footage.studio.schemas import AlbumForm, ClipQueryForm, PathId, SelectionForm
from footage.studio.state import CurrentLibrary, or_404

ViewName = Annotated[str, Path(min_length=1, max_length=200)]

router = APIRouter(prefix="/api", tags=["albums and views"])


@router.get("/albums")
def list_albums(library: CurrentLibrary) -> list[Album]:
    """Return the albums by name."""
    return library.albums.all()


@router.post("/albums")
def create_album(form: AlbumForm, library: CurrentLibrary) -> Album:
    """Make an empty album."""
    return library.albums.create(form.name, form.notes)


@router.patch("/albums/{album}")
def rename_album(album: PathId, form: AlbumForm, library: CurrentLibrary) -> Album:
    """Give an album another name, and notes. Can be undone."""
    or_404(lambda: library.albums.get(album))
    return library.albums.rename(album, form.name, form.notes)


@router.delete("/albums/{album}")
def delete_album(album: PathId, library: CurrentLibrary) -> dict[str, int]:
    """Delete an album; its clips stay in the library. Can be undone."""
    or_404(lambda: library.albums.get(album))
    library.albums.delete(album)
    return {"deleted": album}


@router.post("/albums/{album}/clips")
def put_into_album(album: PathId, form: SelectionForm, library: CurrentLibrary) -> Album:
    """Put clips at the end of an album; can be undone."""
    or_404(lambda: library.albums.get(album))
    library.albums.put(album, library.ids(form.chosen()))
    return library.albums.get(album)


@router.delete("/albums/{album}/clips")
def take_from_album(album: PathId, form: SelectionForm, library: CurrentLibrary) -> Album:
    """Take clips out of an album; can be undone."""
    or_404(lambda: library.albums.get(album))
    library.albums.take(album, library.ids(form.chosen()))
    return library.albums.get(album)


@router.put("/albums/{album}/order")
def order_album(album: PathId, form: SelectionForm, library: CurrentLibrary) -> list[int]:
    """Give the clips of an album this order; those that are not named come after. Can be undone."""
    or_404(lambda: library.albums.get(album))
    library.albums.order(album, library.ids(form.chosen()))
    return library.albums.clips(album)


@router.get("/views")
def list_views(library: CurrentLibrary) -> list[dict[str, Any]]:
    """Return the saved views by name, each with its query."""
    return [{"name": view.name, "query": ClipQueryForm.of(view.query).model_dump()} for view in library.views.all()]


@router.put("/views/{name}")
def save_view(name: ViewName, form: ClipQueryForm, library: CurrentLibrary) -> dict[str, Any]:
    """Save a query under a name, in place of what was saved there before. Can be undone."""
    view = library.views.save(name, form.query())
    return {"name": view.name, "query": ClipQueryForm.of(view.query).model_dump()}


@router.delete("/views/{name}")
def delete_view(name: ViewName, library: CurrentLibrary) -> dict[str, str]:
    """Delete a saved view. Can be undone."""
    or_404(lambda: library.views.get(name))
    library.views.delete(name)
    return {"deleted": name}
