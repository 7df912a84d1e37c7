"""The Jinja2 environment of pages that need nothing else: no network, no scripts; light or dark as the system is.

    templates/base.html     what every page begins and ends with; base.css is how all look
    templates/macros.html   tables and legends
    templates/plots.svg     plots, see `footage.pages.plots`
    templates/audit.html    the audit of a data set
    templates/report.html   the report of an evaluation
    templates/privacy.html  what a model tells of its training clips

Everything that a template fills in is escaped, control characters included: names of files are the user's. Jinja2 is
imported when the first page is made.
"""

from __future__ import annotations

import base64
import functools
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from footage import files
from footage.errors import counted

if TYPE_CHECKING:
    import jinja2

LISTED = 2000
"""Rows of a table."""


def printable(value: object) -> object:
    r"""Return a text with escapes such as \u202e for the control characters that reorder or hide what a name says.

    Everything else, and markup that a template has made, is returned as it is.
    """
    if not isinstance(value, str) or hasattr(value, "__html__") or value.isprintable():
        return value
    return "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in value)


def format_figure(value: float | None) -> str:
    """Write a figure with three significant digits; – where there is none."""
    if value is None:
        return "–"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}" if abs(value) >= 1e-3 or not value else f"{value:.2e}"


def data_uri(content: bytes, kind: str) -> str:
    """Return content as an address that holds it, of a media type such as `image/png`."""
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"


@functools.cache
def environment() -> jinja2.Environment:
    """Return the environment of these pages, with the filters `number` (`format_figure`), `percent` and `data_uri`."""
    percent = "{:.1%}".format
    templates = package_environment("footage.pages", number=format_figure, percent=percent, data_uri=data_uri)
    templates.finalize = printable
    templates.globals.update(LISTED=LISTED, counted=counted)
    return templates


def package_environment(package: str, **filters: Callable[..., object]) -> jinja2.Environment:
    """Return an environment of the templates in a package's folder `templates`, with filters by their names in these.

    It escapes what they fill in; a name that is missing is an error.
    """
    import jinja2

    templates = jinja2.Environment(
        loader=jinja2.PackageLoader(package, "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.filters.update(filters)
    return templates


def write_page(path: Path | str, template: str, **values: Any) -> Path:
    """Fill in a template and write the page, an .html file, atomically; return its path."""
    path = Path(path)
    files.write_text(path, environment().get_template(template).render(values))
    return path
