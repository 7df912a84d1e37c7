"""Verbs that show: a model's endless video, the studio, a first look."""

from __future__ import annotations

import importlib.util
import itertools
import shlex
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from footage.commands import generate, train
from footage.commands.generate import load
from footage.commands.terminal import make_console, print_marked
from footage.config.presets import preset
from footage.config.strict import arguments_of
from footage.errors import ConfigError, counted
from footage.media.geometry import Fit
from footage.models.requests import DeviceName, Duration, StreamRequest, parse_duration

if TYPE_CHECKING:
    from footage.generation.model import Model
    from footage.generation.player import FrameProducer, StreamPerformance

SHOWN = 512
"""Pixels of the longer side on the page, about, where no scale is given."""
MOST_FPS = 1000.0
"""Frames a second that can be asked for."""


@dataclass(frozen=True, kw_only=True)
class PlayOptions(StreamRequest):
    """What `footage play` is asked for: an endless video, and how it is shown."""

    model: Path = field(kw_only=False)
    fps: float | None = None
    seed: int = 0
    """of the video."""
    label: str | None = None
    """its class, or a mixture such as circle+square; left out, one as often as in the training data."""
    text: str | None = None
    """what it shows, in words, of a model that was trained on captions; left out, one of them that the seed draws."""
    sliders: str | None = None
    seconds: Duration | None = None
    """end after this long; left out, go on for ever."""
    port: int = 0
    """of the page, on 127.0.0.1; 0 for any that is free."""
    size: str | None = None
    """another size than the model's own: 1280x720, a height such as 720p, or 2x; it is made larger as by generate."""
    fit: Fit = "letterbox"
    """how a picture of another shape is fitted in, where a size is given."""
    upscale: Path | None = None
    """a model folder of an upscaler, or a run, that makes it larger."""
    scale: int | None = None
    """pixels of the page for one of the video; left out, as fits."""
    terminal: bool = False
    """show it in the terminal instead, as coloured half blocks."""
    headless: bool = False
    """show nothing, and only say how fast frames are made."""
    still: Path | None = None
    """picture of the figure that speaks, with --microphone."""
    microphone: Path | None = None
    """what a figure hears and speaks, live: a file of sound, heard as if it were spoken now, or - for samples of 16
    bits in mono, 16,000 a second, from the standard input, such as of: arecord -t raw -f S16_LE -r 16000."""
    chunk: int | None = None
    """frames that a model that streams makes at once: 1, which is meant when left out, gives the shortest wait, more go
    faster."""
    mark: bool = True
    device: DeviceName = "auto"
    quiet: bool = False

    def __post_init__(self) -> None:
        if self.terminal and not sys.stdout.isatty():
            remedy = "leave it out for a page, or give --headless; footage generate --seconds writes to a file"
            raise ConfigError(
                "--terminal is given, and there is no terminal here: what is shown goes elsewhere", remedy
            )
        if self.terminal and self.headless:
            raise ConfigError("--terminal and --headless are asked for", "leave one of the two out")
        for name, low, high in (("fps", 0.01, MOST_FPS), ("port", 0, 65535), ("scale", 1, 64)):
            value = getattr(self, name)
            if value is not None and not low <= value <= high:
                raise ConfigError(f"{name} is {value}", f"give {low:g} to {high:g}")
        if (self.still is None) != (self.microphone is None):
            given, missing = ("still", "microphone") if self.microphone is None else ("microphone", "still")
            raise ConfigError(f"{given} is given without {missing}", f"give --{missing}, too")
        if self.microphone is not None and self.audio is not None:
            raise ConfigError("--audio and --microphone are given", "leave one of the two out")
        super().__post_init__()


@arguments_of(PlayOptions)
def play(options: PlayOptions) -> StreamPerformance:
    """Show an endless video while it is made: on a page of this computer, or in the terminal. Ctrl-C ends it.

    The page says how many frames are made a second and how long each takes, and changes seed and label. Nothing is
    kept: footage generate MODEL --to FOLDER --seconds 60 writes a video to a file.

    Returns:
        How fast frames were made.
    """
    import numpy as np

    from footage.generation.clip import Clip
    from footage.generation.player import FrameProducer
    from footage.trust.mark import marked_frames, message_for

    console = make_console(options.quiet)
    limit = None if options.seconds is None else parse_duration(options.seconds, "seconds")
    loaded = load(options.model, options.device)
    chunk = 1 if options.chunk is None and loaded.info.streams else options.chunk

    if options.microphone is not None:
        return play_figure(loaded, options, limit)

    resize, fps = None, options.fps or loaded.info.fps
    about = {"made_with": "footage", "weights_sha256": loaded.info.weights_sha256}
    message = message_for(about) if options.mark else None
    if options.size is not None or options.upscale is not None:
        resize = loaded.resizer(options.size, options.fit, upscale=options.upscale, tell=console.print)

    def source(seed: int, label: str | None, text: str | None = options.text) -> Iterator[Any]:
        frames = loaded.frames(replace(options, seed=seed, label=label, text=text, chunk=chunk))
        if resize is not None:
            resized = resize(Clip(lambda: (frame[np.newaxis] for frame in frames), None, fps, {}))
            return marked_frames(itertools.chain.from_iterable(resized.chunks()), message)
        return marked_frames(frames, message)

    begin, hop = (options.seed, options.label), chunk or loaded.generator.hop
    producer = FrameProducer(source, fps, *begin, hop, told=loaded.info.reads_text, text=options.text)
    performance = show(loaded, producer, options, limit, enlarged=resize is not None)
    if performance.latency_p50_ms is None:
        console.print("no frame was made")
        return performance
    console.print(
        f"{counted(performance.frames, 'frame')}, {performance.achieved_fps:.1f} a second of "
        f"{performance.asked_fps:g} asked "
        f"for; each took {performance.latency_p50_ms:.1f} ms (median), {performance.latency_p99_ms:.1f} ms (99th "
        f"percentile); the first came after {performance.first_frame_ms:.0f} ms"
    )
    return performance


def show(
    loaded: Model, producer: FrameProducer, options: PlayOptions, limit: float | None, *, enlarged: bool = False
) -> StreamPerformance:
    """Show frames on a page, in the terminal or nowhere, until time is up or Ctrl-C is pressed."""
    from footage.generation.player import PlayerPage, watch

    page = None
    if not (options.terminal or options.headless):
        clip = loaded.info.config.clip
        scale = options.scale or (1 if enlarged else max(1, SHOWN // max(clip.height, clip.width)))
        audio = None if options.audio is None else Path(options.audio)
        page = PlayerPage(producer, loaded.labels, scale, options.port, audio)
        page.start()
        console = make_console(options.quiet)
        console.print(f"{loaded.info.name} plays at {page.address} until Ctrl-C is pressed")
    try:
        return watch(producer, limit, sys.stdout if options.terminal else None)
    finally:
        if page is not None:
            page.stop()


def play_figure(loaded: Model, options: PlayOptions, limit: float | None) -> StreamPerformance:
    """Let a still speak what is heard now, and say how long a frame comes after its sound."""
    import numpy as np

    from footage.generation.player import FrameProducer
    from footage.generation.speak import LiveFigure, as_if_live, read_still, samples_of
    from footage.media.reader import Footage
    from footage.media.sound import sound_chunks
    from footage.media.speech import RATE

    assert options.still is not None and options.microphone is not None
    speaker, live = loaded.speaker, list[LiveFigure]()
    still = read_still(Footage(options.still), loaded.info, options.fit)
    console = make_console(options.quiet)

    def source(seed: int, label: str | None) -> Iterator[Any]:
        if str(options.microphone) == "-":
            sound = samples_of(sys.stdin.buffer)
        else:
            sound = as_if_live(sound_chunks(Path(str(options.microphone)), RATE))
        live.append(LiveFigure(speaker, loaded.info, still, sound, seed))
        return iter(live[-1])

    performance = show(loaded, FrameProducer(source, loaded.info.fps, options.seed), options, limit)
    if performance.frames and (late := np.array(live[-1].latencies) * 1e3).size:
        middle, most = np.percentile(late, [50, 99])
        console.print(
            f"{counted(performance.frames, 'frame')}, {performance.achieved_fps:.1f} a second; each came "
            f"{middle:.0f} ms (median), {most:.0f} ms (99th percentile) after its sound"
        )
        performance = replace(performance, latency_p50_ms=float(middle), latency_p99_ms=float(most))
    else:
        console.print("no frame was made")
    return performance


def serve(
    *,
    library: Path = Path("library"),
    models: Path = Path("."),
    host: str = "127.0.0.1",
    port: int = 8000,
    names: tuple[str, ...] = (),
    token: bool = False,
    sources: tuple[Path, ...] = (),
    accounts: bool = False,
    invite: bool = False,
    certificate: Path | None = None,
    key: Path | None = None,
    speech: str | None = None,
    quiet: bool = False,
) -> None:
    """Serve the studio in the browser: ingest, train, evaluate, generate, look through a library. Ctrl-C ends it.

    It is for this computer only, unless another host is given; then a token is asked for, which is shown once, or, with
    --accounts, a name and a password.

    Args:
        library: the library's folder; it is made where it is missing.
        models: folder in which data sets, models, training runs, audits and reports are found, with its subfolders, and
            made: in data, runs and reports.
        host: address to bind to; 0.0.0.0 for all of this computer's.
        port: port; 0 for any that is free.
        names: further host names that it is called by, beside its addresses.
        token: ask for a token on this computer too.
        sources: folders whose videos may be ingested, with their subfolders; left out, the one it is started in.
        accounts: let people in by accounts, which they make by invitation; the first start prints a link for the
            administrator.
        invite: print a link for one more administrator, such as where the last one has lost the password.
        certificate: file of a certificate, PEM, with those that vouch for it behind it: the studio speaks HTTPS.
        key: file of the certificate's key, where it does not stand in the same file.
        speech: the command of a program that reads texts aloud, for figures that speak; {text} and {out}, the file of
            sound that it writes, are filled in, and {name} with a script. Left out, espeak-ng where it is installed.
        quiet: print nothing but the token.
    """
    if importlib.util.find_spec("fastapi") is None or importlib.util.find_spec("uvicorn") is None:
        raise ConfigError("the studio is not installed", "pip install 'footage[studio]'")
    from footage.media.narrator import read_command
    from footage.studio.app import Address, Server
    from footage.studio.encryption import Encryption

    for folder in sources:
        if not folder.is_dir():
            raise ConfigError(f'sources is "{folder}", which is no folder', "give folders that there are")
    if (key is not None and certificate is None) or (invite and not accounts):
        given, missing = ("invite", "accounts") if invite and not accounts else ("key", "certificate")
        raise ConfigError(f"{given} is given without {missing}", f"give --{missing}, too")
    if speech is not None:
        read_command(speech)  # complains now
    encryption = None if certificate is None else Encryption(certificate, key)
    address = Address(host, port, names, token, accounts, encryption)
    server = Server(Path(library), Path(models), address, sources=sources or (Path.cwd(),), speech=speech)
    link = None if server.administered and not invite else server.invite_administrator()
    console = make_console(quiet and server.token is None and link is None)
    if encryption is not None and (warning := encryption.warning()):
        print_marked(console, "warning:", warning)
    console.print(f"the studio is at {server.entrance} until Ctrl-C is pressed", soft_wrap=True)
    if link is not None:
        console.print(f"an administrator makes an account at {link} (once, within three days)", soft_wrap=True)
    server.run()


LARGE, READY, PRESET = "stream-signs", "stream-shapes", "stream-32"
"""The models that come with footage, and what is trained."""
LARGE_SEED, LARGE_SECONDS = 1, 2
"""The clip of 512×384 that is shown first; every second of it takes some of a slow computer."""
FIRST, CLIPS = 4, 16
"""Clips of the small model, and of the trained one."""


def demo(to: Path = Path("demo"), *, minutes: float = 3.0, quiet: bool = False) -> Path:
    """Generate with models that come with footage, train one on moving shapes, and say what to try next.

    Args:
        to: folder for everything.
        minutes: minutes to train, over the whole life of the demo's run.

    Returns:
        The contact sheet; the folder, where the training was stopped.
    """
    console, to = make_console(quiet), Path(to)
    console.rule("footage demo")
    console.print(f"First, a clip of people signing by the model {LARGE}, which comes with footage.\n")
    (film,) = generate.generate(
        Path(LARGE), to / "hd", count=1, seconds=LARGE_SECONDS, seed=LARGE_SEED, device="cpu", quiet=quiet
    )
    console.print(f"\nThe clip: {film}\n\nThen {FIRST} clips of the model {READY}, which comes with footage too.\n")
    generate.generate(Path(READY), to / "first", count=FIRST, seconds=4, device="cpu", quiet=quiet)
    console.print(
        f"\nTraining a small video generator on moving shapes for {counted(minutes, 'minute')}; then it makes "
        f"{CLIPS} clips.\n"
    )
    run = train.train("shapes", preset(PRESET), out=to / "run", minutes=minutes, quiet=quiet)
    if run.interrupted:
        return to
    console.print()
    generate.generate(run.path, to / "clips", count=CLIPS, device="cpu", quiet=quiet)
    for picture in (to / "clips" / "sheet.png", run.path / "curves.png"):
        shutil.copyfile(picture, to / picture.name)
    model, program = shlex.quote(str(run.path)), "footage"
    if shutil.which(program) is None and Path(sys.argv[0]).name == program:  # in an environment that is not active
        program = shlex.quote(sys.argv[0])
    console.print(
        f"""
Where things are
  {to}/hd/           a clip of {LARGE}, and pictures of it
  {to}/first/        {FIRST} clips of {READY}
  {to}/sheet.png     contact sheet: a row is a clip, time runs to the right
  {to}/curves.png    how the training went
  {to}/clips/        {CLIPS} clips as mp4
  {to}/run/samples/  what the model made while it learned
  {to}/run/model/    the model: all that `generate` needs, yours to keep

What to try next
  {program} generate {model} --to more --count 100 --label circle --frames 64
  {program} generate {LARGE} --to hd --count 2 --loop 4s --size 960x720
  {program} generate {READY} --to film --count 1 --seconds 60
  {program} play {model}
  {program} demo --minutes 10     train the same model on
  {program} ingest MY_VIDEOS --to my-data
  {program} train my-data --minutes 30
""",
        soft_wrap=True,
    )
    return to / "sheet.png"
