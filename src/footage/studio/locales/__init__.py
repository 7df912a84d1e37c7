"""Locales of the studio: the texts of its pages by language, in JSON files that a translator can edit.

A file has two parts. `texts` holds the texts of pages and scripts by their names. `messages` holds what the rest of
footage says in English, errors and steps of the history, each with its translation. `{…}` is filled in, in either.
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
PLACEHOLDER = re.compile(r"\{(\w+)\}")
"""What is filled in."""


@dataclass(frozen=True)
class Locale:
    """Texts of one language: call it with a text's name, and what is to be filled in."""

    language: str
    """One of `LANGUAGES`."""
    texts: Mapping[str, str]
    """Texts by their names."""
    messages: Mapping[str, str]
    """Translations of English messages; `{…}` stands for any text."""

    def __call__(self, name: str, **values: object) -> str:
        """Return a text."""
        text = self.texts[name]
        return text.format(**values) if values else text

    def term(self, name: str) -> str:
        """Return the text for a name that footage gives, such as a setting's; the name itself where there is none."""
        return self.texts.get(name, name)

    def message(self, english: str) -> str:
        """Return an English message of footage in this language; as it is where no translation is known.

        Args:
            english: a problem, a remedy, or both with a colon between.
        """
        for pattern, translation in message_patterns(self.language):
            if match := pattern.fullmatch(english):
                return translation.format(**match.groupdict())
        problem, colon, remedy = english.partition(": ")
        while colon:
            parts = self.message(problem), self.message(remedy)
            if parts[0] != problem and parts[1] != remedy:
                return self("message_remedy", problem=parts[0], remedy=parts[1])
            more, colon, remedy = remedy.partition(": ")
            problem = f"{problem}: {more}"
        return english


@functools.cache
def read_locale(language: str) -> Locale:
    """Read the file of a language, one of `LANGUAGES`."""
    path = importlib.resources.files("footage.studio.locales").joinpath(f"{language}.json")
    return Locale(language, **json.loads(path.read_text(encoding="utf-8")))


@functools.cache
def message_patterns(language: str) -> list[tuple[re.Pattern[str], str]]:
    """Return a language's messages as regular expressions with their translations, the most exact first."""
    messages = read_locale(language).messages
    exact_first = sorted(messages, key=lambda message: -len(PLACEHOLDER.sub("", message)))
    return [
        (
            re.compile(PLACEHOLDER.sub(r"(?P<\1>.+?)", re.sub(r"([^\w{} ])", r"\\\1", message)), re.DOTALL),
            messages[message],
        )
        for message in exact_first
    ]


def preferred(chosen: str, accepted: str) -> str:
    """Return the language of a cookie, else that which a browser's Accept-Language likes best."""
    if chosen in LANGUAGES:
        return chosen
    languages: list[tuple[float, int, str]] = []
    for place, part in enumerate(accepted.split(",")[:20]):
        name, _, quality = part.strip().partition(";q=")
        language = {"zh": "zh-CN", "en": "en"}.get(name.split("-")[0].strip().lower())
        try:
            weight = float(quality or 1)
        except ValueError:
            continue
        if language:
            languages.append((-weight, place, language))
    return min(languages)[2] if languages else "en"


def size(count: float) -> str:
    """Return bytes as people read them."""
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
    """Return a time as date and clock of this machine."""
    return datetime.datetime.fromtimestamp(when).strftime("%Y-%m-%d %H:%M")
