"""The live stream: on a page, in the terminal, and how fast it is."""

from __future__ import annotations

import _thread
import io
import json
import signal
import socket
import struct
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

import footage
from footage.errors import ConfigError
from footage.generation import player
from footage.generation.player import Frame, FrameProducer, PlayerPage, StreamPerformance, _PlayerHandler, blocks, watch
from tests.models import save_tiny_model
from tests.streams import save_tiny_stream
from tests.studios import eventually
from tests.test_cli import run

if TYPE_CHECKING:
    from playwright.sync_api import Browser

NO_PROXY = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def grey(seed: int, label: str | None, pause: float = 0.0) -> Iterator[Frame]:
    """A stream whose frames show its seed."""
    if label == "unknown":
        raise ConfigError('no label "unknown"', "give another")

    def frames() -> Iterator[Frame]:
        while True:
            time.sleep(pause)
            yield np.full((16, 24, 3), seed, dtype=np.uint8)

    return frames()


def test_ctrl_c_as_it_starts_ends_it_too() -> None:
    class Hasty(FrameProducer):
        def start(self) -> None:
            super().start()
            raise KeyboardInterrupt

    producer = Hasty(grey, fps=100, seed=1)
    watch(producer)
    assert not producer.running and "producer" not in {thread.name for thread in threading.enumerate()}


@pytest.fixture
def page() -> Iterator[PlayerPage]:
    producer = FrameProducer(grey, fps=100, seed=50)
    page = PlayerPage(producer, ("walk", "run"), scale=3)
    producer.start()
    page.start()
    yield page
    producer.stop()
    page.stop()


def asked(page: PlayerPage, path: str, method: str = "GET", **headers: str) -> tuple[int, bytes]:
    request = urllib.request.Request(page.address + path, method=method, headers=headers)
    try:
        with NO_PROXY.open(request, timeout=10) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def first_picture(page: PlayerPage) -> np.ndarray:  # type: ignore[type-arg]
    with NO_PROXY.open(page.address + "stream", timeout=10) as answer:
        assert answer.headers["Content-Type"].startswith("multipart/x-mixed-replace; boundary=")
        head = [answer.readline().decode().strip() for _ in range(4)]
        assert head[0] == "--frame" and head[1] == "Content-Type: image/jpeg" and not head[3]
        return np.asarray(Image.open(io.BytesIO(answer.read(int(head[2].split()[1])))))


def test_the_page_shows_the_stream_and_says_how_it_is_made(page: PlayerPage) -> None:
    assert page.address.startswith("http://127.0.0.1:")
    status, text = asked(page, "")
    assert status == 200 and b"/stream" in text and b"/status" in text
    picture = first_picture(page)
    assert picture.shape == (16, 24, 3) and abs(int(picture.mean()) - 50) <= 2
    said = json.loads(asked(page, "status")[1])
    assert said["asked_fps"] == 100 and said["frames"] > 0 and said["labels"] == ["walk", "run"]
    assert said["latency_p50_ms"] <= said["latency_p99_ms"] and said["first_frame_ms"] > 0
    assert (said["width"], said["height"]) == (72, 48)
    assert asked(page, "other")[0] == 404


def test_the_page_fits_a_phone_and_offers_the_labels(page: PlayerPage, browser: Browser) -> None:
    page.scale, faults = 30, list[str]()  # 720 pixels
    shown = browser.new_page(viewport={"width": 400, "height": 800})
    shown.on("console", lambda message: faults.append(message.text) if message.type == "error" else None)
    shown.goto(page.address)
    shown.click("#names button:text('run')")
    shown.wait_for_function("document.getElementById('video')?.getAttribute('width') === '720'")
    assert shown.evaluate("document.documentElement.scrollWidth") <= 400
    assert shown.evaluate("document.getElementById('video').clientWidth") > 300
    shown.wait_for_function("document.getElementById('label')?.value === 'run'")
    eventually(shown, lambda: page.producer.label == "run")
    assert not faults
    shown.close()


def test_the_page_changes_the_stream(page: PlayerPage) -> None:
    assert asked(page, "change?seed=200&label=walk", "POST")[0] == 200
    assert page.producer.seed == 200 and page.producer.label == "walk"
    number, _ = page.producer.after(0)
    page.producer.after(number + 1)  # the frame that was being made is over
    assert abs(int(first_picture(page).mean()) - 200) <= 2
    for wrong, said in (("seed=-1", "whole number"), ("seed=x", "whole number"), ("seed=1&label=unknown", "no label")):
        status, text = asked(page, f"change?{wrong}", "POST")
        assert status == 400 and said in text.decode()
    assert page.producer.running and page.producer.seed == 200
    assert asked(page, "nothing", "POST")[0] == 404


def test_other_sites_are_refused(page: PlayerPage) -> None:
    assert asked(page, "status", Host="evil.example")[0] == 403
    assert asked(page, "status", Host="[")[0] == 403
    assert asked(page, "status", Host="127.0.0.1:x")[0] == 200
    for origin in ("http://evil.example", "http://127.0.0.1:1", "http://[", "null"):
        assert asked(page, "change?seed=1", "POST", Origin=origin)[0] == 403
    assert asked(page, "change?seed=50", "POST", Origin=page.address.rstrip("/"))[0] == 200
    assert page.producer.seed == 50


def open_connection(page: PlayerPage) -> socket.socket:
    return socket.create_connection(("127.0.0.1", int(page.address.rsplit(":")[-1].strip("/"))), timeout=10)


def test_whoever_goes_away_is_no_error(page: PlayerPage, capsys: pytest.CaptureFixture[str]) -> None:
    with open_connection(page) as gone:
        gone.sendall(b"GET /status HTTP/1.1\r\n")
        time.sleep(0.1)
        gone.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # closing resets it
    time.sleep(0.2)
    with open_connection(page) as odd:
        odd.sendall(b"GET http://[ HTTP/1.0\r\nHost: [\r\n\r\n")
        assert b" 403 " in odd.recv(100)
    assert capsys.readouterr().err == ""


def test_idle_connections_are_closed(page: PlayerPage, monkeypatch: pytest.MonkeyPatch) -> None:
    assert _PlayerHandler.timeout is not None and _PlayerHandler.timeout <= 10
    monkeypatch.setattr(_PlayerHandler, "timeout", 0.1)
    with open_connection(page) as idle:
        assert idle.recv(1) == b""


def test_a_busy_port_is_named() -> None:
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen()
        with pytest.raises(ConfigError, match=r"port is \d+.*--port 0"):
            PlayerPage(FrameProducer(grey, 10), port=busy.getsockname()[1])


class Clock(threading.Event):
    """Stands for `time`, and for the event that ends a producer: nothing but waiting moves it on, and `end` ends it."""

    def __init__(self, end: float) -> None:
        super().__init__()
        self.now, self.end = 0.0, end

    def perf_counter(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def wait(self, timeout: float | None = None) -> bool:
        self.sleep(timeout or 0.0)
        return self.now >= self.end


def performed(
    monkeypatch: pytest.MonkeyPatch, pause: float, fps: float, chunk: int = 1, seconds: float = 1.5
) -> StreamPerformance:
    """Say how a stream was made whose chunks take `pause` seconds each, on a clock that no other process disturbs."""
    clock = Clock(seconds)
    monkeypatch.setattr(player, "time", clock)

    def chunks(seed: int, label: str | None) -> Iterator[Frame]:
        while True:
            clock.sleep(pause)
            yield from np.zeros((chunk, 2, 2, 1), dtype=np.uint8)

    producer = FrameProducer(chunks, fps=fps, chunk=chunk)
    producer._stopped = clock
    producer._run()
    return producer.performance()


def test_frames_come_in_real_time(monkeypatch: pytest.MonkeyPatch) -> None:
    quick = watch(FrameProducer(grey, fps=50), seconds=0.6)
    assert 1 <= quick.frames <= 34 and quick.asked_fps == 50
    found = performed(monkeypatch, pause=0.004, fps=50)
    assert found.frames in (75, 76) and found.achieved_fps == pytest.approx(50)
    slow = performed(monkeypatch, pause=0.05, fps=1000)
    assert slow.achieved_fps == pytest.approx(20) and slow.latency_p50_ms == pytest.approx(50)


def test_the_time_that_a_chunk_takes_is_caught_up(monkeypatch: pytest.MonkeyPatch) -> None:
    found = performed(monkeypatch, pause=0.1, fps=50, chunk=10)
    assert 48 < found.achieved_fps < 55, "10 frames are made in half the time that they are shown"
    slow = performed(monkeypatch, pause=0.1, fps=200, chunk=10)
    assert 95 < slow.achieved_fps < 110


def test_there_is_no_queue() -> None:
    """Whoever looks late gets the newest frame."""

    def counting(seed: int, label: str | None) -> Iterator[Frame]:
        for number in range(256):
            yield np.full((2, 2, 1), number, dtype=np.uint8)
            time.sleep(0.001)

    producer = FrameProducer(counting, fps=500)
    producer.start()
    deadline = time.monotonic() + 10
    while producer.performance().frames < 40 and time.monotonic() < deadline:
        time.sleep(0.01)
    number, frame = producer.after(0)
    assert frame is not None and number >= 40 and frame[0, 0, 0] == number - 1
    producer.stop()


def test_what_fails_in_the_thread_is_raised() -> None:
    def failing(seed: int, label: str | None) -> Iterator[Frame]:
        yield np.zeros((2, 2, 1), dtype=np.uint8)
        raise ConfigError("it broke", "mend it")

    with pytest.raises(ConfigError, match="it broke"):
        watch(FrameProducer(failing, fps=100))


def test_pictures_of_half_blocks() -> None:
    frame = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)
    lines = blocks(frame, columns=80, lines=2).split("\n")
    assert len(lines) == 2 and lines[0].count("▀") == 6
    assert lines[0].startswith("\x1b[38;2;0;1;2;48;2;18;19;20m▀"), "above it the first row, below the second"
    assert blocks(frame, columns=12, lines=50).split("\n")[0].count("▀") == 12
    large = blocks(np.zeros((64, 64, 1), dtype=np.uint8), columns=80, lines=20).split("\n")
    assert len(large) == 20 and large[0].count("▀") == 40


@pytest.mark.parametrize("lines", [1, 2, 3])
def test_small_terminals(lines: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.get_terminal_size", lambda: (80, lines))
    terminal = io.StringIO()
    watch(FrameProducer(grey, fps=50), seconds=0.1, terminal=terminal)
    assert "▀" in terminal.getvalue()


def test_the_terminal_gets_its_cursor_back() -> None:
    terminal = io.StringIO()
    watch(FrameProducer(grey, fps=50), seconds=0.1, terminal=terminal)
    assert "▀" in terminal.getvalue() and terminal.getvalue().endswith("\x1b[?25h\n")


def test_control_c_ends_it_and_says_how_it_went() -> None:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
    try:
        threading.Timer(0.3, _thread.interrupt_main).start()
        found = watch(FrameProducer(grey, fps=50), seconds=60)
    finally:
        signal.signal(signal.SIGINT, before)
    assert 1 <= found.frames < 1000 and found.latency_p99_ms is not None


def test_play_on_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_tiny_stream(tmp_path / "s", labels=("walk", "run"))
    words = ["--seconds", "0.5", "--fps", "40", "--label", "walk", "--slow", "2x", "--device", "cpu"]
    assert run("play", str(tmp_path / "s"), *words) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "http://127.0.0.1:" in said and "of 40 asked for" in said and "99th percentile" in said
    save_tiny_model(tmp_path / "m")
    found = footage.play(tmp_path / "m", seconds=0.3, headless=True, device="cpu", quiet=True)
    assert found.frames >= 1 and found.asked_fps == 12.5
    save_tiny_model(tmp_path / "larger", preset="upscale-x2")
    words = ["--headless", "--seconds", "0.5", "--device", "cpu"]
    assert run("play", str(tmp_path / "s"), *words, "--size", "48x40") == 0
    said = " ".join(capsys.readouterr().out.split())
    assert f"from 32×32 made larger by tiny, trained on noise: {tmp_path / 'larger'}" in said
    assert run("play", str(tmp_path / "s"), *words, "--size", "16p") == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "larger" not in said and "frames" in said
    for wrong, named in (
        (["--terminal"], "--terminal"),
        (["--fps", "0"], "fps is 0"),
        (["--port", "99999"], "port is 99999"),
        (["--label", "fly"], "fly"),
        (["--fps", "50", "--headless"], "--fps 12.5"),
        (["--loop", "4s", "--headless"], "--loop is asked for"),
        (["--chunk", "4", "--headless", "--seconds", "0.1"], "leave --chunk out"),
    ):
        assert run("play", str(tmp_path / "m"), *wrong, "--device", "cpu") == 2
        assert named in " ".join(capsys.readouterr().err.split())


def test_a_page_of_a_model(tmp_path: Path) -> None:
    model = save_tiny_stream(tmp_path, labels=("walk", "run"))
    producer = FrameProducer(lambda seed, label: model.stream(50, seed=seed, label=label, chunk=1), fps=50)
    page = PlayerPage(producer, model.labels)
    page.start()
    runner = threading.Thread(target=watch, args=(producer, 20))
    runner.start()
    try:
        shape = first_picture(page).shape
        changed = asked(page, "change?seed=3&label=run", "POST")[0], asked(page, "change?seed=3&label=fly", "POST")
    finally:
        producer.stop()
        runner.join(timeout=10)
        page.stop()
    assert shape == (32, 32, 3) and changed[0] == 200 and changed[1][0] == 400 and b"fly" in changed[1][1]
    assert not runner.is_alive()


def test_the_page_plays_the_sound_that_is_followed(tmp_path: Path) -> None:
    sound = tmp_path / "song.wav"
    sound.write_bytes(bytes(range(256)) * 10)
    producer = FrameProducer(grey, 10)
    page = PlayerPage(producer, audio=sound)
    page.start()
    try:
        assert page.status()["audio"] is True
        assert asked(page, "audio") == (200, sound.read_bytes())
        assert asked(page, "audio", Range="bytes=5-9") == (206, bytes(range(5, 10)))
        assert asked(page, "audio", Range="bytes=2550-") == (206, bytes(range(246, 256)))
        assert asked(page, "audio", Host="evil.example")[0] == 403
    finally:
        page.stop()
        producer.stop()


def test_a_page_without_sound_has_none(page: PlayerPage) -> None:
    assert asked(page, "audio")[0] == 404 and page.status()["audio"] is False
