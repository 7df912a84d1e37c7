"""The command `footage`: typed dispatch over `footage.commands`; flags come from the functions' types."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Sequence
from typing import Annotated, Any, NoReturn

import tyro
from tyro.conf import arg

from footage import __version__
from footage import commands as api
from footage.commands.demonstration import demo
from footage.commands.terminal import make_console
from footage.config import Config, IngestConfig
from footage.config.presets import preset
from footage.errors import ConfigError, FootageError, nearest


def evaluator() -> None:
    """Feature networks for evaluating: train one on a data set, convert an official one, list the official ones."""


VERBS: dict[str, Callable[..., Any]] = {
    "demo": demo,
    "ingest": api.ingest,
    "audit": api.audit,
    "train": api.train,
    "compare": api.compare,
    "evaluate": api.evaluate,
    "evaluator": evaluator,
    "generate": api.generate,
    "play": api.play,
    "sliders": api.sliders,
    "predict": api.predict,
    "translate": api.translate,
    "upscale": api.upscale,
    "reconstruct": api.reconstruct,
    "interpolate": api.interpolate,
    "embed": api.embed,
    "models": api.models,
    "serve": api.serve,
    "library": api.library,
}
"""Every command, by name."""
EVALUATOR: dict[str, Callable[..., Any]] = {
    "train": api.train_evaluator,
    "convert": api.convert_evaluator,
    "list": api.list_evaluators,
}
GROUPS: dict[str, dict[str, Callable[..., Any]]] = {"evaluator": EVALUATOR, "library": api.LIBRARY}
"""Commands that have commands of their own."""
POSITIONAL = (
    *("sources", "data", "dataset", "model", "folder", "clip", "videos", "end", "file", "made", "real"),
    *("clips", "words", "name"),
)
"""Arguments that are given without a flag, where the function takes them so too."""
ALIASES = {("evaluate", "clips"): "--count"}
"""Other names of flags: command and argument -> flag."""
DESCRIPTION = "Train a video generator on your own clips; make an endless library of new ones."
"""What `footage --help` begins with."""
DEFAULT_PRESET = "stream-64"
"""What `train` takes when no preset is named."""


def _command(function: Callable[..., Any], arguments: Sequence[str]) -> Callable[..., Any]:
    """Give a verb the signature that the command line shows: positional arguments, and a preset's knobs as flags."""
    parameters = []
    for item in inspect.signature(function).parameters.values():
        # Only the parameters' types are looked up: those of the results need heavy imports.
        hint, default = eval(item.annotation, function.__globals__), item.default
        if item.name in POSITIONAL and item.kind is not item.KEYWORD_ONLY:
            hint = Annotated[hint, tyro.conf.Positional]
            if default is None:  # its type would be shown in place of its name
                hint = Annotated[hint, arg(metavar=f"[{item.name.upper()}]")]
        if (function.__name__, item.name) in ALIASES:
            hint = Annotated[hint, arg(aliases=[ALIASES[function.__name__, item.name]])]
        if item.name == "config":
            kind = IngestConfig if isinstance(default, IngestConfig) else Config
            default = default if kind is IngestConfig else preset(_named_preset(arguments))
            hint = Annotated[kind, arg(name="")]
        if item.name in ("timing", "selection", "encoding"):
            hint = Annotated[hint, arg(name="")]
        parameters.append(item.replace(annotation=hint, default=default, kind=inspect.Parameter.KEYWORD_ONLY))

    def command(**values: Any) -> Any:
        return function(**values)

    command.__name__, command.__doc__ = function.__name__, function.__doc__
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {item.name: item.annotation for item in parameters}
    return command


def _named_preset(arguments: Sequence[str]) -> str:
    """Return the preset that the command line names; its values are the defaults of all other flags."""
    for number, word in enumerate(arguments):
        if word == "--preset" and number + 1 < len(arguments):
            return arguments[number + 1]
        if word.startswith("--preset="):
            return word.partition("=")[2]
    return DEFAULT_PRESET


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line. Errors that a user can put right are printed in one line, with exit status 2."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        if words[:1] == ["--version"]:
            print(f"footage {__version__}")
            return
        group = words[0] if words and words[0] in GROUPS else ""
        verbs, words = (GROUPS[group], words[1:]) if group else (VERBS, words)
        if words and not words[0].startswith("-") and words[0] not in verbs:
            raise ConfigError(f'there is no command "{f"{group} {words[0]}".strip()}"', nearest(words[0], verbs))
        commands = {name: _command(function, words) for name, function in verbs.items()}
        result = tyro.extras.subcommand_cli_from_dict(
            commands,
            prog=f"footage {group}".strip(),
            description=(inspect.getdoc(VERBS[group]) or "").split("\n\n")[0] if group else DESCRIPTION,
            args=words or ["--help"],
            config=(tyro.conf.AvoidSubcommands,),  # the preset decides which generator's knobs there are
        )
        if getattr(result, "interrupted", False):
            sys.exit(130)
    except FootageError as error:
        _complain(str(error))
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(141)
    except OSError as error:
        _complain(f"{error.strerror or error}" + (f": {error.filename}" if error.filename else ""))


def _complain(text: str) -> NoReturn:
    """Print an error and leave."""
    console = make_console(to_stderr=True)
    console.print("error", style="bold red", end=": ")
    console.print(text, highlight=False)
    sys.exit(2)
