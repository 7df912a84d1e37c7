"""Application and server of the studio: all routes, the guard before them, and what runs while it is served."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.resources
import secrets
import signal
import socket
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException
from starlette.routing import Route
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from footage import __version__
from footage.errors import ConfigError, FootageError
from footage.library.edited import HangingClips
from footage.library.entries import plain
from footage.library.library import Library
from footage.library.storage import LibraryBusy
from footage.studio.accounts import Accounts
from footage.studio.catalog import Catalog
from footage.studio.encryption import Encryption
from footage.studio.roles import Role
from footage.studio.routes import (
    albums,
    chains,
    clips,
    datasets,
    jobs,
    live,
    making,
    origins,
    pages,
    people,
    planes,
    previews,
    ratings,
    sounds,
    timelines,
    training_pages,
    trainings,
)
from footage.studio.security import LOOPBACK, RETRY_AFTER, Guard, Keys, Limits, PromptProtocol, is_loopback
from footage.studio.state import Studio, temporary_in_memory

ROUTERS = (
    clips.router,
    albums.router,
    people.router,
    jobs.router,
    making.router,
    ratings.router,
    trainings.router,
    live.router,
    sounds.router,
    previews.router,
    timelines.router,
    planes.router,
    chains.router,
    datasets.router,
    pages.router,
    training_pages.router,
    origins.router,
)
MOST_FIELDS = 100
"""Fields that a refused request is told of."""
ENDING = ("SIGTERM", "SIGHUP")
"""Signals that ask the studio to end, beside that of Ctrl-C."""
TENDED = 5.0
"""Seconds between two looks at jobs that nobody works on."""
ABOUT = """Every action of the studio. What changes something needs the header X-CSRF-Token, which GET /api/session
gives, or, where the server asks for a token or has accounts, `Authorization: Bearer TOKEN`."""


class StaticAssets(StaticFiles):
    """Files that come with footage. Browsers ask whether they changed: scripts import each other without a version."""

    def file_response(self, *arguments: Any, **options: Any) -> Response:
        response = super().file_response(*arguments, **options)
        response.headers["cache-control"] = "private, no-cache"
        return response

    async def get_response(self, path: str, scope: Scope) -> Response:
        """Return a file; a name that cannot be one is not found."""
        try:
            return await super().get_response(path, scope)
        except (ValueError, OSError):
            raise HTTPException(404) from None


def application(studio: Studio, names: Sequence[str] = LOOPBACK, addresses: bool = False) -> FastAPI:
    """Return the application, guarded; see `Guard` for the names and addresses that it may be called by."""
    streams, grids, drafts = live.LiveStreams(studio), previews.PreviewProcess(studio), timelines.Drafts(studio)
    looked_at = planes.VolumeViews(studio)

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async def tend() -> None:
            while True:
                with contextlib.suppress(FootageError, OSError):  # what fails now may go in a moment
                    await asyncio.to_thread(studio.tend)
                await asyncio.sleep(TENDED)

        tending = asyncio.create_task(tend())
        try:
            yield
        finally:
            tending.cancel()
            await streams.close()
            await grids.close()
            await drafts.close()
            looked_at.close()
            await asyncio.to_thread(studio.close)

    app = FastAPI(
        title="footage studio",
        version=__version__,
        description=ABOUT,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        openapi_url="/api/openapi.json",
        exception_handlers=ERROR_HANDLERS,
    )
    app.state.studio, app.state.streams, app.state.previews, app.state.drafts = studio, streams, grids, drafts
    app.state.volumes = looked_at
    routes = [*(route for route in app.routes if isinstance(route, Route)), *all_routes()]
    for router in ROUTERS:
        app.include_router(router)
    static = str(importlib.resources.files("footage.studio").joinpath("static"))
    app.mount("/static", StaticAssets(directory=static), name="static")
    app.add_middleware(
        Guard,
        keys=studio.keys,
        names=names,
        addresses=addresses,
        limits=studio.limits,
        routes=routes,
        answer=error_response,
        hidden=studio.locked,
    )
    return app


def all_routes() -> list[Route]:
    """Return the routes of the interface and of the pages, as they are asked."""
    return [route for router in ROUTERS for route in router.routes if isinstance(route, Route)]


def wants_page(request: Request) -> bool:
    """Whether somebody looks at a page in a browser, and no program asks the interface."""
    accepted = request.headers.get("accept", "")
    return request.method in ("GET", "HEAD") and "text/html" in accepted and not request.url.path.startswith("/api/")


def error_response(request: Request, status: int, problem: str, remedy: str = "", headers: Any = None) -> Response:
    """Return what is answered to an error: a page, in words, to who looks at one; JSON to who asks the interface."""
    if wants_page(request):
        return pages.error_page(request, status, problem, remedy)
    return JSONResponse({"problem": problem, "remedy": remedy}, status, headers=headers)


async def answer_footage_error(request: Request, error: FootageError) -> Response:
    """Answer a mistake that footage names: it is the user's, or that of a disk that is full or read-only."""
    status = 507 if error.problem.startswith(("the disk is full", "the disk is read-only")) else 400
    return await asyncio.to_thread(error_response, request, status, error.problem, error.remedy)


async def answer_hanging_clips(request: Request, error: HangingClips) -> Response:
    """Answer the removal of a clip from which others are made by effects: it may be asked for with these."""
    return await asyncio.to_thread(error_response, request, 409, error.problem, error.remedy)


async def answer_busy_library(request: Request, error: LibraryBusy) -> Response:
    """Answer a change that waited too long for another process: it is to be made again."""
    return await asyncio.to_thread(
        error_response, request, 503, error.problem, error.remedy, {"retry-after": str(RETRY_AFTER)}
    )


async def answer_unicode_error(request: Request, _: UnicodeError) -> Response:
    """Answer a request that holds half of a surrogate pair."""
    return await asyncio.to_thread(error_response, request, 400, "the request holds text that is no Unicode")


async def answer_http_error(request: Request, error: HTTPException) -> Response:
    """Answer what a route refused; its detail is a text, or problem and remedy."""
    detail: Any = error.detail
    reason = detail if isinstance(detail, dict) else {"problem": str(detail), "remedy": ""}
    return await asyncio.to_thread(
        error_response, request, error.status_code, reason["problem"], reason["remedy"], error.headers
    )


async def answer_invalid_request(request: Request, error: RequestValidationError) -> Response:
    """Answer a request whose values do not fit: there is no such page, or a list of what does not fit."""
    if wants_page(request):
        return await asyncio.to_thread(error_response, request, 404, "")
    # What was sent is not sent back: it may be no JSON (1e999), no Unicode, or large.
    fields = [
        {
            "type": field["type"],
            "loc": [place if isinstance(place, int) else plain(place) for place in field["loc"]],
            "msg": plain(field["msg"]),
        }
        for field in error.errors()[:MOST_FIELDS]
    ]
    return JSONResponse({"detail": fields}, 422)


ERROR_HANDLERS: dict[Any, Callable[..., Any]] = {
    LibraryBusy: answer_busy_library,
    HangingClips: answer_hanging_clips,
    FootageError: answer_footage_error,
    UnicodeError: answer_unicode_error,
    HTTPException: answer_http_error,
    RequestValidationError: answer_invalid_request,
}
"""Answers to errors: a user's mistake is never a fault of the server."""


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
    """Ask for a token on this machine too; beyond it one, or an account, is always asked for."""
    accounts: bool = False
    """Ask for an account in place of the token."""
    encryption: Encryption | None = None
    """Certificate of HTTPS; None for HTTP."""

    def url(self, port: int) -> str:
        """Return the address to open in a browser on this machine, with the port that was bound to."""
        host = socket.gethostname() if self.host in ("0.0.0.0", "::") else self.host
        scheme = "http" if self.encryption is None else "https"
        return f"{scheme}://[{host}]:{port}/" if ":" in host else f"{scheme}://{host}:{port}/"

    def bind(self) -> socket.socket:
        """Return a socket that is bound; refuse a port that there is not, or that is not free."""
        if not 0 <= self.port <= 65535:
            raise ConfigError(f"port is {self.port}", "give 0 to 65535")
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        # The protocol is named so that asyncio switches off Nagle's delay, which cost 40 ms on every short answer.
        listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((self.host, self.port))
        except (OSError, UnicodeError) as error:
            listener.close()
            reason = getattr(error, "strerror", None) or error
            raise ConfigError(f"{self.host}:{self.port} cannot be served: {reason}", "give another --port") from None
        return listener


class EndingServer(uvicorn.Server):
    """Ends the processes that requests wait for, then waits for the requests: none is broken off with a traceback."""

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        assert isinstance(self.config.app, FastAPI)
        state = self.config.app.state
        for processes in (state.streams, state.previews, state.drafts):
            await processes.close()
        await super().shutdown(sockets)


class Server:
    """A studio that is served: a library, made where it is missing, and a folder of models, runs and reports.

    Videos below `sources`, or below the folder of models where none is given, may be ingested.

    Raises:
        ConfigError: the port is not free.
        LockError: the library is locked, and its key is not known, or this machine has no files in memory.
        LibraryError: the library cannot be opened.
    """

    def __init__(
        self,
        library: Path,
        models: Path,
        address: Address,
        limits: Limits | None = None,
        sources: Sequence[Path] = (),
        speech: str | None = None,
    ) -> None:
        beyond = not is_loopback(address.host)
        self.token = secrets.token_urlsafe(24) if (beyond or address.token) and not address.accounts else None
        """What is asked for, to be shown once; None where nothing is."""
        limits = limits or Limits()
        self._socket = address.bind()
        port = self._socket.getsockname()[1]
        self.address = address.url(port)
        """Where it is."""
        opened = Library(library)
        accounts = Accounts(opened.folder) if address.accounts else None
        keys = Keys(self.token, limits.tries, port, accounts)
        with contextlib.ExitStack() as held:
            if opened.key_source:
                held.enter_context(temporary_in_memory())
            self.studio = Studio(opened, Catalog(models), keys, limits, sources, speech)
            self._held = held.pop_all()
        names = (*LOOPBACK, *address.names, *([address.host, socket.gethostname()] if beyond else []))
        app = application(self.studio, names, addresses=beyond)
        config = uvicorn.Config(
            app,
            http=PromptProtocol,
            ws="none",
            log_level="warning",
            server_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=2,
        )
        config.load()
        if address.encryption is not None:
            config.ssl = address.encryption.context()
        self._server = EndingServer(config)
        self._thread: threading.Thread | None = None

    @property
    def entrance(self) -> str:
        """The address to open first; the token stands behind #, which browsers send to nobody."""
        return self.address if self.token is None else f"{self.address}enter#{self.token}"

    def invite_administrator(self) -> str:
        """Return the address at which an administrator makes an account, once; it is not shown again."""
        accounts = self.studio.keys.accounts
        assert accounts is not None
        return f"{self.address}join#{accounts.invite(Role.administer.name)[1]}"

    @property
    def administered(self) -> bool:
        """Whether there is an administrator, where there are accounts."""
        accounts = self.studio.keys.accounts
        return accounts is None or accounts.administered

    def run(self) -> None:
        """Serve until Ctrl-C is pressed, or a signal asks to end, by which the process ends once all is cleared."""
        asked = list[int]()

        def end(number: int, _: object) -> None:
            asked.append(number)
            self._server.should_exit = True

        before = dict[int, Any]()
        if threading.current_thread() is threading.main_thread():
            numbers = [getattr(signal, name) for name in ENDING if hasattr(signal, name)]
            # One that is ignored, as by nohup, stays so.
            before = {one: signal.signal(one, end) for one in numbers if signal.getsignal(one) != signal.SIG_IGN}
        try:
            with self._held:
                self._server.run(sockets=[self._socket])
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
        for number in asked[:1]:
            signal.raise_signal(number)

    def start(self) -> None:
        """Serve in a thread; return when it answers."""
        self._thread = threading.Thread(target=self.run, name="studio", daemon=True)
        self._thread.start()
        while not self._server.started and self._thread.is_alive():
            threading.Event().wait(0.01)

    def stop(self) -> None:
        self._server.should_exit = True
        if self._thread is not None:
            self._thread.join(15)
