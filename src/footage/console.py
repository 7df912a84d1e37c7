"""The terminal: one place that makes consoles, so that output looks the same everywhere."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console


def make_console(quiet: bool = False, *, to_stderr: bool = False) -> Console:
    """Return a console for people; a quiet one prints nothing."""
    from rich.console import Console

    # No markup: names of files and labels are printed as they are.
    return Console(quiet=quiet, stderr=to_stderr, soft_wrap=not sys.stdout.isatty(), markup=False)
