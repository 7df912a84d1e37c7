"""Locales of the studio: the texts of its pages by language, in JSON files that a translator can edit.

A file has three parts. `texts` holds the texts of pages and scripts by their names. `messages` holds what the rest of
footage says in English, errors above all, and `history` how it calls the steps that can be undone, each with its
translation. `{…}` is filled in, in all of them; `{word}` and `{word2}` of a message stand for one word each. In a text
`[clip|clips]` is what fits the number before it: one, or several. A message with a plural is known with one thing too.
"""

from __future__ import annotations

import datetime
import functools
import importlib.resources
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass

LANGUAGES = ("en", "zh-CN")
"""Languages that there are files of."""
COOKIE = "footage_language"
"""Cookie of who has chosen a language."""
QUOTED = 40
"""Characters after which the history cuts off a value."""
PARTS, LONGEST = 8, 1000
"""Colons of a message at which it is taken apart, and characters of one that is translated, at most."""
PLACEHOLDER = re.compile(r"\{(\w+)\}")
CHOICE = re.compile(r"(\{(\w+)\}[^{\[]*)\[([^|\]]*)\|([^\]]*)\]")
"""A number, words, and what there is one or several of."""
SINGULARS = {"are": "(?:are|is)", "were": "(?:were|was)", "have": "(?:have|has)", "do": "(?:do|does)"}
"""Verbs after a plural, with those after one thing, as regular expressions."""


@dataclass(frozen=True)
class Locale:
    """Texts of one language: call it with a text's name, and what is to be filled in."""

    language: str
    """One of `LANGUAGES`."""
    texts: Mapping[str, str]
    messages: Mapping[str, str]
    """Translations of English messages."""
    history: Mapping[str, str]
    """Translations of the English names of steps that can be undone."""

    def __call__(self, name: str, /, **values: object) -> str:
        text = CHOICE.sub(lambda m: m[1] + m[3 if str(values.get(m[2])) == "1" else 4], self.texts[name])
        return text.format(**values) if values else text

    def term(self, name: str, kind: str = "") -> str:
        """Return the text for a name that footage gives; the name itself where there is none.

        Args:
            name: such as a setting's.
            kind: what it is the name of, where the same name has another text elsewhere.
        """
        return self.texts.get(f"{kind}_{name}", self.texts.get(name, name))

    def figure(self, name: str) -> str:
        """Return the plain name of a figure that trainings log, such as `clip_patch_real` or `heldout_psnr`.

        What a method of somebody's own calls a figure stays as it is, with spaces.
        """
        if (text := self.texts.get(f"figure_{name}")) is not None:
            return text
        if name.startswith("heldout_"):
            return self("figure_heldout", figure=self.figure(name.removeprefix("heldout_")))
        parts = name.split("_")
        for length in range(1, len(parts)):
            if (text := self.texts.get(f"figure_of_{'_'.join(parts[length:])}")) is not None:
                critics = [re.sub(r"\d+$", "", part) for part in parts[:length]]
                numbers = re.findall(r"\d+$", parts[length - 1])
                named = " ".join([*(self.term(part, "critic") for part in critics), *numbers])
                return text.format(critic=named)
        return name.replace("_", " ")

    def about(self, seconds: float) -> str:
        """Return a time that is to be waited for, in words: about 12 minutes."""
        if seconds < 90:
            return self("about_seconds", n=max(1, round(seconds)))
        if seconds < 5400:
            return self("about_minutes", n=round(seconds / 60))
        if seconds < 172_800:
            return self("about_hours", n=f"{seconds / 3600:.1f}")
        return self("about_days", n=f"{seconds / 86400:.1f}")

    def knob(self, english: str) -> tuple[str, str]:
        """Return what a configuration says of a preset or a knob, and the language that this is in."""
        text = read_terms(self.language).get(english)
        return (english, "en") if text is None else (text, self.language)

    def message(self, english: str, deep: int = 3) -> str:
        """Return a message of footage in this language; as it is where no translation is known.

        Args:
            english: a problem, a remedy, or both with a colon between, which may be so again.
            deep: how often it may.
        """
        if len(english) > LONGEST:
            return english
        parts, half_known = english.split(": ", PARTS), None
        for cut in range(1, len(parts)):
            text = translation(self.language, "messages", ": ".join(parts[:cut]))
            if text is not None:
                remedy = ": ".join(parts[cut:])
                told = self.message(remedy, deep - 1) if deep else remedy
                both = self("message_remedy", problem=text, remedy=told)
                if told != remedy:
                    return both
                half_known = half_known or both
        return translation(self.language, "messages", english) or half_known or english

    def step(self, english: str) -> str:
        """Return the name of a step of the history in this language: one change, or several with commas between."""
        changes = english.split(", ")
        # What a person wrote may hold commas itself: a change takes as many parts as it needs to be known and whole.
        rest: dict[int, list[str]] = {len(changes): []}
        for first in reversed(range(len(changes))):
            for end in range(first + 1, len(changes) + 1):
                part = ", ".join(changes[first:end])
                if end in rest and is_whole(part) and (text := translation(self.language, "history", part)):
                    rest[first] = [text, *rest[end]]
                    break
        return self("comma").join(rest[0]) if 0 in rest else english


@functools.cache
def read_locale(language: str) -> Locale:
    """Read the file of a language, one of `LANGUAGES`."""
    path = importlib.resources.files("footage.studio.locales").joinpath(f"{language}.json")
    return Locale(language, **json.loads(path.read_text(encoding="utf-8")))


@functools.cache
def read_terms(language: str) -> Mapping[str, str]:
    """Read what presets and knobs are, by their English texts in the code, in another language; empty for English."""
    path = importlib.resources.files("footage.studio.locales").joinpath(f"knobs.{language}.json")
    terms: Mapping[str, str] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return terms


@functools.cache
def patterns(language: str, part: str) -> list[tuple[re.Pattern[str], str]]:
    """Return a part of a language's file as regular expressions with their translations, the most exact first."""
    texts: Mapping[str, str] = getattr(read_locale(language), part)
    compiled = []
    for english in sorted(texts, key=lambda english: -len(PLACEHOLDER.sub("", english))):
        literals = PLACEHOLDER.split(english)  # literals, with the names of placeholders between
        groups = [rf"(?P<{name}>{'[^ ]+' if name.startswith('word') else '.+?'})" for name in literals[1::2]]
        parts = [re.escape(literals[0])]
        for group, literal in zip(groups, literals[2::2], strict=True):
            counted = "".join(re.findall(r"\A(?: [a-z]+)*", literal))
            either = re.sub(r"[a-z]+", lambda m: SINGULARS.get(m[0], re.sub(r"(?<=\w{3})s$", "s?", m[0])), counted)
            parts += [group, either, re.escape(literal[len(counted) :])]
        compiled.append((re.compile("".join(parts), re.DOTALL), texts[english]))
    return compiled


def translation(language: str, part: str, english: str) -> str | None:
    """Return the translation of an English text, by the patterns of a part of a language's file."""
    for pattern, text in patterns(language, part):
        if match := pattern.fullmatch(english):
            filled = match.groupdict()
            if "reason" in filled:  # in the words of a system or a library
                filled["reason"] = read_locale(language).message(filled["reason"])
            return text.format(
                **{name: unquoted(value) if part == "history" else value for name, value in filled.items()}
            )
    return None


def is_whole(change: str) -> bool:
    """Whether the name of a change ends where the value that it quotes ends; values are cut off after 40 characters."""
    value = change.partition(" ")[2]
    quote = value.lstrip("[")[:1]
    return quote not in ("'", '"') or len(value) == QUOTED or value.rstrip("]").endswith(quote)


def unquoted(value: str) -> str:
    """Return a value of a change, as the history quotes it, in plain words."""
    return re.sub(r"""^\[?['"]|['"]\]?$|^\[\]$""", "", value).replace("', '", ", ")


def preferred(chosen: str, accepted: str) -> str:
    """Return the language of a cookie, else that which a browser's Accept-Language likes best."""
    if chosen in LANGUAGES:
        return chosen
    known = {code.split("-")[0]: code for code in LANGUAGES}
    languages: list[tuple[float, int, str]] = []
    for place, part in enumerate(accepted.split(",")[:20]):
        name, _, quality = part.strip().partition(";q=")
        language = known.get(name.split("-")[0].strip().lower())
        try:
            weight = float(quality or 1)
        except ValueError:
            continue
        if language:
            languages.append((-weight, place, language))
    return min(languages)[2] if languages else "en"


def size(count: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} TB"


def duration(seconds: float) -> str:
    """Return a length such as 0:04 or 1:02:03; of less than ten seconds with a tenth."""
    if 0 < seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    hours, rest = divmod(whole, 3600)
    return f"{hours}:{rest // 60:02}:{rest % 60:02}" if hours else f"{rest // 60}:{rest % 60:02}"


def day(when: float) -> str:
    try:
        return datetime.datetime.fromtimestamp(when).strftime("%Y-%m-%d %H:%M")
    except (ValueError, OverflowError, OSError):  # what a disk says may be no time
        return "?"
