"""The studio's server: all endpoints, the guard before them, and what runs while it does."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.resources
import secrets
import socket
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI, Request
from fastapi.exception_handlers import request_validation_exception_handler
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from footage import __version__
from footage.errors import ConfigError, FootageError
from footage.library.library import Library
from footage.web.clips import Clips
from footage.web.collections import Collections, Session
from footage.web.guard import LOOPBACK, Guard, Keys, is_loopback
from footage.web.limits import Limits
from footage.web.live import Streams
from footage.web.making import Making
from footage.web.opinions import Opinions
from footage.web.pages import Pages
from footage.web.shelf import Shelf
from footage.web.studio import Studio
from footage.web.trainings import Trainings

TENDED = 5.0
"""Seconds between two looks at jobs that nobody works on."""
ABOUT = """Every action of the studio. What changes something needs the header X-CSRF-Token, which GET /api/session
gives, or, where the server asks for a token, `Authorization: Bearer TOKEN`."""


class Static(StaticFiles):
    """Files that come with footage; their addresses change with the version."""

    def file_response(self, *arguments: Any, **named: Any) -> Any:
        """Return a file that the browser may keep for a while."""
        answer = super().file_response(*arguments, **named)
        answer.headers["cache-control"] = "private, max-age=3600"
        return answer

    async def get_response(self, path: str, scope: Scope) -> Any:
        """Answer; a name that cannot be one is not found."""
        try:
            return await super().get_response(path, scope)
        except (ValueError, OSError):
            raise HTTPException(404) from None


def application(studio: Studio, names: Sequence[str] = LOOPBACK, addresses: bool = False) -> FastAPI:
    """Return the application, guarded.

    Args:
        studio: what it shows.
        names: host names that it goes by.
        addresses: whether it may also be called by any of its addresses.
    """
    streams, pages = Streams(studio), Pages(studio)

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        tending = asyncio.create_task(_tend(studio))
        try:
            yield
        finally:
            tending.cancel()
            await streams.close()
            await asyncio.to_thread(studio.close)

    app = FastAPI(
        title="footage studio",
        version=__version__,
        description=ABOUT,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        openapi_url="/api/openapi.json",
        exception_handlers=_handlers(pages),
    )
    for part in (Clips, Collections, Session, Making, Opinions, Trainings):
        app.include_router(part(studio).routes())
    app.include_router(pages.routes())
    app.include_router(streams.routes())
    static = str(importlib.resources.files("footage.web").joinpath("static"))
    app.mount("/static", Static(directory=static), name="static")
    app.add_middleware(Guard, keys=studio.keys, names=names, addresses=addresses, limits=studio.limits)
    return app


async def _tend(studio: Studio) -> None:
    """Look after the jobs for as long as the server runs."""
    while True:
        with contextlib.suppress(FootageError):
            await asyncio.to_thread(studio.workshop.tend)
        await asyncio.sleep(TENDED)


def _handlers(pages: Pages) -> dict[Any, Callable[..., Any]]:
    """Return what is answered to errors: a user's mistake is never a fault of the server.

    Somebody who looks at a page gets a page, in words; who asks the interface gets JSON.
    """

    def answer(request: Request, status: int, problem: str, remedy: str = "", headers: Any = None) -> Response:
        if _looks(request):
            return pages.refused(request, status, problem, remedy)
        return JSONResponse({"problem": problem, "remedy": remedy}, status, headers=headers)

    async def footage_error(request: Request, error: FootageError) -> Response:
        status = 507 if "disk is full" in error.problem else 400
        return await asyncio.to_thread(answer, request, status, error.problem, error.remedy)

    async def unicode_error(request: Request, error: UnicodeError) -> Response:
        return await asyncio.to_thread(answer, request, 400, "the request holds text that is no Unicode")

    async def http_error(request: Request, error: HTTPException) -> Response:
        detail: Any = error.detail
        said = detail if isinstance(detail, dict) else {"problem": str(detail), "remedy": ""}
        return await asyncio.to_thread(
            answer, request, error.status_code, said["problem"], said["remedy"], error.headers
        )

    async def invalid(request: Request, error: RequestValidationError) -> Response:
        if _looks(request):
            return await asyncio.to_thread(answer, request, 404, "")
        return await request_validation_exception_handler(request, error)

    return {
        FootageError: footage_error,
        UnicodeError: unicode_error,
        HTTPException: http_error,
        RequestValidationError: invalid,
    }


def _looks(request: Request) -> bool:
    """Whether somebody looks at a page in a browser, and no program asks the interface."""
    accepted = request.headers.get("accept", "")
    return request.method in ("GET", "HEAD") and "text/html" in accepted and not request.url.path.startswith("/api/")


@dataclass(frozen=True)
class Address:
    """Where and how a studio is served."""

    host: str = "127.0.0.1"
    """Address to bind to."""
    port: int = 8000
    """Port; 0 for any that is free."""
    names: tuple[str, ...] = ()
    """Further host names that it goes by."""
    token: bool = False
    """Ask for a token on this machine too; beyond it one is always asked for."""


class Server:
    """A studio that is served.

    Args:
        library: the library's folder; it is made where it is missing.
        models: folder in which models, runs and reports are found.
        address: where.
        limits: how much may be asked.

    Raises:
        ConfigError: the port is not free.
        LibraryError: the library cannot be opened.
    """

    def __init__(self, library: Path, models: Path, address: Address, limits: Limits | None = None) -> None:
        beyond = not is_loopback(address.host)
        self.token = secrets.token_urlsafe(24) if beyond or address.token else None
        """What is asked for, to be shown once; None where nothing is."""
        limits = limits or Limits()
        self._socket = _bound(address)
        self.address = f"http://{_written(address.host)}:{self._socket.getsockname()[1]}/"
        """Where it is."""
        self.studio = Studio(Library(library), Shelf(models), Keys(self.token, limits.tries), limits)
        names = (*LOOPBACK, *address.names, *([address.host, socket.gethostname()] if beyond else []))
        app = application(self.studio, names, addresses=beyond)
        config = uvicorn.Config(
            app, log_level="warning", server_header=False, proxy_headers=False, timeout_graceful_shutdown=2, ws="none"
        )
        self._server = uvicorn.Server(config)
        self._thread: threading.Thread | None = None

    @property
    def entrance(self) -> str:
        """The address to open first; the token stands behind #, which browsers send to nobody."""
        return self.address if self.token is None else f"{self.address}enter#{self.token}"

    def run(self) -> None:
        """Serve until Ctrl-C is pressed."""
        self._server.run(sockets=[self._socket])

    def start(self) -> None:
        """Serve in a thread; return when it answers."""
        self._thread = threading.Thread(target=self.run, name="studio", daemon=True)
        self._thread.start()
        while not self._server.started and self._thread.is_alive():
            threading.Event().wait(0.01)

    def stop(self) -> None:
        """End what `start` began."""
        self._server.should_exit = True
        if self._thread is not None:
            self._thread.join(15)


def _written(host: str) -> str:
    """Return a host as it stands in an address."""
    shown = {"0.0.0.0": socket.gethostname(), "::": socket.gethostname()}.get(host, host)
    return f"[{shown}]" if ":" in shown else shown


def _bound(address: Address) -> socket.socket:
    """Return a socket that is bound."""
    if not 0 <= address.port <= 65535:
        raise ConfigError(f"port is {address.port}", "give 0 to 65535")
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    # The protocol is named so that asyncio switches off Nagle's delay, which cost 40 ms on every short answer.
    made = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        made.bind((address.host, address.port))
    except (OSError, UnicodeError) as error:
        made.close()
        said = getattr(error, "strerror", None) or error
        raise ConfigError(f"{address.host}:{address.port} cannot be served: {said}", "give another --port") from None
    return made
