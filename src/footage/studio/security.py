"""Guard between the network and the studio: who may ask, from which page, how much, how often and how slowly.

Host names are checked against DNS rebinding; what changes something must come from the studio's own page (Origin, Fetch
Metadata and a token in a header) or carry the bearer's token; every answer has a strict content security policy.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import ipaddress
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Iterable, MutableMapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import h11
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import cookie_parser
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

HEAD_SECONDS = 10.0
"""Time in which the head of a request must have come."""
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
"""Methods that change nothing."""
ENTRANCE = "/api/session"
"""Where the token is given, by who cannot have the header yet."""
OPEN = ("/static/", "/enter", ENTRANCE, "/favicon.ico")
"""What is answered without the token."""
LASTING = ("/static/", "/api/live")
"""What takes no time of the library, or goes on for as long as somebody looks."""
RETRY_AFTER = 1
"""Seconds after which a request that was put off is made again."""
SESSIONS = 1000
"""People, and addresses, that are remembered."""
LOOPBACK = ("localhost", "127.0.0.1", "::1")
"""Names of this machine for itself."""
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; media-src 'self' blob:; "
    "connect-src 'self'; frame-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'; "
    "manifest-src 'self'"
)
"""Content security policy of the studio's own pages: no inline script or style, nothing from elsewhere."""
DOCUMENT_POLICY = (
    "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data: 'self'; media-src data: 'self'; "
    "form-action 'none'; base-uri 'none'; frame-ancestors 'self'"
)
"""That of a report that is looked at inside a page: it runs no script and belongs to no origin."""
HEADERS = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
}
"""Other headers of every answer."""


@dataclass(frozen=True)
class Limits:
    """How much anybody may ask of one server."""

    body: int = 4 * 2**20
    """Bytes of a request that is no upload."""
    upload: int = 2 * 2**30
    """Bytes of an uploaded clip."""
    archive: int = 64 * 2**30
    """Bytes of an uploaded zip file."""
    unpacked: int = 128 * 2**30
    """Bytes that an uploaded zip file may unpack to."""
    sent_file: int = 64 * 2**30
    """Bytes of a file that is sent to be ingested."""
    sent_files: int = 20_000
    """Files of a folder that is sent to be ingested."""
    sent_bytes: int = 512 * 2**30
    """Bytes of all these files."""
    check_seconds: int = 120
    """Time in which a clip must have been decoded; each of a zip file has as much."""
    check_memory: int = 3 * 2**30
    """Bytes of memory that decoding an upload may take."""
    queue: int = 50
    """Jobs that may wait and run."""
    job_clips: int = 1000
    """Clips of one job."""
    job_frames: int = 200_000
    """Frames of one job, over all its clips."""
    streams: int = 4
    """Models that stream at the same time."""
    changes: float = 50.0
    """Requests a second that change something, for one client, in the long run."""
    burst: int = 400
    """How many of them may come at once."""
    pairs: int = 2000
    """Blind pairs that wait for an answer."""
    exports: int = 20
    """Exports that are kept to be fetched."""
    waiting: int = 100
    """Requests that are at work or wait at the same time; more are put off. Videos and uploads are not counted."""
    tries: int = 10
    """Wrong tokens in a minute from one address, after which none of that address is looked at."""


def is_loopback(host: str) -> bool:
    """Whether an address that is bound to can be reached from this machine only."""
    if host in LOOPBACK:
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def digest(text: str) -> bytes:
    """Return what is kept in place of a secret."""
    return hashlib.sha256(text.encode("utf-8", "replace")).digest()


class Keys:
    """The secrets of one server, kept as digests; with no token, nobody is asked for one.

    `port` is where the server listens. It is in the cookie's name, for browsers send cookies to all ports of a host.
    """

    def __init__(self, token: str | None = None, tries: int = 10, port: int | None = None) -> None:
        self.csrf = secrets.token_urlsafe(32)
        """What the studio's own pages send with every change."""
        self.cookie = "footage_session" if port is None else f"footage_session_{port}"
        """Name of the cookie of who has given the token."""
        self._token = None if token is None else digest(token)
        self._sessions: OrderedDict[bytes, None] = OrderedDict()
        self._wrong: OrderedDict[str, list[float]] = OrderedDict()
        self._tries = tries
        self._lock = threading.Lock()

    @property
    def asked(self) -> bool:
        """Whether a token has to be given."""
        return self._token is not None

    def fits(self, token: str) -> bool:
        """Whether this is the token; takes the same time for any."""
        return self._token is not None and hmac.compare_digest(self._token, digest(token))

    def opens(self, token: str, client: str = "") -> bool:
        """Whether this is the token; 429 to a client that has given too many wrong ones in the last minute."""
        now = time.monotonic()
        with self._lock:
            wrong = [then for then in self._wrong.pop(client, []) if now - then < 60]
            if late := len(wrong) >= self._tries:
                right = False
            elif not (right := self.fits(token)):
                wrong.append(now)
            if wrong:
                self._wrong[client] = wrong
            while len(self._wrong) > SESSIONS:
                self._wrong.popitem(last=False)
        if late:
            raise HTTPException(429, "too many wrong tokens: wait a minute")
        return right

    def enter(self, token: str, client: str = "") -> str | None:
        """Return a new session for the token, None for a wrong one; 429 after too many wrong ones."""
        if not self.opens(token, client):
            return None
        session = secrets.token_urlsafe(32)
        with self._lock:
            self._sessions[digest(session)] = None
            while len(self._sessions) > SESSIONS:
                self._sessions.popitem(last=False)
            return session

    def knows(self, session: str) -> bool:
        """Whether a session was given out; sessions are looked up by digest, which tells nothing by its time."""
        with self._lock:
            return bool(session) and digest(session) in self._sessions

    def same_page(self, token: str) -> bool:
        """Whether this is what the studio's own pages send."""
        return hmac.compare_digest(digest(self.csrf), digest(token))


class Bucket:
    """Counts what clients do: `rate` a second in the long run, `burst` at once."""

    def __init__(self, rate: float, burst: int) -> None:
        self._rate, self._burst = rate, float(burst)
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self._lock = threading.Lock()

    def take(self, client: str) -> bool:
        """Whether a client may do one thing more."""
        now = time.monotonic()
        with self._lock:
            left, then = self._left.pop(client, (self._burst, now))
            left = min(self._burst, left + (now - then) * self._rate)
            self._left[client] = (max(0.0, left - 1), now)
            while len(self._left) > SESSIONS:
                self._left.popitem(last=False)
        return left >= 1


def client_address(scope: Scope) -> str:
    """Return where a request comes from; of IPv6 the network of 64 bits, of which one machine has all addresses."""
    host = str((scope.get("client") or ("?",))[0])
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host
    if address.version == 6 and address.ipv4_mapped is None:
        return str(ipaddress.ip_network((int(address) >> 64 << 64, 64)))
    return host


class Guard:
    """The middleware that every request passes.

    With `addresses`, the server may also be called by any of its addresses: a rebound name never is one.
    """

    def __init__(self, app: ASGIApp, keys: Keys, names: Iterable[str], addresses: bool, limits: Limits) -> None:
        self._app, self._keys, self._limits = app, keys, limits
        self._names = {name.lower().rstrip(".") for name in names}
        self._addresses = addresses
        self._bucket = Bucket(limits.changes, limits.burst)
        self._waiting = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return
        refusal = self.refusal(scope)
        sender = with_headers(send)
        if refusal is not None:
            await refusal(scope, receive, sender)
            return
        upload = scope["method"] == "POST" and scope["path"] == "/api/uploads"
        most = max(self._limits.upload, self._limits.archive) if upload else self._limits.body
        if upload or scope["path"].startswith(LASTING):
            await self._app(scope, bounded(receive, most), sender)
        elif self._waiting >= self._limits.waiting:
            refusal = refuse(503, "too many people ask at the same moment", "try again in a moment")
            refusal.headers["retry-after"] = str(RETRY_AFTER)
            if "text/html" in Headers(scope=scope).get("accept", ""):  # a browser loads the page again by itself
                refusal.headers["refresh"] = str(RETRY_AFTER)
            await refusal(scope, receive, sender)
        else:
            self._waiting += 1
            try:
                await self._app(scope, bounded(receive, most), sender)
            finally:
                self._waiting -= 1

    def refusal(self, scope: Scope) -> Response | None:
        """Return what a request is refused with; None where it may pass."""
        headers, path, method, client = Headers(scope=scope), scope["path"], scope["method"], client_address(scope)
        if not self.serves(headers.get("host", "")):
            return refuse(421, "this host name is not served here", "start with --names NAME to allow it")
        bearer = headers.get("authorization", "").removeprefix("Bearer ").strip()
        trusted = False
        if bearer and self._keys.asked:
            try:
                trusted = self._keys.opens(bearer, client)
            except HTTPException as error:
                return refuse(error.status_code, error.detail, "")
            if not trusted:
                return refuse(401, "the token is wrong", "it was shown when the server started")
        if self._keys.asked and not trusted and not path.startswith(OPEN):
            cookies = cookie_parser(headers.get("cookie", ""))
            if not self._keys.knows(cookies.get(self._keys.cookie, "")):
                if method == "GET" and "text/html" in headers.get("accept", ""):
                    return RedirectResponse("/enter", 303)
                return refuse(401, "a token is required", "open /enter, or send: Authorization: Bearer TOKEN")
        if method in SAFE:
            foreign = headers.get("sec-fetch-site") in ("cross-site", "same-site")
            if foreign and headers.get("sec-fetch-mode") != "navigate":
                return refuse(403, "another site asks for this", "open the studio itself")
            return None
        if not self._bucket.take(client):
            return refuse(429, "too many changes at once", "wait a moment")
        return None if trusted else self.forgery(headers, path)

    def forgery(self, headers: Headers, path: str) -> Response | None:
        """Return what a change is refused with that does not come from the studio's own page."""
        origin, own_page = headers.get("origin"), headers.get("sec-fetch-site") in (None, "same-origin", "none")
        try:
            own_page &= origin is None or urlsplit(origin).netloc.lower() == headers.get("host", "").lower()
        except ValueError:
            own_page = False
        if not own_page:
            return refuse(403, "another site asks for this", "use the studio's own page")
        if path != ENTRANCE and not self._keys.same_page(headers.get("x-csrf-token", "")):
            return refuse(
                403, "the header X-CSRF-Token is missing or stale", "load the page again, or GET /api/session"
            )
        return None

    def serves(self, host: str) -> bool:
        """Whether this server goes by a host name; DNS rebinding gives it others."""
        try:
            name = (urlsplit(f"//{host}").hostname or "").rstrip(".")
            urlsplit(f"//{host}").port  # noqa: B018 - a port that is none raises
        except ValueError:
            return False
        if name in self._names:
            return True
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return self._addresses


def refuse(status: int, problem: str, remedy: str) -> JSONResponse:
    """Return a refusal as every error of the interface looks."""
    return JSONResponse({"problem": problem, "remedy": remedy}, status)


def with_headers(send: Send) -> Send:
    """Return a sender that adds the headers which every answer has."""

    async def sender(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers.setdefault(name, value)
            headers.setdefault("content-security-policy", POLICY)
            headers.setdefault("cache-control", "no-store")
        await send(message)

    return sender


def bounded(receive: Receive, most: int) -> Receive:
    """Return a receiver that refuses a body when it becomes too large, whatever its header says."""
    taken = 0

    async def receiver() -> Message:
        nonlocal taken
        message = await receive()
        if message["type"] == "http.request":
            taken += len(message.get("body", b""))
            if taken > most:
                raise HTTPException(413, f"the request has more than {most:,} bytes")
        return message

    return receiver


class PromptProtocol(H11Protocol):
    """HTTP/1.1 over a connection, which is closed where the head of a request takes more than `HEAD_SECONDS`."""

    _late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._watch_head()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch_head()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if self._late is not None:
            self._late.cancel()

    def _watch_head(self) -> None:
        """Begin to wait where a head is to come, and end it where that has come."""
        waits = self.conn.their_state is h11.IDLE and self.timeout_keep_alive_task is None
        if waits and self._late is None:
            self._late = self.loop.call_later(HEAD_SECONDS, self.transport.close)
        elif not waits and self._late is not None:
            self._late.cancel()
            self._late = None
