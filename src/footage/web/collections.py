"""The interface to albums and saved views, and to who is asking."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Path, Request, Response

from footage.library.albums import Album
from footage.web.asking import Asked, Choice, NewAlbum, Place, Token
from footage.web.guard import COOKIE
from footage.web.studio import Studio, found

Name = Annotated[str, Path(min_length=1, max_length=200)]


class Collections:
    """The endpoints about albums and views."""

    def __init__(self, studio: Studio) -> None:
        self._library = studio.library

    def albums(self) -> list[Album]:
        """Return the albums by name."""
        return self._library.albums.all()

    def create(self, album: NewAlbum) -> Album:
        """Make an empty album."""
        return self._library.albums.create(album.name, album.notes)

    def rename(self, album: Place, new: NewAlbum) -> Album:
        """Give an album another name, and notes. Can be undone."""
        found(lambda: self._library.albums.get(album))
        return self._library.albums.rename(album, new.name, new.notes)

    def delete(self, album: Place) -> dict[str, int]:
        """Delete an album; its clips stay in the library. Can be undone."""
        found(lambda: self._library.albums.get(album))
        self._library.albums.delete(album)
        return {"deleted": album}

    def put(self, album: Place, wanted: Choice) -> Album:
        """Put clips at the end of an album; can be undone."""
        found(lambda: self._library.albums.get(album))
        self._library.albums.put(album, self._library.ids(wanted.chosen()))
        return self._library.albums.get(album)

    def take(self, album: Place, wanted: Choice) -> Album:
        """Take clips out of an album; can be undone."""
        found(lambda: self._library.albums.get(album))
        self._library.albums.take(album, self._library.ids(wanted.chosen()))
        return self._library.albums.get(album)

    def order(self, album: Place, wanted: Choice) -> list[int]:
        """Give the clips of an album this order; those that are not named come after. Can be undone."""
        found(lambda: self._library.albums.get(album))
        self._library.albums.order(album, self._library.ids(wanted.chosen()))
        return self._library.albums.clips(album)

    def views(self) -> list[dict[str, Any]]:
        """Return the saved views by name, each with its query."""
        return [{"name": view.name, "query": Asked.of(view.query).model_dump()} for view in self._library.views.all()]

    def save(self, name: Name, asked: Asked) -> dict[str, Any]:
        """Save a query under a name, in place of what was saved there before. Can be undone."""
        view = self._library.views.save(name, asked.query())
        return {"name": view.name, "query": Asked.of(view.query).model_dump()}

    def forget(self, name: Name) -> dict[str, str]:
        """Delete a saved view. Can be undone."""
        found(lambda: self._library.views.get(name))
        self._library.views.delete(name)
        return {"deleted": name}

    def routes(self) -> APIRouter:
        """Return the table of the endpoints."""
        router = APIRouter(prefix="/api", tags=["albums and views"])
        for method, path, endpoint in (
            ("GET", "/albums", self.albums),
            ("POST", "/albums", self.create),
            ("PATCH", "/albums/{album}", self.rename),
            ("DELETE", "/albums/{album}", self.delete),
            ("POST", "/albums/{album}/clips", self.put),
            ("DELETE", "/albums/{album}/clips", self.take),
            ("PUT", "/albums/{album}/order", self.order),
            ("GET", "/views", self.views),
            ("PUT", "/views/{name}", self.save),
            ("DELETE", "/views/{name}", self.forget),
        ):
            router.add_api_route(path, endpoint, methods=[method])
        return router


class Session:
    """The endpoints about who is asking."""

    def __init__(self, studio: Studio) -> None:
        self._keys = studio.keys

    def enter(self, given: Token, response: Response, request: Request) -> dict[str, bool]:
        """Give the token that the server showed when it started; a cookie remembers it."""
        session = self._keys.enter(given.token)
        if session is None:
            raise HTTPException(401, "the token is wrong")
        secure = request.url.scheme == "https"
        response.set_cookie(COOKIE, session, httponly=True, samesite="strict", secure=secure, path="/")
        return {"entered": True}

    def look(self, request: Request) -> dict[str, Any]:
        """Return what changes have to be sent with in the header X-CSRF-Token, to who has given the token."""
        bearer = request.headers.get("authorization", "").removeprefix("Bearer ").strip()
        inside = self._keys.knows(request.cookies.get(COOKIE, "")) or self._keys.fits(bearer)
        known = not self._keys.asked or inside
        return {"entered": known, "csrf": self._keys.csrf if known else None}

    def routes(self) -> APIRouter:
        """Return the table of the endpoints."""
        router = APIRouter(prefix="/api", tags=["session"])
        router.add_api_route("/session", self.look, methods=["GET"])
        router.add_api_route("/session", self.enter, methods=["POST"])
        return router
