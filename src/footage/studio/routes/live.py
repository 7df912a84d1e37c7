"""Interface to live streams: a process makes each, and one connection carries it to the browser."""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Annotated, Any, cast

from fastapi import APIRouter, Depends, HTTPException, Request
from fastapi.responses import StreamingResponse

from footage.config import to_json
from footage.errors import counted
from footage.library.storage import ACTOR
from footage.machines.local import lower_priority
from footage.studio.catalog import Catalog, ModelEntry
from footage.studio.roles import Visitor
from footage.studio.schemas import LiveForm, LiveStartForm
from footage.studio.state import BEHIND_PAGES, CurrentVisitor, Studio, check_own

BLOCK = 64 * 1024
"""Bytes that are passed on at once."""
ABANDONED = 20.0
"""Seconds after which a stream that nobody watches is ended."""


@dataclass(frozen=True)
class LiveEntry:
    """Stream that is made now."""

    id: str
    model: str
    state: str
    """`loading`, `streaming` or `ended`."""
    frames: int
    rate: float
    """Frames a second."""
    change: int
    """How many changes have been taken up."""
    problem: str
    """Why it ended, or why the last change was refused; empty when all is well."""
    seed: int
    label: str | None
    heard: float | None
    """Seconds of the video at which the sound that it follows begins; null without one."""


class StreamProcess:
    """One `footage.studio.stream_process`, and what it reports."""

    def __init__(self, id: str, model: str, process: asyncio.subprocess.Process, request: dict[str, Any]) -> None:
        self.id, self.model, self.request, self.actor = id, model, request, ACTOR.get().name
        self.watched, self.touched = False, time.monotonic()
        self._process = process
        self._status: dict[str, Any] = {}

        async def listen() -> None:
            assert process.stderr is not None
            while line := await process.stderr.readline():
                with contextlib.suppress(ValueError):
                    status = json.loads(line)
                    self._status = status if isinstance(status, dict) else self._status

        self._listening = asyncio.create_task(listen())

    @property
    def ended(self) -> bool:
        return self._process.returncode is not None

    def entry(self) -> LiveEntry:
        status = self._status
        return LiveEntry(
            id=self.id,
            model=self.model,
            state="ended" if self.ended or status.get("ended") else "streaming" if status.get("frames") else "loading",
            frames=int(status.get("frames", 0)),
            rate=float(status.get("rate", 0.0)),
            change=int(status.get("change", 0)),
            problem=str(status.get("problem", "")),
            seed=self.request["seed"],
            label=self.request["label"],
            heard=status.get("heard"),
        )

    async def send(self, request: dict[str, Any]) -> None:
        self.request, self.touched = request, time.monotonic()
        pipe = self._process.stdin
        assert pipe is not None
        with contextlib.suppress(ConnectionError):
            pipe.write(json.dumps(request).encode() + b"\n")
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
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
        await self._process.wait()
        self._listening.cancel()


class LiveStreams:
    """Streams that are on, by their names."""

    def __init__(self, studio: Studio) -> None:
        self._studio = studio
        self._streams: dict[str, StreamProcess] = {}
        self._starting = asyncio.Lock()

    async def start(self, form: LiveStartForm) -> StreamProcess:
        """Start a process and tell it what to stream; refuse an unknown model, and more streams than may be."""
        await asyncio.to_thread(self._studio.catalog.usable_model, form.model, "generate")
        folder, told = self._studio.catalog.model(form.model), await asyncio.to_thread(self.told, form, form.model)
        async with self._starting:
            await self.sweep()
            if len(self._streams) >= self._studio.limits.streams:
                raise HTTPException(
                    429, f"{counted(len(self._streams), 'stream is on', 'streams are on')} already: end one"
                )
            command = [sys.executable, "-m", "footage.studio.stream_process", str(folder)]
            pipe = asyncio.subprocess.PIPE
            process = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe, stderr=pipe)
            lower_priority(process.pid, BEHIND_PAGES)
            request = {name: value for name, value in told.items() if name != "model"}
            stream = StreamProcess(secrets.token_urlsafe(12), form.model, process, request)
            self._streams[stream.id] = stream
        await stream.send(request)
        return stream

    def told(self, form: LiveForm, model: str) -> dict[str, Any]:
        """Return what the process of a model is told: the form, with the file of the sound that it follows."""
        self._studio.catalog.card(model).check_text(form.text)
        followed = None if form.audio is None else str(self._studio.followed(form.audio)[0])
        return {**to_json(form), "audio": followed}

    def get(self, live: str, visitor: Visitor) -> StreamProcess:
        """Return a stream; refuse one of somebody else."""
        if live not in self._streams:
            raise HTTPException(404, "there is no such stream, or it has ended: start another")
        check_own(visitor, self._streams[live].actor)
        return self._streams[live]

    async def end(self, live: str, visitor: Visitor) -> None:
        await self.get(live, visitor).end()
        self._streams.pop(live, None)

    async def sweep(self) -> list[StreamProcess]:
        """Forget what is over, and end what nobody has come to watch; return what is left."""
        for name, stream in list(self._streams.items()):
            if not stream.watched and time.monotonic() - stream.touched > ABANDONED:
                await stream.end()
            if stream.ended:
                self._streams.pop(name, None)
        return list(self._streams.values())

    async def close(self) -> None:
        for stream in list(self._streams.values()):
            await stream.end()
        self._streams.clear()


def streaming_models(catalog: Catalog) -> list[ModelEntry]:
    """Return the models that can be watched live."""
    return [model for model in catalog.models() if model.plays_live]


async def current_streams(request: Request) -> LiveStreams:
    return cast(LiveStreams, request.app.state.streams)


CurrentStreams = Annotated[LiveStreams, Depends(current_streams)]

router = APIRouter(prefix="/api", tags=["live"])


@router.get("/live")
async def list_streams(streams: CurrentStreams) -> list[LiveEntry]:
    """Return the streams that are on."""
    return [stream.entry() for stream in await streams.sweep()]


@router.post("/live")
async def start_stream(form: LiveStartForm, streams: CurrentStreams) -> LiveEntry:
    """Begin to stream a model; watch it at /api/live/ID/video."""
    return (await streams.start(form)).entry()


@router.get("/live/{live}")
async def get_stream(live: str, streams: CurrentStreams, visitor: CurrentVisitor) -> LiveEntry:
    """Return how a stream goes."""
    stream = streams.get(live, visitor)
    stream.touched = time.monotonic()
    return stream.entry()


@router.patch("/live/{live}")
async def change_stream(live: str, form: LiveForm, streams: CurrentStreams, visitor: CurrentVisitor) -> LiveEntry:
    """Let a stream go on with other values; it does so with its next frame."""
    stream = streams.get(live, visitor)
    await stream.send(await asyncio.to_thread(streams.told, form, stream.model))
    return stream.entry()


@router.delete("/live/{live}")
async def end_stream(live: str, streams: CurrentStreams, visitor: CurrentVisitor) -> dict[str, str]:
    """End a stream and its process."""
    await streams.end(live, visitor)
    return {"ended": live}


@router.get("/live/{live}/video")
async def watch_stream(live: str, streams: CurrentStreams, visitor: CurrentVisitor) -> StreamingResponse:
    """Return the video as it is made: fragmented MP4 for Media Source. It can be watched once."""
    stream = streams.get(live, visitor)
    if stream.watched:
        raise HTTPException(409, "this stream is watched already: start another")
    stream.watched = True
    return StreamingResponse(stream.video(), media_type="video/mp4")
