"""Figures that speak, drawn and synthesised here: faces, puppets and drawings whose mouths follow made-up speech.

Every clip is a function of (seed, index) alone. The speech is a source and a filter (Fant 1960): glottal pulses, or
noise, through three resonators whose frequencies glide from phoneme to phoneme (Klatt 1980). Words are random sequences
of phonemes; each phoneme also says how far the mouth is open and how wide, and a slow jaw follows.

Clips that are held out have a voice that was never heard, or another language, with phonemes and a rhythm of its own;
every sentence is new.

In the set `talker-espeak` words are real ones, English and German, whose phonemes come from espeak-ng: a program of the
user's own, which is asked once for each language and never comes with footage. It is synthesised here all the same.
"""

from __future__ import annotations

import functools
import math
import re
import shutil
import subprocess
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from footage.data.store import Frames
from footage.errors import ConfigError
from footage.files import locked

Floats = npt.NDArray[np.float32]
Places = float | np.floating[Any] | npt.NDArray[Any]
"""A number for all frames, or one for each."""

RATE = 16_000
"""Samples of speech in a second."""
FPS = 25
"""Frames in a second."""
CONTROL = 100
"""How often in a second formants and levels are set."""
TRACK = 100
"""How often in a second the mouth is told."""
KINDS = ("known voice", "new voice", "another language")
"""What a clip is heard in: voices of the training clips, voices that are held out, or the other language."""
VOICES = 24
"""Voices of the training clips."""
NEW_VOICES = 6
"""Voices that are held out."""
LOOKS = ("face", "puppet", "drawing")


@dataclass(frozen=True)
class Phoneme:
    """A sound of speech, and what the mouth does."""

    formants: tuple[float, float, float]
    """Hz, of an adult male voice."""
    milliseconds: float
    open: float
    """How far the jaw is down, 0 to 1."""
    wide: float
    """How wide the lips are, 0 (rounded) to 1."""
    voiced: float = 1.0
    """Level of the glottal pulses."""
    hiss: float = 0.0
    """Level of the noise."""
    centre: float = 0.0
    """Resonance of the noise in Hz; 0 where it passes through the formants."""
    spread: float = 1000.0
    """Bandwidth of that resonance in Hz."""
    closure: float = 0.0
    """Part of the time in which all is silent, before a burst."""


Spoken = tuple[Phoneme, float]
"""A sound, and how many seconds it lasts."""

# Vowels: Peterson and Barney 1952, table II (men); the others: Klatt 1980, tables II and III, rounded.
_P = Phoneme
VOWELS = {
    "i": _P((270, 2290, 3010), 110, 0.3, 1.0),
    "ih": _P((390, 1990, 2550), 80, 0.4, 0.85),
    "eh": _P((530, 1840, 2480), 100, 0.6, 0.75),
    "ae": _P((660, 1720, 2410), 130, 0.8, 0.8),
    "ah": _P((730, 1090, 2440), 130, 1.0, 0.55),
    "uh": _P((640, 1190, 2390), 90, 0.65, 0.55),
    "ao": _P((570, 840, 2410), 130, 0.75, 0.25),
    "oo": _P((440, 1020, 2240), 80, 0.4, 0.2),
    "u": _P((300, 870, 2240), 110, 0.3, 0.05),
}
CONSONANTS = {
    "m": _P((250, 1000, 2200), 80, 0.0, 0.5, 0.45),
    "n": _P((250, 1500, 2500), 70, 0.2, 0.6, 0.45),
    "l": _P((360, 1300, 2700), 65, 0.35, 0.6, 0.7),
    "r": _P((310, 1060, 1380), 65, 0.3, 0.4, 0.7),
    "w": _P((290, 610, 2150), 65, 0.2, 0.05, 0.7),
    "j": _P((260, 2070, 3020), 60, 0.25, 0.9, 0.7),
    "p": _P((400, 1100, 2150), 90, 0.0, 0.5, 0.0, 0.5, 900, 900, 0.6),
    "t": _P((400, 1600, 2600), 85, 0.2, 0.65, 0.0, 0.6, 4200, 1800, 0.6),
    "k": _P((300, 1990, 2850), 90, 0.3, 0.6, 0.0, 0.6, 2000, 900, 0.6),
    "b": _P((200, 1100, 2150), 70, 0.0, 0.5, 0.35, 0.1, 900, 900, 0.3),
    "d": _P((200, 1600, 2600), 65, 0.2, 0.65, 0.35, 0.15, 4200, 1800, 0.3),
    "g": _P((200, 1990, 2850), 70, 0.3, 0.6, 0.35, 0.15, 2000, 900, 0.3),
    "f": _P((340, 1100, 2080), 100, 0.08, 0.6, 0.0, 0.16, 5200, 5000),
    "v": _P((220, 1100, 2080), 75, 0.08, 0.6, 0.45, 0.08, 5200, 5000),
    "s": _P((320, 1390, 2530), 110, 0.15, 0.75, 0.0, 0.7, 5800, 1400),
    "z": _P((240, 1390, 2530), 85, 0.15, 0.75, 0.35, 0.4, 5800, 1400),
    "sh": _P((300, 1840, 2750), 110, 0.25, 0.2, 0.0, 0.75, 2900, 1200),
    "h": _P((500, 1500, 2500), 60, 0.45, 0.55, 0.0, 0.3),
}
# Rounded vowels in front, sounds of the uvula, affricates: what the first language does not have.
OTHER_VOWELS = {
    "y": _P((270, 1900, 2300), 120, 0.28, 0.05),
    "oe": _P((480, 1450, 2250), 120, 0.55, 0.2),
    "e": _P((390, 2300, 2900), 140, 0.4, 0.95),
    "a": _P((780, 1300, 2500), 120, 1.0, 0.6),
    "o": _P((400, 750, 2400), 140, 0.5, 0.15),
    "I": _P((350, 2050, 2600), 60, 0.35, 0.85),
    "E": _P((560, 1750, 2450), 75, 0.65, 0.75),
}
OTHER_CONSONANTS = {
    "m": CONSONANTS["m"],
    "n": CONSONANTS["n"],
    "p": CONSONANTS["p"],
    "b": CONSONANTS["b"],
    "k": CONSONANTS["k"],
    "R": _P((480, 1150, 2400), 75, 0.4, 0.5, 0.5, 0.12, 1400, 800),
    "x": _P((400, 1300, 2400), 110, 0.4, 0.5, 0.0, 0.5, 1500, 700),
    "ts": _P((320, 1500, 2600), 130, 0.15, 0.75, 0.0, 0.7, 5200, 1500, 0.35),
    "pf": _P((300, 1000, 2100), 130, 0.03, 0.55, 0.0, 0.3, 4200, 4000, 0.4),
    "ch": _P((300, 2200, 3000), 95, 0.3, 0.8, 0.0, 0.55, 3600, 1100),
    "S": CONSONANTS["sh"],
    "f": CONSONANTS["f"],
    "v": CONSONANTS["v"],
}
SILENCE = _P((500, 1500, 2500), 200, 0.0, 0.5, 0.0)
PHONEMES = {**OTHER_VOWELS, **OTHER_CONSONANTS, **VOWELS, **CONSONANTS}
IPA = {
    **{"i": "i", "ɪ": "ih", "e": "e", "ɛ": "eh", "æ": "ae", "a": "a", "ɑ": "ah", "ɐ": "uh", "ʌ": "uh", "ə": "uh"},
    **{"ɚ": "uh", "ɜ": "uh", "ɔ": "ao", "ɒ": "ao", "o": "o", "ʊ": "oo", "u": "u", "y": "y", "ʏ": "y", "ø": "oe"},
    **{"œ": "oe", "ᵻ": "ih", "eɪ": "eh ih", "aɪ": "a ih", "ɔɪ": "ao ih", "ɔø": "ao ih", "oʊ": "o oo", "əʊ": "uh oo"},
    **{"aʊ": "a oo", "m": "m", "n": "n", "ŋ": "n", "l": "l", "ɹ": "r", "r": "R", "ʁ": "R", "ɾ": "d", "w": "w"},
    **{"j": "j", "p": "p", "t": "t", "k": "k", "b": "b", "d": "d", "ɡ": "g", "g": "g", "f": "f", "θ": "f", "v": "v"},
    **{"ð": "v", "s": "s", "z": "z", "ʃ": "sh", "ʒ": "z", "h": "h", "x": "x", "ç": "ch", "tʃ": "t sh", "dʒ": "d z"},
    **{"ts": "ts", "pf": "pf"},
}
"""Signs of the International Phonetic Alphabet, and the phonemes here that are nearest to them."""
STRESSES = {"ˈ": 1.35, "ˌ": 1.1}
"""Signs of stress, and times as long as others the vowels behind them last."""
SIGNS = re.compile("|".join([*sorted(IPA, key=len, reverse=True), *STRESSES, "ː"]))
SPOKEN = {
    "en-us": "people water morning evening window garden summer winter paper picture music number letter question "
    "answer father mother brother sister teacher doctor farmer table kitchen street village city country "
    "river mountain forest apple butter bread cheese coffee chicken yellow purple orange silver little "
    "heavy early simple quiet careful open begin remember follow believe travel wonder promise measure "
    "listen carry finish enjoy happen imagine together never always maybe about under between today "
    "tomorrow yesterday seven eleven hundred thousand beautiful important possible animal family holiday "
    "potato umbrella elephant computer telephone adventure memory history moment minute reason",
    "de": "Menschen Wasser Morgen Abend Fenster Garten Sommer Winter Papier Bilder Musik Nummer Briefe Frage "
    "Antwort Vater Mutter Bruder Schwester Lehrer Doktor Bauern Tisch Küche Straße Dörfer Städte Länder "
    "Flüsse Berge Wälder Apfel Butter Brote Käse Kaffee Hühner gelb grün orange silbern klein schwer früh "
    "einfach leise offen beginnen erinnern folgen glauben reisen wundern hören tragen freuen zusammen "
    "niemals immer vielleicht über unter zwischen heute gestern sieben elf hundert tausend schön wichtig "
    "möglich Pferde Züge Zeitung Kirche auch ich",
}
"""Words of the set `talker-espeak` by espeak-ng's names of their languages: the first one's, and the other's."""
ESPEAK_SECONDS = 60
"""A program that takes longer to say how words are spoken is ended."""


@dataclass(frozen=True)
class Voice:
    """How somebody speaks."""

    pitch: float
    """Mean frequency of the glottal pulses in Hz."""
    scale: float
    """Formants in parts of those of an adult male: a shorter throat has higher ones."""
    rate: float
    """Speed."""
    breath: float
    """Noise beside the pulses."""
    jaw: float
    """How far this mouth opens."""


@dataclass(frozen=True)
class Utterance:
    """Speech, and what the mouth does meanwhile."""

    samples: Floats
    """(N,), in [-1, 1], `RATE` in a second."""
    mouth: Floats
    """(M, 2): open and wide, `TRACK` in a second."""

    def at(self, start: int, frames: int) -> Floats:
        """Return what the mouth does at frames `start` to `start + frames`, (T, 2)."""
        places = np.round(np.arange(start, start + frames) * TRACK / FPS).astype(int)
        track: Floats = self.mouth[np.clip(places, 0, len(self.mouth) - 1)]
        return track


def draw_voice(seed: int, number: int) -> Voice:
    """Draw a voice; `VOICES` and those behind it are never heard in training clips."""
    rng = np.random.Generator(np.random.Philox(key=[seed, number], counter=[0, 0, 0, 0x701CE]))
    high = bool(rng.integers(2))
    return Voice(
        pitch=float(rng.uniform(165, 255) if high else rng.uniform(85, 150)),
        scale=float(rng.uniform(1.08, 1.22) if high else rng.uniform(0.92, 1.06)),
        rate=float(rng.uniform(0.85, 1.2)),
        breath=float(rng.uniform(0.0, 0.06)),
        jaw=float(rng.uniform(0.9, 1.05)),
    )


def sentence(rng: np.random.Generator, seconds: float, rate: float, *, other: bool) -> list[Spoken]:
    """Draw phonemes and their durations in seconds, at least `seconds` of them, with pauses between some words."""
    vowels, consonants = (OTHER_VOWELS, OTHER_CONSONANTS) if other else (VOWELS, CONSONANTS)
    vowel, consonant = list(vowels.values()), list(consonants.values())
    spoken: list[Spoken] = [(SILENCE, float(rng.uniform(0.1, 0.5)))]
    total, words = spoken[0][1], 0
    while total < seconds:
        # Syllables of the other language end in consonants more often, and its words are shorter and more even.
        syllables = int(rng.integers(1, 3 if other else 4))
        stress = int(rng.integers(syllables))
        for number in range(syllables):
            sounds = [consonant[rng.integers(len(consonant))]] if rng.random() < 0.85 else []
            if other and rng.random() < 0.25:
                sounds.append(consonant[rng.integers(len(consonant))])
            nucleus = vowel[rng.integers(len(vowel))]
            sounds.append(nucleus)
            if rng.random() < (0.7 if other else 0.3):
                sounds.append(consonant[rng.integers(len(consonant))])
            for sound in sounds:
                long = (1.0 if other else 1.35 if number == stress else 0.85) if sound is nucleus else 1.0
                lasting = sound.milliseconds / 1000 * long * float(rng.uniform(0.85, 1.2)) / rate
                spoken.append((sound, lasting))
                total += lasting
        words += 1
        if rng.random() < (0.25 if words > 2 else 0.05):
            pause, words = float(rng.uniform(0.15, 0.6)), 0
            spoken.append((SILENCE, pause))
            total += pause
    return spoken


def find_espeak() -> str:
    """Return where espeak-ng is.

    Raises:
        ConfigError: it is not installed.
    """
    program = shutil.which("espeak-ng")
    if program is None:
        raise ConfigError(
            "talker-espeak has its phonemes from espeak-ng, which is not installed",
            "install that program, or take talker, whose phonemes are our own",
        )
    return program


def read_ipa(word: str) -> tuple[tuple[str, float], ...]:
    """Return the phonemes of a word in signs of the IPA, and how long each is; what is no sign of `IPA` is left out.

    A vowel is as long as its stress says; where a sign stands for two phonemes, each has two thirds of its time.
    """
    spoken: list[tuple[str, float]] = []
    stress = 0.85
    for sign in SIGNS.findall(word):
        if sign in STRESSES:
            stress = STRESSES[sign]
        elif sign == "ː":
            spoken[-1:] = [(name, 1.25 * long) for name, long in spoken[-1:]]
        else:
            names = IPA[sign].split()
            vowel = names[0] in VOWELS or names[0] in OTHER_VOWELS
            spoken += [(name, (stress if vowel else 1.0) * (1.0 if len(names) == 1 else 0.67)) for name in names]
            stress = 0.85 if vowel else stress
    return tuple(spoken)


@functools.lru_cache(maxsize=8)
def pronounced(program: str, language: str) -> tuple[tuple[tuple[str, float], ...], ...]:
    """Return the phonemes of the words of a language, `SPOKEN`, as espeak-ng says them; see `read_ipa`.

    Args:
        program: where espeak-ng is, or what answers as it does.
        language: one of `SPOKEN`.

    Raises:
        ConfigError: the program cannot be run, or fails, or says nothing of a word.
    """
    words = SPOKEN[language].split()
    command = [program, "-q", "--ipa", "--sep=_", "-b", "1", "-v", language]
    remedy = "try it by itself in a terminal, or take talker, whose phonemes are our own"
    try:  # each word is a sentence, else they would be said in one breath, in one line
        done = subprocess.run(
            command,
            input="".join(f"{word}.\n" for word in words),
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=ESPEAK_SECONDS,
            env=locked.foreign_environment(),
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ConfigError(f"{' '.join(command)} cannot be run ({error})", remedy) from None
    spoken = tuple(map(read_ipa, done.stdout.split("\n")[: len(words)]))
    if done.returncode or len(spoken) < len(words) or not all(spoken):
        said = (done.stderr.strip() or f"{sum(map(bool, spoken))} of {len(words)} words")[-200:]
        raise ConfigError(f"{' '.join(command)} ended with status {done.returncode}: {said}", remedy)
    return spoken


def read_aloud(rng: np.random.Generator, seconds: float, rate: float, program: str, language: str) -> list[Spoken]:
    """Draw words of a language, at least `seconds` of them, with pauses between some: as `sentence` does."""
    words = pronounced(program, language)
    spoken: list[Spoken] = [(SILENCE, float(rng.uniform(0.1, 0.5)))]
    total, since = spoken[0][1], 0
    while total < seconds:
        for name, long in words[rng.integers(len(words))]:
            sound = PHONEMES[name]
            spoken.append((sound, sound.milliseconds / 1000 * long * float(rng.uniform(0.85, 1.2)) / rate))
            total += spoken[-1][1]
        since += 1
        if rng.random() < (0.3 if since > 2 else 0.05):
            spoken.append((SILENCE, float(rng.uniform(0.15, 0.6))))
            total, since = total + spoken[-1][1], 0
    return spoken


# y(n) = A x(n) + B y(n-1) + C y(n-2), C = -exp(-2 pi BW T), B = 2 exp(-pi BW T) cos(2 pi F T), A = 1 - B - C:
# Klatt 1980, eq. 1 and 2; here its transfer function A / (1 - B z^-1 - C z^-2) on the unit circle.
def resonance(
    frequency: npt.NDArray[Any], bandwidth: npt.NDArray[Any] | float, z: npt.NDArray[Any]
) -> npt.NDArray[Any]:
    """Return the response of a digital resonator at points of the unit circle: Hz (N,), Hz, z^-1 (K,) -> (N, K)."""
    decay = np.exp(-math.pi * np.broadcast_to(bandwidth, frequency.shape) / RATE)[:, None].astype(np.float32)
    b, c = 2 * decay * np.cos(2 * math.pi * frequency / RATE)[:, None].astype(np.float32), -(decay**2)
    response: npt.NDArray[Any] = (1 - b - c) / (1 - b * z - c * z**2)
    return response


BANDWIDTHS = (60.0, 90.0, 150.0)
"""Of the three formants, in Hz (Klatt 1980, table I)."""
WINDOW, FFT = 320, 640
"""Samples that are filtered at once, and with the filter's ringing."""


def smooth(track: npt.NDArray[Any], width: int) -> npt.NDArray[Any]:
    """Return a track (N, D), moved over a Hann window of `width` rows; at its ends it stays as it is there."""
    kernel = np.hanning(width + 2)[1:-1]
    kernel /= kernel.sum()
    wider = np.pad(track, ((width // 2, width - 1 - width // 2), (0, 0)), mode="edge")
    return np.stack([np.convolve(column, kernel, "valid") for column in wider.T], axis=1)


def synthesise(spoken: list[Spoken], voice: Voice, rng: np.random.Generator, seconds: float) -> Utterance:
    """Return phonemes as speech of so many seconds, and the mouth beside it."""
    count = round(seconds * CONTROL)
    ends = np.cumsum([lasting for _, lasting in spoken])
    times = (np.arange(count) + 0.5) / CONTROL
    number = np.minimum(np.searchsorted(ends, times, side="right"), len(spoken) - 1)
    into = 1 - (ends[number] - times) / np.array([lasting for _, lasting in spoken])[number]
    sounds = [spoken[i][0] for i in number.tolist()]
    formants = smooth(np.array([sound.formants for sound in sounds]), 5) * voice.scale
    silent = into < np.array([sound.closure for sound in sounds])
    levels = np.array([(sound.voiced, sound.hiss) for sound in sounds])
    levels[silent] *= (0.4, 0.0)  # a voiced stop hums behind closed lips
    levels[:, 1] += voice.breath * levels[:, 0]
    levels = smooth(levels, 2)
    centre = np.array([sound.centre for sound in sounds]) * (0.5 + voice.scale / 2)
    spread = np.array([sound.spread for sound in sounds])

    # Source: a pulse wherever the phase has come round, at a pitch that falls and swings; and noise.
    samples = round(seconds * RATE)
    along = np.arange(samples) / RATE
    waves = zip((0.1, 0.06, 0.02), rng.uniform((0.2, 0.8, 3), (0.5, 1.6, 6)), rng.uniform(0, 7, 3), strict=True)
    swing = sum(a * np.sin(2 * math.pi * f * along + p) for a, f, p in waves)
    shaking = 1 + 0.01 * np.repeat(rng.standard_normal(samples // 80 + 1), 80)[:samples]
    phase = np.cumsum(voice.pitch * (1 + swing) * shaking / RATE)
    pulses = np.diff(np.floor(phase), prepend=0.0) * (1 + 0.05 * rng.standard_normal(samples))
    noise = rng.standard_normal(samples)

    # Filter: blocks of 20 ms, two deep, each through the resonators as they then are.
    hop = RATE // CONTROL
    half = WINDOW // 2
    window = np.hanning(WINDOW + 1)[:-1].astype(np.float32)
    places = np.arange(count)[:, None] * hop + np.arange(WINDOW)
    blocks = [np.pad(source, (half, WINDOW)).astype(np.float32)[places] * window for source in (pulses, noise)]
    z = np.exp(-2j * math.pi * np.arange(FFT // 2 + 1) / FFT).astype(np.complex64)  # z^-1
    throat = np.ones((count, len(z)), dtype=np.complex64)
    for place, bandwidth in enumerate(BANDWIDTHS):
        throat *= resonance(formants[:, place], bandwidth, z)
    radiated = 1 - z  # by the lips: a difference
    glottis = resonance(np.zeros(1), 400.0, z) * radiated
    teeth = np.where(centre[:, None] > 0, resonance(np.maximum(centre, 1.0), spread, z), throat) * radiated
    voiced = np.fft.rfft(blocks[0], FFT) * throat * glottis * (4 * levels[:, :1]).astype(np.float32)
    hissed = np.fft.rfft(blocks[1], FFT) * teeth * (0.025 * levels[:, 1:]).astype(np.float32)
    filtered = np.pad(np.fft.irfft(voiced + hissed, FFT), ((0, 0), (0, -FFT % hop)))
    speech = np.zeros(half + count * hop + FFT + hop)
    for first in range(0, filtered.shape[1], hop):
        speech[first : first + count * hop] += filtered[:, first : first + hop].ravel()
    speech = speech[half : half + samples]
    speech *= rng.uniform(0.05, 0.15) / max(1e-4, float(np.sqrt(np.mean(speech**2))))
    speech += 10 ** rng.uniform(-4, -2.7) * rng.standard_normal(samples)

    # The mouth: a jaw is slow, and is on its way 20 ms before it is heard.
    ticks = np.arange(round(seconds * TRACK)) / TRACK + 0.02
    ahead = np.minimum(np.searchsorted(ends, ticks, side="right"), len(spoken) - 1)
    targets = np.array([(spoken[i][0].open * voice.jaw, spoken[i][0].wide) for i in ahead.tolist()])
    return Utterance(np.clip(speech, -1, 1).astype(np.float32), smooth(targets, 11).astype(np.float32))


@functools.lru_cache(maxsize=64)
def speak(seed: int, index: int, kind: int, frames: int, program: str = "") -> Utterance:
    """Return the speech of a clip of so many frames; `program` is espeak-ng's place, for words that are real."""
    rng = np.random.Generator(np.random.Philox(key=[seed, index], counter=[0, 0, 0, 0x5A1D]))
    number = VOICES + int(rng.integers(NEW_VOICES)) if kind == 1 else int(rng.integers(VOICES))
    voice = draw_voice(seed, number)
    seconds, other = frames / FPS, kind == 2
    if program:
        spoken = read_aloud(rng, seconds, voice.rate, program, list(SPOKEN)[other])
    else:
        spoken = sentence(rng, seconds, voice.rate, other=other)
    return synthesise(spoken, voice, rng, seconds)


@functools.lru_cache(maxsize=4096)
def mouth_of(seed: int, index: int, kind: int, frames: int, program: str = "") -> Floats:
    """Return what the mouth of a clip does, (frames, 2); see `speak`."""
    return speak(seed, index, kind, frames, program).at(0, frames)


@dataclass(frozen=True)
class Look:
    """What a figure looks like, and how it moves beside its mouth. Lengths are in halves of the shorter side."""

    kind: str
    x: float
    y: float
    size: float
    skin: tuple[float, float, float]
    """Colours are 0 to 1."""
    hair: tuple[float, float, float]
    lips: tuple[float, float, float]
    behind: tuple[float, float, float]
    eyes: float
    """Half the distance between the eyes."""
    waves: tuple[tuple[float, float, float], ...]
    """Amplitude, Hz and phase of what moves: two waves each for place across, down, tilt and glance."""
    blinks: tuple[float, ...]
    """When the eyes close, in seconds."""


@functools.lru_cache(maxsize=4096)
def draw_look(seed: int, index: int) -> Look:
    rng = np.random.Generator(np.random.Philox(key=[seed, index], counter=[0, 0, 0, 0xFACE]))
    kind = LOOKS[int(rng.choice(3, p=(0.6, 0.2, 0.2)))]
    skin = np.array([0.87, 0.67, 0.53]) * rng.uniform(0.5, 1.12) if kind == "face" else rng.uniform(0.35, 0.95, 3)
    lips = np.array([0.75, 0.3, 0.3]) * rng.uniform(0.6, 1.2) if kind == "face" else rng.uniform(0.1, 0.8, 3)
    most = np.array([0.03, 0.02, 0.04, 0.03])
    waves = [
        (float(a * rng.uniform(0.4, 1) / (1 + i)), float(rng.uniform(0.1, 0.3) * (1 + i)), float(rng.uniform(0, 7)))
        for a in most
        for i in range(2)
    ]
    return Look(
        kind,
        x=float(rng.uniform(-0.1, 0.1)),
        y=float(rng.uniform(-0.08, 0.08)),
        size=float(rng.uniform(0.8, 1.0)),
        skin=tuple(np.clip(skin, 0, 1).tolist()),
        hair=tuple((rng.uniform(0.05, 0.6) * np.array([1.0, rng.uniform(0.6, 1), rng.uniform(0.2, 1)])).tolist()),
        lips=tuple(np.clip(lips, 0, 1).tolist()),
        behind=tuple(rng.uniform(0.15, 0.9, 3).tolist()),
        eyes=float(rng.uniform(0.24, 0.3)),
        waves=tuple(waves),
        blinks=tuple(np.cumsum(rng.uniform(1.2, 4.5, 8)).tolist()),
    )


MOUTH = 0.42
"""How far below the middle of a head its mouth is, in parts of the head's size."""


def mouth_box(look: Look, height: int, width: int) -> tuple[slice, slice]:
    """Return rows and columns of the pixels around a figure's mouth, at rest."""
    half = min(height, width) / 2
    x, y = width / 2 + look.x * half, height / 2 + (look.y + (MOUTH + 0.06) * look.size) * half
    reach, up = 0.34 * look.size * half, 0.26 * look.size * half
    rows, columns = (round(y - up), round(y + up)), (round(x - reach), round(x + reach))
    return slice(max(0, rows[0]), min(height, rows[1])), slice(max(0, columns[0]), min(width, columns[1]))


class _Part(NamedTuple):
    """Something that is painted."""

    place: tuple[slice, slice]
    """Rows and columns that it lies in."""
    mask: Floats
    """How much of each pixel there it covers, (T, h, w)."""


@dataclass(frozen=True)
class _Canvas:
    """Pictures, and where their pixels lie as a head sees them: its middle is 0, its size 1."""

    picture: Floats
    """(T, H, W, 3), 0 to 1."""
    x: Floats
    y: Floats
    scale: np.float32
    """Pixels of a head."""

    def paint(self, part: _Part, colour: tuple[float, ...]) -> None:
        """Put a colour where the mask (T, h, w) is 1, and as much less of it as that is less."""
        picture = self.picture[:, *part.place]
        picture += part.mask[..., None] * (np.array(colour, dtype=np.float32) - picture)

    def place(self, cx: Places, cy: Places, a: Places, b: Places) -> tuple[slice, slice]:
        """Return rows and columns beyond which no frame has anything of a box around (cx, cy), 2a wide and 2b high.

        Places are linear in rows and columns: on a column they are farthest away in its first or its last row.
        """
        slices = []
        for places, middle, reach in ((self.y[:, :, [0, -1]], cy, b), (self.x[:, [0, -1]].swapaxes(1, 2), cx, a)):
            low, high = places.min(axis=(0, 2)), places.max(axis=(0, 2))
            near = (high >= np.min(middle - reach)) & (low <= np.max(middle + reach))
            first = int(near.argmax())
            slices.append(slice(first, first + int(near.sum())))
        return slices[0], slices[1]

    def inside(self, distance: npt.NDArray[Any]) -> Floats:
        """Return how much of each pixel lies inside, from signed distances in heads."""
        part: Floats = np.clip(np.float32(0.5) + distance * self.scale, 0, 1)
        return part

    # Of (1 - r) r / sqrt(u^2/a^2 + v^2/b^2) the root is r / min(a, b) at most: from r = 1 + 1/(2 scale min(a, b)) on
    # nothing of a pixel lies inside.
    def ellipse(self, cx: Places, cy: Places, a: Places, b: Places) -> _Part:
        a, b = np.maximum(np.float32(0.004), a), np.maximum(np.float32(0.004), b)
        reach = 1.01 + 0.5 / (self.scale * np.minimum(a, b))
        place = self.place(cx, cy, a * reach, b * reach)
        u, v = (self.x[:, *place] - cx) / a, (self.y[:, *place] - cy) / b
        radius = np.sqrt(u * u + v * v) + np.float32(1e-6)
        distance = (1 - radius) * radius / np.sqrt(u * u / (a * a) + v * v / (b * b) + np.float32(1e-9))
        return _Part(place, self.inside(distance))

    def box(self, cx: Places, cy: Places, a: Places, b: Places) -> _Part:
        place = self.place(cx, cy, a + 1 / self.scale, b + 1 / self.scale)
        x, y = (np.abs(places[:, *place] - middle) for places, middle in ((self.x, cx), (self.y, cy)))
        return _Part(place, self.inside(np.minimum(a - x, b - y)))


def render(look: Look, mouth: Floats, *, start: int, height: int, width: int) -> Frames:
    """Draw a figure from frame `start` on, for open and wide (T, 2): uint8 (T, H, W, 3), edges one pixel soft."""
    half = min(height, width) / 2
    t = (np.arange(start, start + len(mouth), dtype=np.float32) / FPS)[:, None, None]
    moves = [np.float32(a) * np.sin(np.float32(2 * math.pi * f) * t + np.float32(p)) for a, f, p in look.waves]
    across, down, tilt, glance = (moves[2 * i] + moves[2 * i + 1] for i in range(4))
    lid = np.ones_like(t)
    for when in look.blinks:
        lid = np.minimum(lid, np.abs(t - np.float32(when)) / 0.12)
    pixel_y, pixel_x = np.mgrid[0:height, 0:width].astype(np.float32)
    x = ((pixel_x + 0.5 - width / 2) / half - look.x - across) / look.size
    y = ((pixel_y + 0.5 - height / 2) / half - look.y - down) / look.size
    x, y = x + tilt * y, y - tilt * x  # a small turn
    open_, wide = mouth[:, 0, None, None], mouth[:, 1, None, None]
    picture = np.empty((len(mouth), height, width, 3), dtype=np.float32)
    picture[:] = np.array(look.behind, dtype=np.float32) * (1.05 - 0.25 * pixel_y / height)[..., None]
    canvas = _Canvas(picture, x, y, np.float32(look.size * half))
    paint, ellipse, box = canvas.paint, canvas.ellipse, canvas.box
    dark, white = (0.06, 0.04, 0.05), (0.95, 0.95, 0.92)
    e = look.eyes
    lips, hole = 0.15 + 0.15 * wide, 0.17 * open_
    middle = MOUTH + 0.06 * open_
    if look.kind == "face":
        paint(ellipse(0, 1.35, 0.85, 0.5), look.hair[::-1])  # shoulders
        paint(ellipse(0, -0.12, 0.72, 0.86), look.hair)
        paint(ellipse(0, 0.05, 0.62, 0.8 + 0.05 * open_), look.skin)
        shade = tuple(0.8 * c for c in look.skin)
        paint(ellipse(0, 0.14, 0.06, 0.1), shade)
        for side in (-e, e):
            paint(ellipse(side, -0.15, 0.13, 0.085 * lid), white)
            paint(ellipse(side + glance, -0.15, 0.055, np.minimum(0.06, 0.085 * lid)), dark)
            paint(box(side, -0.32, 0.13, 0.022), look.hair)
        paint(ellipse(0, middle, lips + 0.04, hole + 0.055), look.lips)
        paint(ellipse(0, middle, lips - 0.02, hole + 0.006), dark)
        teeth = ellipse(0, middle - 0.6 * hole, 0.7 * lips, 0.25 * hole)
        paint(teeth._replace(mask=teeth.mask * (open_ > 0.3)), white)
    elif look.kind == "puppet":
        paint(box(0, 0.0, 0.66, 0.86), look.skin)
        paint(box(0, -0.74, 0.7, 0.14), look.hair)
        for side in (-e, e):
            paint(ellipse(side, -0.2, 0.12, 0.12), white)
            paint(ellipse(side + glance, -0.2, 0.07, 0.07), dark)
            paint(box(side, -0.26 - 0.08 * lid, 0.13, 0.14 * (1 - lid) + 0.001), look.skin)
        paint(box(0, MOUTH - 0.06 + hole, 0.2 + 0.08 * wide, hole + 0.02), dark)
        paint(box(0, MOUTH + 0.06 + 2 * hole, 0.24 + 0.08 * wide, 0.08), look.lips)  # the jaw
    else:
        paper = tuple(0.8 + 0.2 * c for c in look.behind)
        picture[:] = np.array(paper, dtype=np.float32)
        ring = ellipse(0, 0, 0.68, 0.86)
        paint(ring, dark)
        paint(ellipse(0, 0, 0.64, 0.82), white)
        for side in (-e, e):
            paint(ellipse(side + glance, -0.18, 0.06, 0.012 + 0.06 * lid), dark)
        paint(ellipse(0, middle, lips + 0.03, hole + 0.03), dark)
        paint(ellipse(0, middle, lips - 0.01, hole), look.lips)
    return np.rint(np.clip(picture, 0, 1) * 255).astype(np.uint8)
