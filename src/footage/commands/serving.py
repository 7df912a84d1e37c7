"""The verb that serves the studio."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from footage.commands.terminal import make_console
from footage.errors import ConfigError


def serve(
    *,
    library: Path = Path("library"),
    models: Path = Path("."),
    host: str = "127.0.0.1",
    port: int = 8000,
    names: tuple[str, ...] = (),
    token: bool = False,
    quiet: bool = False,
) -> None:
    """Serve the studio: look through a library in the browser, judge, generate, watch live. Ctrl-C ends it.

    It is for this computer only, unless another host is given; then a token is asked for, which is shown once.

    Args:
        library: the library's folder; it is made where it is missing.
        models: folder in which models, training runs, audits and reports are found, with its subfolders.
        host: address to bind to; 0.0.0.0 for all of this computer's.
        port: port; 0 for any that is free.
        names: further host names that it is called by, beside its addresses.
        token: ask for a token on this computer too.
        quiet: print nothing but the token.
    """
    if importlib.util.find_spec("fastapi") is None or importlib.util.find_spec("uvicorn") is None:
        raise ConfigError("the studio is not installed", "pip install 'footage[studio]'")
    from footage.studio.app import Address, Server

    server = Server(Path(library), Path(models), Address(host, port, names, token))
    console = make_console(quiet and server.token is None)
    console.print(f"the studio is at {server.entrance} until Ctrl-C is pressed", highlight=False, soft_wrap=True)
    server.run()
