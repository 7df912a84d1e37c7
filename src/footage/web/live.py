"""The interface to live streams: a process makes each, and one connection carries it to the browser."""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, HTTPException
from fastapi.responses import StreamingResponse

from footage.errors import ConfigError
from footage.web.asking import Live, NewLive
from footage.web.studio import Studio

BLOCK = 64 * 1024
"""Bytes that are passed on at once."""
ABANDONED = 20.0
"""Seconds after which a stream that nobody watches is ended."""
MEDIA = "video/mp4"
"""Media type of the stream."""


@dataclass(frozen=True)
class LiveEntry:
    """A stream that is made now."""

    id: str
    """Its name."""
    model: str
    """Who makes it."""
    state: str
    """`loading`, `streaming` or `ended`."""
    frames: int
    """Frames that were made."""
    rate: float
    """Frames a second."""
    change: int
    """How many changes have been taken up."""
    problem: str
    """Why it ended, or why the last change was refused; empty when all is well."""
    seed: int
    """Seed that was asked for last."""
    label: str | None
    """Label that was asked for last."""


class Stream:
    """A process that streams.

    Args:
        name: how it is asked for.
        model: the model's name.
        process: the process.
        asked: what it streams.
    """

    def __init__(self, name: str, model: str, process: asyncio.subprocess.Process, asked: dict[str, Any]) -> None:
        self.name, self.model, self.asked = name, model, asked
        self.watched, self.touched = False, time.monotonic()
        self._process = process
        self._status: dict[str, Any] = {}
        self._listening = asyncio.create_task(self._listen())

    @property
    def ended(self) -> bool:
        """Whether it is over."""
        return self._process.returncode is not None

    def entry(self) -> LiveEntry:
        """Return how it goes."""
        said = self._status
        state = "ended" if self.ended or said.get("ended") else "streaming" if said.get("frames") else "loading"
        return LiveEntry(
            *(self.name, self.model, state),
            *(int(said.get("frames", 0)), float(said.get("rate", 0.0)), int(said.get("change", 0))),
            *(str(said.get("problem", "")), self.asked["seed"], self.asked["label"]),
        )

    async def send(self, asked: dict[str, Any]) -> None:
        """Tell the process what to stream."""
        self.asked, self.touched = asked, time.monotonic()
        pipe = self._process.stdin
        assert pipe is not None
        with contextlib.suppress(ConnectionError):
            pipe.write(json.dumps(asked).encode() + b"\n")
            await pipe.drain()

    async def video(self) -> AsyncIterator[bytes]:
        """Yield the video; it ends with whoever watches."""
        assert self._process.stdout is not None
        try:
            while block := await self._process.stdout.read(BLOCK):
                yield block
        finally:
            await self.end()

    async def end(self) -> None:
        """End the process."""
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
        await self._process.wait()
        self._listening.cancel()

    async def _listen(self) -> None:
        assert self._process.stderr is not None
        while line := await self._process.stderr.readline():
            with contextlib.suppress(ValueError):
                said = json.loads(line)
                self._status = said if isinstance(said, dict) else self._status


class Streams:
    """The endpoints about live streams.

    Args:
        studio: whose models.
    """

    def __init__(self, studio: Studio) -> None:
        self._studio = studio
        self._streams: dict[str, Stream] = {}
        self._starting = asyncio.Lock()

    async def start(self, asked: NewLive) -> LiveEntry:
        """Begin to stream a model; watch it at /api/live/ID/video."""
        entries = await asyncio.to_thread(self._studio.shelf.models)
        if not any(entry.name == asked.model and "generate" in entry.verbs for entry in entries):
            raise ConfigError(f'there is no model "{asked.model}" that streams', "see GET /api/models")
        folder = self._studio.shelf.model(asked.model)
        async with self._starting:
            await self._sweep()
            if len(self._streams) >= self._studio.limits.streams:
                raise HTTPException(429, f"{len(self._streams)} streams are on already: end one")
            words = [sys.executable, "-m", "footage.web.broadcast", str(folder)]
            pipe = asyncio.subprocess.PIPE
            process = await asyncio.create_subprocess_exec(*words, stdin=pipe, stdout=pipe, stderr=pipe)
            values = asked.model_dump(exclude={"model"})
            stream = Stream(secrets.token_urlsafe(12), asked.model, process, values)
            self._streams[stream.name] = stream
        await stream.send(values)
        return stream.entry()

    async def all(self) -> list[LiveEntry]:
        """Return the streams that are on."""
        await self._sweep()
        return [stream.entry() for stream in self._streams.values()]

    async def one(self, live: str) -> LiveEntry:
        """Return how a stream goes."""
        stream = self._known(live)
        stream.touched = time.monotonic()
        return stream.entry()

    async def change(self, live: str, asked: Live) -> LiveEntry:
        """Let a stream go on with other values; it does so with its next frame."""
        stream = self._known(live)
        await stream.send(asked.model_dump())
        return stream.entry()

    async def video(self, live: str) -> StreamingResponse:
        """Return the video as it is made: fragmented MP4 for Media Source. It can be watched once."""
        stream = self._known(live)
        if stream.watched:
            raise HTTPException(409, "this stream is watched already: start another")
        stream.watched = True
        return StreamingResponse(stream.video(), media_type=MEDIA)

    async def stop(self, live: str) -> dict[str, str]:
        """End a stream."""
        await self._known(live).end()
        self._streams.pop(live, None)
        return {"ended": live}

    async def close(self) -> None:
        """End all streams."""
        for stream in list(self._streams.values()):
            await stream.end()
        self._streams.clear()

    def _known(self, live: str) -> Stream:
        if live not in self._streams:
            raise HTTPException(404, "there is no such stream, or it has ended: start another")
        return self._streams[live]

    async def _sweep(self) -> None:
        """Forget what is over, and end what nobody has come to watch."""
        for name, stream in list(self._streams.items()):
            if not stream.watched and time.monotonic() - stream.touched > ABANDONED:
                await stream.end()
            if stream.ended:
                self._streams.pop(name, None)

    def routes(self) -> APIRouter:
        """Return the table of the endpoints."""
        router = APIRouter(prefix="/api", tags=["live"])
        for method, path, endpoint in (
            ("GET", "/live", self.all),
            ("POST", "/live", self.start),
            ("GET", "/live/{live}", self.one),
            ("PATCH", "/live/{live}", self.change),
            ("DELETE", "/live/{live}", self.stop),
            ("GET", "/live/{live}/video", self.video),
        ):
            router.add_api_route(path, endpoint, methods=[method])
        return router
