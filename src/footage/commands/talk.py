"""The verb that lets stills speak: a recording, a text, or a script for several figures."""

from __future__ import annotations

import tempfile
from pathlib import Path

from footage.commands.generate import file_made, load
from footage.commands.terminal import make_console, print_marked
from footage.errors import ConfigError, MediaError
from footage.media.geometry import Fit
from footage.models.requests import DeviceName


def talk(
    model: Path,
    stills: tuple[str, ...],
    *,
    audio: Path | None = None,
    text: str | None = None,
    script: Path | None = None,
    speech: str | None = None,
    to: Path | None = None,
    begin: float = 0.0,
    seed: int = 0,
    fit: Fit = "crop",
    mark: bool = True,
    library: Path | None = None,
    device: DeviceName = "auto",
    quiet: bool = False,
) -> Path:
    """Let a still speak: a recording, a text that a speech program reads, or a script for several figures.

    Args:
        stills: the still, a picture or a video; with --script one for each figure, as NAME=PICTURE.
        audio: a file of sound, or a video with sound, that is spoken.
        text: a text that is spoken; a speech program reads it.
        script: a text file of lines such as anna: hello, which the figures speak in turn, side by side.
        speech: the command of that program; {text} and {out}, the file of sound that it writes, are filled in, and
            {name} with a script. Left out, espeak-ng where it is installed: 'espeak-ng -w {out} {text}'.
        to: the file to write, with the sound: .mp4, .mov, .mkv or .webm; left out, STILL-talks.mp4 here.
        begin: seconds of the sound that are left out at its beginning.
        seed: of how head and eyes move.
        fit: how a picture of another shape is fitted in.
    """
    from footage.generation import speak as speaking
    from footage.media import narrator
    from footage.media.reader import Footage
    from footage.media.sound import check_sound

    if sum(source is not None for source in (audio, text, script)) != 1:
        raise ConfigError("what is spoken is not clear", "give one of --audio, --text and --script")
    stills = (str(stills),) if isinstance(stills, str | Path) else stills
    if not stills or (script is None and len(stills) > 1):
        raise ConfigError(f"{len(stills)} stills are given", "give one, or with --script one for each figure")
    console = make_console(quiet)
    figures = {"": stills[0]} if script is None else named_stills(stills)
    first = Path(next(iter(figures.values())))
    target = Path(f"{first.stem}-talks.mp4") if to is None else Path(to)
    check_sound(target.suffix.lower().lstrip("."))
    pictures = {name: Footage(Path(path)) for name, path in figures.items()}
    turns = list[narrator.ScriptLine]()
    if script is not None:
        try:
            written = script.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise MediaError(f'"{script}" cannot be read ({error})', "give a text file in UTF-8") from None
        turns = narrator.read_script(written, f'"{script.name}"')
        narrator.check_cast(turns, list(pictures))
    loaded = load(model, device)
    with tempfile.TemporaryDirectory() as folder, console.status("speaking"):
        if script is not None:
            command = narrator.speech_program(speech)
            said = [
                (turn.name, narrator.say(command, turn.text, Path(folder) / f"{number}.wav", turn.name))
                for number, turn in enumerate(turns)
            ]
            clip = speaking.converse(loaded.speaker, loaded.info, pictures, said, seed=seed, fit=fit)
        else:
            if audio is None:
                assert text is not None
                audio = narrator.say(narrator.speech_program(speech), text, Path(folder) / "speech.wav")
            print_marked(console, "warning:", *speaking.listen_through(audio).notes)
            clip = loaded.speak(first, audio, seed=seed, begin=begin, fit=fit)
        clip.save(target, mark=mark)
    console.print(f"{' and '.join(Path(path).name for path in figures.values())} speaks: {target}")
    file_made(loaded, [target], library, console, {"source": first}, clip.metadata)
    return target


def named_stills(stills: tuple[str, ...]) -> dict[str, str]:
    """Return the pictures of figures that are given as NAME=PICTURE, by name.

    Raises:
        ConfigError: one has no name, or the name of another.
    """
    figures: dict[str, str] = {}
    for still in stills:
        name, sign, path = still.partition("=")
        if not (sign and name.strip() and path) or name in figures:
            raise ConfigError(f'"{still}" is no figure of a script', "give each with a name of its own: anna=anna.png")
        figures[name.strip()] = path
    return figures
