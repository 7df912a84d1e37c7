"""A stream shown as it is made: on a page of this computer, or in the terminal. One thread makes frames in real time.

There is no queue: whoever looks gets the newest frame, and frames that nobody looked at in time are gone.
"""

from __future__ import annotations

import contextlib
import functools
import importlib.resources
import io
import json
import mimetypes
import re
import shutil
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, TextIO
from urllib.parse import parse_qs, urlsplit

import numpy as np
import numpy.typing as npt

from footage.errors import ConfigError, FootageError

Frame = npt.NDArray[np.uint8]
"""A picture, (H, W, C), C 1 or 3."""
Source = Callable[..., Iterator[Frame]]
"""Starts a stream: frames for ever, or while something is heard, of a seed and a label, or of a label that the seed
decides; of a model that is told what to show, of a text too."""

REMEMBERED = 10_000
"""Latencies that percentiles are taken of: those of the newest frames."""
BOUNDARY = "frame"
AT_ONCE = 2**16
"""Bytes of a file that are sent at once."""
QUALITY = 92
"""Of the JPEG pictures on the page."""


@dataclass(frozen=True)
class StreamPerformance:
    """How a stream was made."""

    frames: int
    seconds: float
    """From the first frame to the last."""
    asked_fps: float
    achieved_fps: float
    latency_p50_ms: float | None
    """Median time from asking for a frame to having it; None before the first."""
    latency_p99_ms: float | None
    """The 99th percentile."""
    first_frame_ms: float | None
    """Time from the start to the first frame."""


class FrameProducer:
    """Makes frames in real time, in a thread of its own, beginning with a seed and a label.

    Args:
        source: starts a stream.
        fps: frames a second that are wanted. What making a chunk has taken is caught up; a source that is slower than
            that is not asked to.
        chunk: frames that the source makes at once.
        told: whether the source takes a text.
        text: the first one; None for one that the seed decides.
    """

    def __init__(
        self,
        source: Source,
        fps: float,
        seed: int = 0,
        label: str | None = None,
        chunk: int = 1,
        *,
        told: bool = False,
        text: str | None = None,
    ) -> None:
        self.fps, self.seed, self.label, self._chunk, self.told, self.text = fps, seed, label, chunk, told, text
        self.error: BaseException | None = None
        self._source, self._stream = source, source(seed, label, *([text] if told else []))
        self._news = threading.Condition()
        self._stopped = threading.Event()
        self._newest: Frame | None = None
        self._count = 0
        self._latencies: deque[float] = deque(maxlen=REMEMBERED)
        self._first: float | None = None
        self._begun = self._latest = time.perf_counter()
        self._thread = threading.Thread(target=self._run, name="producer", daemon=True)

    def start(self) -> None:
        self._begun = time.perf_counter()
        self._thread.start()

    def stop(self) -> None:
        """End, and wait until the frame that is being made is there."""
        self._stopped.set()
        with self._news:
            self._news.notify_all()
        if self._thread.is_alive():
            self._thread.join()

    @property
    def running(self) -> bool:
        """Whether there will be more frames."""
        return not self._stopped.is_set()

    def change(self, seed: int, label: str | None, text: str | None = None) -> None:
        """Go on with another seed, label and text, as soon as the frame that is being made is there.

        Raises:
            FootageError: there is no such stream; the present one goes on.
        """
        stream = self._source(seed, label, *([text] if self.told else []))
        with self._news:
            self.seed, self.label, self.text, self._stream = seed, label, text, stream

    def after(self, number: int, timeout: float | None = None) -> tuple[int, Frame | None]:
        """Wait for a frame that is newer than the `number`-th; return the newest and its number, None at the end."""
        with self._news:
            self._news.wait_for(lambda: self._count > number or not self.running, timeout)
            return self._count, self._newest if self._count > number else None

    def performance(self) -> StreamPerformance:
        with self._news:
            count, first, span = self._count, self._first, self._latest - self._begun - (self._first or 0)
            latencies = np.array(self._latencies) * 1e3
        p50, p99 = np.percentile(latencies, [50, 99]).tolist() if count else (None, None)
        rate = (count - 1) / span if count > 1 and span > 0 else 0.0
        return StreamPerformance(
            count, max(0.0, span), self.fps, rate, p50, p99, None if first is None else first * 1e3
        )

    def _run(self) -> None:
        due = time.perf_counter()
        try:
            while not self._stopped.wait(max(0.0, due - time.perf_counter())):
                asked = time.perf_counter()
                with self._news:
                    stream = self._stream
                frame = next(stream, None)
                if frame is None:  # what is heard may end
                    break
                now = time.perf_counter()
                with self._news:
                    self._newest, self._latest = frame, now
                    self._count += 1
                    self._latencies.append(now - asked)
                    if self._first is None:
                        self._first = now - self._begun
                    self._news.notify_all()
                due = max(due + 1 / self.fps, now - self._chunk / self.fps)  # late by more than a chunk: never mind
        except BaseException as error:
            self.error = error
        finally:
            self._stopped.set()
            with self._news:
                self._news.notify_all()


def jpeg(frame: Frame) -> bytes:
    from PIL import Image

    target = io.BytesIO()
    Image.fromarray(frame[..., 0] if frame.shape[2] == 1 else frame).save(target, "JPEG", quality=QUALITY)
    return target.getvalue()


def blocks(frame: Frame, columns: int, lines: int) -> str:
    """Return a picture as coloured half blocks, two pixels a character, as large as fits by whole pixels or less."""
    height, width = frame.shape[:2]
    scale = min(columns / width, 2 * lines / height)
    scale = float(int(scale)) if scale >= 1 else scale
    rows = (np.arange(max(2, int(height * scale) // 2 * 2)) / scale).astype(int).clip(max=height - 1)
    places = (np.arange(max(1, int(width * scale))) / scale).astype(int).clip(max=width - 1)
    shown = np.broadcast_to(frame[rows][:, places], (len(rows), len(places), 3))
    pairs = np.concatenate([shown[::2], shown[1::2]], axis=2).tolist()  # above and below: L W 6
    cell = "\x1b[38;2;{};{};{};48;2;{};{};{}m▀"
    return "\n".join("".join(cell.format(*pair) for pair in line) + "\x1b[0m" for line in pairs)


class PlayerPage:
    """A page on this computer that shows a stream, says how it is made, and changes its seed and label.

    Args:
        scale: pixels of the page for one of the stream.
        port: where it is served, on 127.0.0.1; 0 for any that is free.
        audio: a file of the sound that the stream follows, which begins anew with it.

    Raises:
        ConfigError: the port is not free.
    """

    def __init__(
        self,
        producer: FrameProducer,
        labels: tuple[str, ...] = (),
        scale: int = 4,
        port: int = 0,
        audio: Path | None = None,
    ) -> None:
        self.producer, self.labels, self.scale, self.audio = producer, labels, scale, audio
        try:
            self._server = ThreadingHTTPServer(("127.0.0.1", port), functools.partial(_PlayerHandler, self))
        except OSError as error:
            raise ConfigError(
                f"port is {port}: {error.strerror or error}", "give --port 0 for any that is free"
            ) from None
        self._server.daemon_threads = True
        self._server.block_on_close = False
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), name="page", daemon=True)

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/"

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def status(self) -> dict[str, Any]:
        _, frame = self.producer.after(0, timeout=0)
        height, width = (0, 0) if frame is None else frame.shape[:2]
        return {
            **asdict(self.producer.performance()),
            "seed": self.producer.seed,
            "label": self.producer.label,
            "told": self.producer.told,
            "text": self.producer.text,
            "labels": list(self.labels),
            "audio": self.audio is not None,
            "height": height * self.scale,
            "width": width * self.scale,
        }


class _PlayerHandler(BaseHTTPRequestHandler):
    """Answers for a page: `/`, `/stream`, `/audio`, `/status`, and `/change` by POST."""

    timeout = 10.0
    """Seconds that a connection may be silent, or take nothing, before it is closed."""

    def __init__(self, page: PlayerPage, *arguments: Any) -> None:
        self.page = page
        super().__init__(*arguments)

    def handle(self) -> None:
        """Answer; that whoever asked has gone is no error."""
        with contextlib.suppress(OSError):
            super().handle()

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if not self._is_local():
            return
        if path == "/":
            text = importlib.resources.files("footage.generation").joinpath("player.html").read_bytes()
            self._answer(HTTPStatus.OK, "text/html; charset=utf-8", text)
        elif path == "/status":
            self._answer(HTTPStatus.OK, "application/json", json.dumps(self.page.status()).encode())
        elif path == "/stream":
            self._stream()
        elif path == "/audio" and self.page.audio is not None:
            self._send_part(self.page.audio)
        else:
            self._answer(HTTPStatus.NOT_FOUND, "text/plain; charset=utf-8", b"there is no such page")

    def do_POST(self) -> None:
        path, _, query = self.path.partition("?")
        if not self._is_local():
            return
        values = parse_qs(query)
        seed, label = values.get("seed", [str(self.page.producer.seed)])[0], values.get("label", [""])[0]
        if path != "/change":
            self._answer(HTTPStatus.NOT_FOUND, "text/plain; charset=utf-8", b"there is no such page")
        elif not (seed.isascii() and seed.isdigit() and len(seed) < 19):
            problem = f'seed is "{seed}": give a whole number of at most 18 digits'
            self._answer(HTTPStatus.BAD_REQUEST, "text/plain; charset=utf-8", problem.encode())
        else:
            try:
                self.page.producer.change(int(seed), label or None, values.get("text", [""])[0] or None)
            except FootageError as error:
                self._answer(HTTPStatus.BAD_REQUEST, "text/plain; charset=utf-8", str(error).encode())
            else:
                self._answer(HTTPStatus.OK, "application/json", json.dumps(self.page.status()).encode())

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""

    def _is_local(self) -> bool:
        """Refuse requests that another site sends through the browser: they name a host of their own."""
        host, origin = self.headers.get("Host", ""), self.headers.get("Origin")
        try:
            fine = urlsplit(f"//{host}").hostname in ("127.0.0.1", "localhost")
            fine = fine and (origin is None or urlsplit(origin).netloc == host)
        except ValueError:  # no such address can be
            fine = False
        if not fine:
            self._answer(HTTPStatus.FORBIDDEN, "text/plain; charset=utf-8", b"this page is for this computer only")
        return fine

    def _answer(self, status: HTTPStatus, kind: str, content: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.wfile.write(content)

    def _send_part(self, path: Path) -> None:
        """Send a file, or the part of it that is asked for (RFC 9110, section 14)."""
        size = path.stat().st_size
        asked = re.fullmatch(r"bytes=(\d{1,15})-(\d{0,15})", self.headers.get("Range", ""))
        first = min(int(asked[1]), size - 1) if asked else 0
        last = min(int(asked[2]), size - 1) if asked and asked[2] else size - 1
        self.send_response(HTTPStatus.PARTIAL_CONTENT if asked else HTTPStatus.OK)
        self.send_header("Content-Type", mimetypes.guess_type(path.name)[0] or "application/octet-stream")
        self.send_header("Content-Length", str(max(0, last - first + 1)))
        self.send_header("Accept-Ranges", "bytes")
        if asked:
            self.send_header("Content-Range", f"bytes {first}-{last}/{size}")
        self.end_headers()
        with open(path, "rb") as sound:
            sound.seek(first)
            left = last - first + 1
            while left > 0 and (block := sound.read(min(left, AT_ONCE))):
                self.wfile.write(block)
                left -= len(block)

    def _stream(self) -> None:
        """Send the newest frame again and again, as fast as they are made and taken."""
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", f"multipart/x-mixed-replace; boundary={BOUNDARY}")
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.close_connection = True
        number = 0
        while True:
            number, frame = self.page.producer.after(number)
            if frame is None:
                return
            content = jpeg(frame)
            head = f"--{BOUNDARY}\r\nContent-Type: image/jpeg\r\nContent-Length: {len(content)}\r\n\r\n"
            self.wfile.write(head.encode() + content + b"\r\n")


def watch(producer: FrameProducer, seconds: float | None = None, terminal: TextIO | None = None) -> StreamPerformance:
    """Run a producer until time is up, it fails, or Ctrl-C is pressed, and show its frames in a terminal, or nowhere.

    `seconds` count from the first frame on; None is for ever.

    Raises:
        BaseException: what the source raised.
    """
    if terminal is not None:
        terminal.write("\x1b[?25l\x1b[2J")  # no cursor, an empty screen
    number, end = 0, None
    try:
        producer.start()  # here too: Ctrl-C before all is ready ends it as well
        while producer.running:
            left = None if end is None else end - time.perf_counter()
            if left is not None and left <= 0:
                break
            # A wait without limit would not be ended by Ctrl-C on every system.
            number, frame = producer.after(number, 0.2 if left is None else min(0.2, left))
            if frame is not None and end is None and seconds is not None:
                end = time.perf_counter() + seconds
            if frame is not None and terminal is not None:
                columns, lines = shutil.get_terminal_size()
                terminal.write("\x1b[H" + blocks(frame, columns, max(1, lines - 2)) + "\n")
                terminal.flush()
    except KeyboardInterrupt:
        pass
    finally:
        producer.stop()
        if terminal is not None:
            terminal.write("\x1b[0m\x1b[?25h\n")
            terminal.flush()
    if producer.error is not None:
        raise producer.error
    return producer.performance()
