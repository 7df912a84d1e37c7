"""The studio's languages, and how values are written in them."""

from __future__ import annotations

import datetime

from footage.web import chinese, english

LANGUAGES: dict[str, dict[str, str]] = {"en": english.WORDS, "zh-CN": chinese.WORDS}
"""The words by language."""
COOKIE = "footage_language"
"""Cookie of who has chosen a language."""


class Words:
    """The words of one language: call it with a text's name, and what is to be filled in.

    Args:
        language: one of `LANGUAGES`.
    """

    def __init__(self, language: str) -> None:
        self.language = language
        self.all = LANGUAGES[language]

    def __call__(self, name: str, **values: object) -> str:
        """Return a text."""
        text = self.all[name]
        return text.format(**values) if values else text


def preferred(chosen: str, accepted: str) -> str:
    """Return the language of a cookie, else that which a browser's Accept-Language likes best."""
    if chosen in LANGUAGES:
        return chosen
    found: list[tuple[float, int, str]] = []
    for place, part in enumerate(accepted.split(",")[:20]):
        name, _, quality = part.strip().partition(";q=")
        known = {"zh": "zh-CN", "en": "en"}.get(name.split("-")[0].strip().lower())
        try:
            weight = float(quality or 1)
        except ValueError:
            continue
        if known:
            found.append((-weight, place, known))
    return min(found)[2] if found else "en"


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
