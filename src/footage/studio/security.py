"""Guard between the network and the studio: who may ask, from which page, how much, how often and how slowly.

Host names are checked against DNS rebinding; what changes something must come from the studio's own page (Origin, Fetch
Metadata and a token in a header) or carry the bearer's token; every answer has a strict content security policy.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import ipaddress
import math
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import h11
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request, cookie_parser
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from footage.errors import FootageError
from footage.library.storage import Actor, acting
from footage.studio.accounts import Accounts, hashed
from footage.studio.roles import OWNER, STRANGER, LeastRoles, Role, Visitor

HEAD_SECONDS = 10.0
"""Time in which the head of a request must have come."""
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
"""Methods that change nothing."""
ENTRANCES = ("/api/session", "/api/join")
"""Where the token, a password or an invitation is given, by who cannot have the header yet."""
OPEN = ("/static/", "/enter", "/join", "/language/", *ENTRANCES, "/favicon.ico")
"""What is answered without the token."""
LASTING = ("/static/", "/api/live")
"""What takes no time of the library, or goes on for as long as somebody looks."""
RETRY_AFTER = 1
"""Seconds after which a request that was put off is made again."""
MINUTE = 60.0
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
STRICT = "max-age=15552000"
"""Seconds for which a browser is to ask with encryption alone, of a server that has it: half a year."""
UNRECORDED = frozenset({("PUT", "/api/sources/uploads"), ("POST", "/api/ratings/pairs"), ("POST", "/api/previews")})
"""What is not written into the log: pieces of a file, and what changes nothing, pairs and previews."""


@dataclass(frozen=True)
class Limits:
    """How much anybody may ask of one server."""

    body: int = 4 * 2**20
    """Bytes of a request that is no upload."""
    upload: int = 2 * 2**30
    """Bytes of an uploaded clip."""
    sound: int = 512 * 2**20
    """Bytes of a sound that is sent."""
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
    """Requests a second that change something, for one address and for one account, in the long run."""
    burst: int = 400
    """How many of them may come at once."""
    pairs: int = 2000
    """Blind pairs that wait for an answer."""
    exports: int = 20
    """Exports that are kept to be fetched."""
    waiting: int = 100
    """Requests that are at work or wait at the same time; more are put off. Videos and uploads are not counted."""
    tries: int = 10
    """Wrong tokens and passwords in a minute from one address, or for one account, after which none is looked at."""


def is_loopback(host: str) -> bool:
    """Whether an address that is bound to can be reached from this machine only."""
    if host in LOOPBACK:
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class Tries:
    """Counts what went wrong, by who tried: `most` in a minute."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._wrong: OrderedDict[str, list[float]] = OrderedDict()
        self._lock = threading.Lock()

    def check(self, *names: str, what: str = "tokens", count: bool = False) -> None:
        """Refuse who has given too many wrong ones in the last minute.

        Args:
            names: an address, an account.
            what: what is tried, for the words of the refusal.
            count: count the try as wrong, until it is forgiven, so that of many at once no more are looked at.

        Raises:
            HTTPException: 429; then nothing is counted.
        """
        now = time.monotonic()
        with self._lock:
            tried = {name: [then for then in self._wrong.pop(name, []) if now - then < MINUTE] for name in names}
            late = [times[-self._most] for times in tried.values() if len(times) >= self._most]
            for name, times in tried.items():
                if times := [*times, now] if count and not late else times:
                    self._wrong[name] = times
            while len(self._wrong) > SESSIONS:
                self._wrong.popitem(last=False)
        if late:
            after = math.ceil(max(late) + MINUTE - now)
            raise HTTPException(429, f"too many wrong {what}: wait a minute", {"retry-after": str(after)})

    def count(self, name: str) -> None:
        """Count a wrong one."""
        with self._lock:
            self._wrong.setdefault(name, []).append(time.monotonic())

    def forgive(self, *names: str) -> None:
        """Take back the last one that was counted for each: it was right."""
        with self._lock:
            for name in names:
                if self._wrong.get(name):
                    self._wrong[name].pop()


class Keys:
    """The secrets of one server, kept as digests; with no token and no accounts, nobody is asked for any.

    `port` is where the server listens. It is in the cookie's name, for browsers send cookies to all ports of a host.
    """

    def __init__(
        self,
        token: str | None = None,
        tries: int = 10,
        port: int | None = None,
        accounts: Accounts | None = None,
    ) -> None:
        self.csrf = secrets.token_urlsafe(32)
        """What the studio's own pages send with every change; where there are accounts, see `csrf_of`."""
        self.cookie = "footage_session" if port is None else f"footage_session_{port}"
        """Name of the cookie of who has come in."""
        self.accounts = accounts
        """None where there is one owner."""
        self.tries = Tries(tries)
        self._token = None if token is None else hashed(token)
        self._sessions: OrderedDict[bytes, None] = OrderedDict()
        self._lock = threading.Lock()

    @property
    def asked(self) -> bool:
        """Whether a token, or a name and a password, have to be given."""
        return self._token is not None or self.accounts is not None

    def fits(self, token: str) -> bool:
        """Whether this is the token; takes the same time for any."""
        return self._token is not None and hmac.compare_digest(self._token, hashed(token))

    def enter(self, token: str, client: str = "") -> str | None:
        """Return a new session for the token, None for a wrong one; 429 after too many wrong ones."""
        if self.bearer(token, client) is None:
            return None
        session = secrets.token_urlsafe(32)
        with self._lock:
            self._sessions[hashed(session)] = None
            while len(self._sessions) > SESSIONS:
                self._sessions.popitem(last=False)
            return session

    def leave(self, session: str) -> None:
        """End a session."""
        if self.accounts is not None:
            self.accounts.leave(session)
        with self._lock:
            self._sessions.pop(hashed(session), None)

    def bearer(self, token: str, client: str = "") -> Visitor | None:
        """Return who a program's token is of; None for a wrong one; 429 to a client that gave too many wrong ones."""
        self.tries.check(client)
        if self.accounts is not None:
            visitor = self.accounts.bearer(token)
        else:
            visitor = Visitor(Role.administer, trusted=True) if self.fits(token) else None
        if visitor is None:
            self.tries.count(client)
        return visitor

    def visitor(self, session: str) -> Visitor | None:
        """Return who a session is of; sessions are looked up by digest, which tells nothing by its time."""
        if self.accounts is not None:
            return self.accounts.visitor(session)
        with self._lock:
            known = bool(session) and hashed(session) in self._sessions
        return Visitor(Role.administer, session=session) if known else None

    def csrf_of(self, visitor: Visitor) -> str:
        """Return what the pages of a visitor send with every change: of each session of an account another."""
        if self.accounts is None:
            return self.csrf
        return hmac.new(self.csrf.encode(), visitor.session.encode(), "sha256").hexdigest() if visitor.session else ""

    def same_page(self, token: str, visitor: Visitor) -> bool:
        """Whether this is what the studio's own pages send."""
        return hmac.compare_digest(hashed(self.csrf_of(visitor)), hashed(token))


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

    With `addresses`, the server may also be called by any of its addresses: a rebound name never is one. With `hidden`,
    browsers are to keep nothing but what comes with footage.
    """

    def __init__(
        self,
        app: ASGIApp,
        keys: Keys,
        names: Iterable[str],
        addresses: bool,
        limits: Limits,
        routes: Iterable[Route],
        answer: Callable[[Request, int, str, str], Response],
        hidden: bool = False,
    ) -> None:
        self._app, self._keys, self._limits, self._answer = app, keys, limits, answer
        self._names = {name.lower().rstrip(".") for name in names}
        self._addresses, self._hidden = addresses, hidden
        self._bucket = Bucket(limits.changes, limits.burst)
        self._least = LeastRoles(routes)
        self._waiting = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return
        sender = with_headers(send, scope, self._hidden and not scope["path"].startswith("/static/"))
        if not self.serves(Headers(scope=scope).get("host", "")):
            refusal = refuse(421, "this host name is not served here", "start with --names NAME to allow it")
            await refusal(scope, receive, sender)
            return
        if self._keys.accounts is None:
            admitted = self.admit(scope)
        else:  # a database is asked
            admitted = await asyncio.to_thread(self.admit, scope)
        if isinstance(admitted, Response):
            scope["visitor"] = STRANGER
            await admitted(scope, receive, sender)
            return
        scope["visitor"] = admitted
        with acting(admitted.name) as actor:
            if self._keys.accounts is None or scope["method"] in SAFE:
                await self._serve(scope, receive, sender)
            else:
                await self._serve_recorded(self._keys.accounts, actor, scope, receive, sender)

    async def _serve_recorded(
        self, accounts: Accounts, actor: Actor, scope: Scope, receive: Receive, send: Send
    ) -> None:
        """Serve a request that changes something, and write it into the log with what it was answered."""
        answered = 0

        async def sender(message: Message) -> None:
            nonlocal answered
            answered = message.get("status", answered)
            await send(message)

        try:
            await self._serve(scope, receive, sender)
        finally:
            path, method = scope["path"], scope["method"]
            route, _ = self._least.find(method, path)
            if (method, route) not in UNRECORDED and answered not in (429, 503) and (route or scope["visitor"].name):
                doings = [*([] if route == path else [path]), *actor.doings]
                client = str((scope.get("client") or ("?",))[0])
                with contextlib.suppress(FootageError):  # a full disk does not take what was done back
                    await asyncio.to_thread(
                        accounts.record, scope["visitor"], method, route, doings, answered or 500, client
                    )

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request of somebody who was let in, unless it is refused or put off."""
        refusal = await self.refusal(scope)
        if refusal is not None:
            await refusal(scope, receive, send)
            return
        upload = scope["method"] == "POST" and scope["path"] in ("/api/uploads", "/api/sounds")
        most = max(self._limits.upload, self._limits.archive) if upload else self._limits.body
        if upload or scope["path"].startswith(LASTING):
            await self._app(scope, bounded(receive, most), send)
        elif self._waiting >= self._limits.waiting:
            refusal = refuse(503, "too many people ask at the same moment", "try again in a moment")
            refusal.headers["retry-after"] = str(RETRY_AFTER)
            if "text/html" in Headers(scope=scope).get("accept", ""):  # a browser loads the page again by itself
                refusal.headers["refresh"] = str(RETRY_AFTER)
            await refusal(scope, receive, send)
        else:
            self._waiting += 1
            try:
                await self._app(scope, bounded(receive, most), send)
            finally:
                self._waiting -= 1

    def admit(self, scope: Scope) -> Visitor | Response:
        """Return who makes a request, or what they are refused with, who may not come in."""
        headers, path = Headers(scope=scope), scope["path"]
        if not self._keys.asked:
            return OWNER
        bearer = headers.get("authorization", "").removeprefix("Bearer ").strip()
        if bearer:
            try:
                visitor = self._keys.bearer(bearer, client_address(scope))
            except HTTPException as error:
                return refuse(error.status_code, error.detail, "", error.headers)
            remedy = "it was shown when the server started" if self._keys.accounts is None else "see your account"
            return visitor or refuse(401, "the token is wrong", remedy)
        cookies = cookie_parser(headers.get("cookie", ""))
        visitor = self._keys.visitor(cookies.get(self._keys.cookie, ""))
        if visitor is not None:
            return visitor
        if path.startswith(OPEN):
            return STRANGER
        if scope["method"] == "GET" and "text/html" in headers.get("accept", ""):
            return RedirectResponse("/enter", 303)
        return refuse(401, "a token is required", "open /enter, or send: Authorization: Bearer TOKEN")

    async def refusal(self, scope: Scope) -> Response | None:
        """Return what a request of somebody who was let in is refused with; None where it may pass."""
        headers, path, method, visitor = Headers(scope=scope), scope["path"], scope["method"], scope["visitor"]
        if visitor.role < Role.administer and not path.startswith("/static/"):
            _, least = self._least.find(method, path)
            if visitor.role < least:
                problem, remedy = "your role does not allow this", "ask an administrator"
                return await asyncio.to_thread(self._answer, Request(scope), 403, problem, remedy)
        if method in SAFE:
            foreign = headers.get("sec-fetch-site") in ("cross-site", "same-site")
            if foreign and headers.get("sec-fetch-mode") != "navigate":
                return refuse(403, "another site asks for this", "open the studio itself")
            return None
        who = [client_address(scope), *([f"account {visitor.account}"] if visitor.account else [])]
        if not all([self._bucket.take(name) for name in who]):
            after = {"retry-after": str(RETRY_AFTER)}
            return refuse(429, "too many changes at once", "wait a moment", after)
        return None if visitor.trusted else self.forgery(headers, path, visitor)

    def forgery(self, headers: Headers, path: str, visitor: Visitor) -> Response | None:
        """Return what a change is refused with that does not come from the studio's own page."""
        origin, own_page = headers.get("origin"), headers.get("sec-fetch-site") in (None, "same-origin", "none")
        try:
            own_page &= origin is None or urlsplit(origin).netloc.lower() == headers.get("host", "").lower()
        except ValueError:
            own_page = False
        if not own_page:
            return refuse(403, "another site asks for this", "use the studio's own page")
        if path not in ENTRANCES and not self._keys.same_page(headers.get("x-csrf-token", ""), visitor):
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


def refuse(status: int, problem: str, remedy: str, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """Return a refusal as every error of the interface looks."""
    return JSONResponse({"problem": problem, "remedy": remedy}, status, headers=headers)


def with_headers(send: Send, scope: Scope, hidden: bool = False) -> Send:
    """Return a sender that adds the headers which every answer has; of `hidden` ones browsers keep none."""
    # Not of this machine's own names, which other servers here go by, at other ports.
    encrypted = scope.get("scheme") == "https" and not Headers(scope=scope).get("host", "").startswith(LOOPBACK)

    async def sender(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers.setdefault(name, value)
            if encrypted:
                headers.setdefault("strict-transport-security", STRICT)
            headers.setdefault("content-security-policy", POLICY)
            headers["cache-control"] = "no-store" if hidden else headers.get("cache-control", "no-store")
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
