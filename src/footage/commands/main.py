"""The command `footage`: typed dispatch over the verbs; flags come from their types."""

from __future__ import annotations

import contextlib
import importlib
import inspect
import os
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, NoReturn, TextIO

import tyro
from tyro.conf import arg

from footage import __version__
from footage.commands.lock import ask_passphrase
from footage.commands.terminal import (
    STOPPED,
    drop_output,
    end_with_follower,
    make_console,
    open_streams,
    print_json,
    print_marked,
    stoppable,
    take_flag,
    tell_follower,
)
from footage.config import Config, IngestConfig, to_json
from footage.config.presets import preset
from footage.config.strict import argument_types, field_texts, flat
from footage.errors import ConfigError, FootageError, KeyNeeded, nearest
from footage.files import describe_fault
from footage.files.locked import KEY_FILE, PASSPHRASE
from footage.machines.local import environment
from footage.machines.remote import address_of
from footage.models.requests import TRAINED_ON

VERBS = {
    "demo": "play:demo",
    "ingest": "train:ingest",
    "audit": "train:audit",
    "plan": "train:plan",
    "train": "train:train",
    "compare": "train:compare",
    "evaluate": "evaluate:evaluate",
    "evaluator": "evaluate:evaluator",
    "generate": "generate:generate",
    "play": "play:play",
    "react": "generate:react",
    "sliders": "generate:sliders",
    "predict": "convert:predict",
    "translate": "convert:translate",
    "talk": "convert:talk",
    "upscale": "convert:upscale",
    "shots": "cutting:shots",
    "join": "cutting:join",
    "summary": "cutting:summary",
    "highlights": "cutting:highlights",
    "film": "cutting:film",
    "template": "cutting:template",
    "effects": "cutting:effects",
    "reconstruct": "convert:reconstruct",
    "interpolate": "generate:interpolate",
    "embed": "generate:embed",
    "models": "generate:models",
    "compact": "generate:compact",
    "export": "generate:export",
    "push": "hub:push",
    "pull": "hub:pull",
    "serve": "play:serve",
    "library": "library:library",
    "verify": "trust:verify",
    "detect": "trust:detect",
    "detector": "trust:detector",
    "doctor": "system:doctor",
    "completion": "system:completion",
    "manual": "system:manual",
    "privacy": "evaluate:privacy",
    "lock": "lock:lock",
    "unlock": "lock:unlock",
    "erase": "lock:erase",
}
"""Every command, by name: module of `footage.commands`, and function, which is imported when it is needed."""
GROUPS = {
    "evaluator": {
        "train": "evaluate:train_evaluator",
        "convert": "evaluate:convert_evaluator",
        "list": "evaluate:list_evaluators",
    },
    "library": {
        "add": "library:add",
        "list": "library:list_clips",
        "search": "library:search",
        "show": "library:show",
        "similar": "library:similar",
        "find": "library:find",
        "duplicates": "library:duplicates",
        "taste": "library:taste",
        "tag": "library:tag",
        "rate": "library:rate",
        "edit": "library:edit",
        "effects": "library:effects",
        "render": "library:render",
        "album": "library:album",
        "view": "library:view",
        "export": "library:export",
        "remove": "library:remove",
        "restore": "library:restore",
        "purge": "library:purge",
        "undo": "library:undo",
        "redo": "library:redo",
        "history": "library:history",
        "embed": "library:embed_clips",
        "verify": "library:verify",
        "gc": "library:gc",
    },
}
"""Commands that have commands of their own."""
POSITIONAL = (
    *("sources", "data", "dataset", "model", "folder", "clip", "videos", "end", "file", "made", "real", "song"),
    *("clips", "words", "name", "stills", "shell", "path", "source", "timeline", "repository"),
)
"""Arguments that are given without a flag, where the function takes them so too."""
TEXTS = {
    "model": "a model folder, or a run.",
    "library": "folder of a library to file the result in; see footage library.",
    "folder": "the library.",
    "selection": "which clips come into question.",
    "where": "which clips.",
    "device": "where to compute.",
    "on": "ray for workers on this machine, or ray://HOST:PORT for those of a cluster; left out, all is done in this "
    "process. See docs/scale.md.",
    "workers": "with --on ray: units of work that are done at once; left out, as many as there are processors.",
    "mark": "put an invisible mark into the frames, from which footage verify tells that footage made them, without "
    "metadata too; see docs/trust.md. The EU's AI Act, article 50 (2), asks those who provide a generative system that "
    "what it makes is marked so that machines can tell, and the code of practice for two layers, metadata and mark.",
    "quiet": "print nothing.",
}
"""Help of arguments that are the same in most verbs; a verb's own docstring, or its field's, goes first."""
ALONE = {"--novel": TRAINED_ON}
"""Flags that may stand without a value, and the value that they have then."""
ALIASES = {("evaluate", "clips"): "--count", ("train", "out"): "--to", ("compare", "out"): "--to"}
"""Other names of flags: command and argument -> flag."""
SAID = frozenset(
    [
        "title",
        "prompt",
        "notes",
        "label",
        "text",
        "words",
        "tag",
        "without",
        "add",
        "remove",
        "name",
        "rename",
        "album",
        "view",
        "sources",
    ]
)
"""Flags whose values are texts, in which any address may stand."""
NAMED = (("library", "search"), ("library", "album"), ("library", "view"))
"""Commands that are given texts after the library."""
RESUMED = ("ingest", "train", "compare", "upscale", "demo", "join", "interpolate", "summary", "highlights", "effects")
"""Commands that go on where they were stopped."""
DESCRIPTION = """Train a video generator on your own clips; make an endless library of new ones.

With --json a command prints its result as one JSON document, and nothing else. --version prints the version."""
"""What `footage --help` begins with."""
DEFAULT_PRESET = "stream-64"
"""Whose knobs `train` has as flags when no preset is named: it chooses one that suits the data, with what they say."""


def verb(home: str) -> Callable[..., Any]:
    """Return a verb by where it is defined, such as `train:compare`."""
    module, _, name = home.partition(":")
    function: Callable[..., Any] = getattr(importlib.import_module(f"footage.commands.{module}"), name)
    return function


def command_line(function: Callable[..., Any], arguments: Sequence[str], chosen: bool = True) -> Callable[..., Any]:
    """Give a verb the signature that the command line shows: positional arguments, and a preset's knobs as flags.

    Where the verb is the one that was `chosen`, and not in the list of all, its whole docstring is its help, and texts
    of flags are looked up.
    """
    parameters, chooses = [], False
    fields: type | None = getattr(function, "fields_of", None)
    hints = argument_types(function)
    about = inspect.getdoc(getattr(function, "__wrapped__", function)) or ""
    texts = TEXTS | (field_texts(fields) if fields and chosen else {})
    for item in inspect.signature(function).parameters.values():
        hint = hints[item.name]
        default = item.default
        if item.name in POSITIONAL and item.kind is not item.KEYWORD_ONLY:
            hint = Annotated[hint, tyro.conf.Positional]
            if default is None:  # its type would be shown in place of its name
                hint = Annotated[hint, arg(metavar=f"[{item.name.upper()}]")]
        if item.name in texts and f"\n    {item.name}: " not in about:
            hint = Annotated[hint, arg(help=texts[item.name])]
        if (function.__name__, item.name) in ALIASES:
            hint = Annotated[hint, arg(aliases=[ALIASES[function.__name__, item.name]])]
        if item.name == "config":
            kind = IngestConfig if isinstance(default, IngestConfig) else Config
            if kind is Config:  # the configuration that is named: its network has the flags that there are
                named = {k: value for k in ("method", "net.kind") if (value := take_flag(arguments, f"--{k}")[1])}
                name = take_flag(arguments, "--preset")[1]
                default, chooses = preset(name or DEFAULT_PRESET, named), not name and not named
            hint = Annotated[kind, arg(name="")]
        if item.name in ("timing", "selection", "encoding", "launch"):
            hint = Annotated[hint, arg(name="")]
        parameters.append(item.replace(annotation=hint, default=default, kind=inspect.Parameter.KEYWORD_ONLY))

    def command(**values: Any) -> Any:
        if chooses:  # only the knobs that are given, whatever their values
            flags = {word.partition("=")[0] for word in arguments if word.startswith("--")}
            given = {flag[2:].replace(".no-", ".").replace("-", "_") for flag in flags}
            values["config"] = {knob: value for knob, value in flat(to_json(values["config"])).items() if knob in given}
        return function(**values)

    first, gap, rest = about.partition("\n\n")
    if chosen and "json" not in inspect.signature(function).parameters:
        rest, gap = f"With --json the result is printed as one JSON document, and nothing else.{gap}{rest}", "\n\n"
    command.__name__, command.__doc__ = function.__name__, first + gap + rest if chosen else first
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {item.name: item.annotation for item in parameters}
    return command


def _places(words: Sequence[str]) -> Iterator[str]:
    """Yield the words of a command line that may be places: all but its texts."""
    is_text, named = False, len(words) > 1 and (words[0], words[1]) in NAMED
    for number, word in enumerate(words):
        flag, _, value = word[2:].partition("=") if word.startswith("--") else ("", "", word)
        is_text = flag.rpartition(".")[2] in SAID if flag else is_text
        if not is_text and (flag or number < 3 or not named):
            yield value


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line. Errors that a user can put right are printed in one line, with exit status 2.

    Ctrl-C ends it with exit status 130, a second one at once; both say what is kept.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    quiet, home, show = "--quiet" in words, Path(__file__).parents[1], warnings.showwarning

    def tell(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        """Print a warning of footage without the place in the code; leave those of other packages as they are."""
        if not (issubclass(category, UserWarning) and Path(filename).is_relative_to(home)):
            show(message, category, filename, lineno, file, line)
        elif not quiet:
            print_marked(make_console(to_stderr=True), "warning:", str(message))

    with stoppable(for_good=arguments is None), warnings.catch_warnings():
        warnings.showwarning = tell
        try:
            open_streams()
            end_with_follower()
            for word in _places(words):
                address_of(word)  # refuses one with a key
            words, key_file = take_flag(words, "--key-file")
            with environment({KEY_FILE: None if key_file is None else os.path.abspath(key_file)}):
                try:
                    _run(list(words))
                except KeyNeeded as error:
                    with environment({PASSPHRASE: ask_passphrase(error)}):
                        _run(list(words))
            sys.stdout.flush()
        except FootageError as error:
            _complain(str(error))
        except KeyboardInterrupt:
            tell_follower(stopped=True)
            goes_on = "; the same command again goes on from there" if words and words[0] in RESUMED else ""
            print_marked(make_console(to_stderr=True), "stopped:", f"what had been finished is kept{goes_on}")
            sys.exit(STOPPED)
        except BrokenPipeError:
            sys.stderr.close()
            sys.exit(141)
        except UnicodeError as error:
            text = repr(error.object)[:200] if isinstance(error, UnicodeEncodeError) else str(error)
            _complain(f"{text} is no text: give names that are UTF-8")
        except OSError as error:
            drop_output()
            _complain(describe_fault(error))


def _run(words: list[str]) -> None:
    """Run a command, or print its help."""
    if words[:1] == ["--version"]:
        print(f"footage {__version__}")
        return
    group = words[0] if words and words[0] in GROUPS else ""
    verbs, words = (GROUPS[group], words[1:]) if group else (VERBS, words)
    program = f"footage {group}".strip()
    if words and words[0].startswith("-") and words[0] not in ("-h", "--help"):
        raise ConfigError(f'"{words[0]}" stands where a command is wanted', f"give one first; {program} --help has all")
    if not words or words[0].startswith("-"):
        about = (inspect.getdoc(verb(VERBS[group])) or "").split("\n\n")[0] if group else DESCRIPTION
        commands = {name: command_line(verb(home), words, chosen=False) for name, home in verbs.items()}
        tyro.extras.subcommand_cli_from_dict(commands, prog=program, description=about, args=words or ["--help"])
    if words[0] not in verbs:
        named = f"{group} {words[0]}".strip()
        raise ConfigError(f'there is no command "{named}"', nearest(words[0], verbs))
    for number in (number for number, word in enumerate(words, 1) if word in ALONE):
        if number == len(words) or words[number].startswith("-"):
            words[number - 1] = f"{words[number - 1]}={ALONE[words[number - 1]]}"
    command = command_line(verb(verbs[words[0]]), words)
    known = inspect.signature(command).parameters
    printed = "--json" in words and "json" not in known
    if printed:
        words = [word for word in words if word != "--json"] + ["--quiet"] * ("quiet" in known)
    # Of AvoidSubcommands: the preset decides which generator's knobs there are.
    config = (tyro.conf.AvoidSubcommands,)
    result = tyro.cli(command, prog=f"{program} {words[0]}", args=words[1:], config=config)
    if printed:
        print_json(result)
    if getattr(result, "interrupted", False):
        sys.exit(STOPPED)
    if status := getattr(result, "exit_status", 0):
        sys.exit(status)


def _complain(text: str) -> NoReturn:
    """Print an error and leave."""
    tell_follower(error=text)
    with contextlib.suppress(OSError):  # nobody reads it
        print_marked(make_console(to_stderr=True), "error:", text, style="bold red")
    sys.exit(2)
