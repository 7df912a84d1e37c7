"""Captions cut into words, and words into hashed pieces: any language, no table of words. Knows no torch.

A word is a run of letters and digits; of scripts that put no spaces between words (Chinese, Japanese, Thai, Khmer, Lao,
Burmese) each character is one. A word is read as itself and as its pieces, runs of a few characters between < and >
(Bojanowski et al. 2017, section 3.2), each a row of a table by its hash (FNV-1a, with the finaliser of MurmurHash3 so
that the low bits are as good as the others).
"""

from __future__ import annotations

import difflib
import functools
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt

from footage.config.sections import TextConfig
from footage.errors import ConfigError

Numbers = npt.NDArray[np.int64]

ALONE = ((0x0E00, 0x0EFF), (0x1000, 0x109F), (0x1780, 0x17FF), (0x2E80, 0xA4CF), (0xF900, 0xFAFF), (0x20000, 0x3FFFF))
"""Ranges of characters that are a word each: Thai and Lao, Burmese, Khmer, Chinese and Japanese."""
LONGEST_WORD = 40
"""Characters of a word that are read."""
MOST_PIECES = 40
"""Pieces of a word that are read: itself first, then the longest."""
KNOWN = 5_000
"""Words that a model remembers having learned from, the commonest."""
REMEMBERED = 500
"""Captions that a model remembers, at most."""
LONGEST_CAPTION = 500
"""Characters of a caption that it remembers."""
COMPARED = 32
"""Words by which captions are told to be near each other, the first ones."""
LIKE = 0.6
"""Likeness of spelling, from 0 to 1, from which a word is named as near to another."""


def words_of(text: str) -> list[str]:
    """Return the words of a text in the order in which they are written, in one form (NFKC, no capitals).

    Marks stay with their letters; what is neither letter, digit nor symbol divides words, marks of direction too.
    """
    words, inside = list[str](), False
    for character in unicodedata.normalize("NFKC", text).casefold():
        kind = _part(character)
        if kind == "gap":
            inside = False
        elif words and (kind == "mark" or (kind == "letter" and inside)):
            words[-1] += character
        elif kind in ("letter", "word"):
            words.append(character)
            inside = kind == "letter"
    return words


@functools.lru_cache(maxsize=65_536)
def _part(character: str) -> Literal["letter", "word", "mark", "gap", "nothing"]:
    """Return what a character is in a text: a letter or digit of a word, a word, a mark on what is before it, a gap."""
    kind, code = unicodedata.category(character), ord(character)
    if kind[0] in "LN":
        return "word" if any(low <= code <= high for low, high in ALONE) else "letter"
    named: dict[str, Literal["word", "mark", "nothing"]] = {"S": "word", "M": "mark"}
    return "nothing" if kind == "Cf" else named.get(kind[0], "gap")


def spaceless(text: str) -> bool:
    """Whether most of a text is written in a script without spaces between words."""
    words = words_of(text)
    return 2 * sum(any(low <= ord(word[0]) <= high for low, high in ALONE) for word in words) > len(words)


class NearCaptions:
    """Which captions differ from one in a single word: the others are the same, and in the same places.

    Args:
        captions: the texts, each once; of each the first `COMPARED` words count.
    """

    def __init__(self, captions: Sequence[str]) -> None:
        self.words = [words_of(caption)[:COMPARED] for caption in captions]
        self._first = np.cumsum([0, *map(len, self.words)])  # where the keys of each caption begin
        # A caption has a key for each of its words: the hash of what is left when that word is taken out.
        every = [hash((at, *those[:at], *those[at + 1 :])) for those in self.words for at in range(len(those))]
        self._keys = np.array(every, dtype=np.int64)
        order = np.argsort(self._keys, kind="stable")
        self._sorted = self._keys[order]
        self._owners = np.repeat(np.arange(len(self.words)), [len(those) for those in self.words])[order]

    def of(self, number: int) -> list[int]:
        """Return the numbers of all captions that differ from one in a word, by the place of that word.

        One that has the same words, in other capitals, say, is not among them.
        """
        keys = self._keys[self._first[number] : self._first[number + 1]]
        ends = zip(*(np.searchsorted(self._sorted, keys, side) for side in ("left", "right")), strict=True)
        found = [other for low, high in ends for other in self._owners[low:high].tolist()]
        return [other for other in found if self.words[other] != self.words[number]]

    def draw(self, number: int, own: Sequence[int], others: Sequence[int], rng: np.random.Generator) -> list[int]:
        """Return one that differs from a caption in a word, and is none of the clip's `own`.

        Where there is none, `others` are put in order: those first that share most words with it.
        """
        if alike := [other for other in self.of(number) if other not in own]:
            return [alike[int(rng.integers(len(alike)))]]
        said = set(self.words[number])
        others = [other for other in others if self.words[other] != self.words[number]]
        return sorted(others, key=lambda other: -len(said.intersection(self.words[other])))


def fnv1a(piece: str) -> int:
    """Return the 32-bit hash of a piece of a word."""
    value = 0x811C9DC5
    for byte in piece.encode("utf-8", "surrogatepass"):
        value = (value ^ byte) * 0x01000193 & 0xFFFFFFFF
    value = (value ^ value >> 16) * 0x85EBCA6B & 0xFFFFFFFF
    value = (value ^ value >> 13) * 0xC2B2AE35 & 0xFFFFFFFF
    return value ^ value >> 16


def pieces_of(word: str, config: TextConfig) -> list[int]:
    """Return the rows of the table that a word is read as, 1 to `config.pieces`; 0 stands for nothing."""
    marked = f"<{word[:LONGEST_WORD]}>"
    pieces = [marked]
    for length in range(config.longest, config.shortest - 1, -1):
        pieces += [marked[first : first + length] for first in range(len(marked) - length + 1)]
    chosen = list(dict.fromkeys(pieces))[:MOST_PIECES]
    return [1 + fnv1a(piece) % config.pieces for piece in chosen]


class TokenTable:
    """Captions as numbers: each word of all of them is cut into pieces once, when the table is made."""

    def __init__(self, captions: Sequence[str], config: TextConfig) -> None:
        numbers: dict[str, int] = {}
        rows = [[numbers.setdefault(word, len(numbers) + 1) for word in words_of(c)[: config.words]] for c in captions]
        pieces = [pieces_of(word, config) for word in numbers]
        self._pieces = _padded([[], *pieces])  # V + 1, G
        self._words = _padded([*rows, []])  # N + 1, L; the last is the empty caption

    def pieces(self, numbers: Numbers) -> Numbers:
        """Return the pieces of captions by their numbers, (...) -> (..., L, G); of -1, the empty one's."""
        return self._pieces[self._words[numbers]].astype(np.int64)


def _padded(rows: Sequence[Sequence[int]]) -> npt.NDArray[np.int32]:
    """Return rows of different lengths as an array, with zeros behind them; at least one column."""
    table = np.zeros((len(rows), max(1, max(map(len, rows), default=1))), dtype=np.int32)
    for place, row in zip(table, rows, strict=True):
        place[: len(row)] = row
    return table


def vocabulary(captions: Iterable[str]) -> tuple[str, ...]:
    """Return the words of captions, the commonest first, `KNOWN` of them at most."""
    counts = Counter(word for caption in captions for word in words_of(caption))
    return tuple(word for word, _ in sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:KNOWN])


def remembered(captions: Sequence[str], seed: int) -> tuple[str, ...]:
    """Return some of the captions, drawn by a seed: those that a model falls back on where it is told none."""
    rng = np.random.Generator(np.random.Philox(key=[seed, 0x5A1D]))
    chosen = rng.permutation(len(captions))[:REMEMBERED].tolist()
    return tuple(captions[number][:LONGEST_CAPTION] for number in chosen)


def unknown_words(text: str, known: Sequence[str]) -> dict[str, list[str]]:
    """Return the words of a text that are not among the known ones, with those that are spelt most like them."""
    learned = set(known)
    strange = dict.fromkeys(word for word in words_of(text) if word not in learned)
    return {word: difflib.get_close_matches(word, known, n=2, cutoff=LIKE) for word in strange}


def check_length(text: str, config: TextConfig, name: str) -> None:
    """Refuse a text of which the end would not be read.

    Raises:
        ConfigError: it has more words than the model reads.
    """
    count = len(words_of(text))
    if count > config.words:
        raise ConfigError(
            f'the text "{text[:40]}…" has {count:,} words, and {name} reads {config.words}',
            f"give at most {config.words} words",
        )
