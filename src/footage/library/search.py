"""Former place of `Filters`, which is `footage.ClipQuery` now: it is found here for one more version, with a notice."""

from __future__ import annotations

import warnings
from typing import Any

from footage.library.query import ClipQuery


def __getattr__(name: str) -> Any:
    if name != "Filters":
        raise AttributeError(f"{__name__} has no {name}")
    warnings.warn("footage.library.search.Filters is footage.ClipQuery now", DeprecationWarning, stacklevel=2)
    return ClipQuery
