"""The verbs about footage itself on this machine: what is there and what is missing, completions, the manual page."""

from __future__ import annotations

import ast
import contextlib
import io
import os
import platform
import shutil
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

from rich.table import Table

from footage import __version__, files
from footage.commands.terminal import make_console, working
from footage.errors import counted
from footage.machines import local

State = Literal["good", "absent", "wrong"]
LEAST_DISK, LEAST_MEMORY = 2e9, 1e9
"""Bytes below which a data set, a run or a training of a small model may not fit."""
LONG_AGO = 3600.0
"""Seconds by which a file's time may differ from this machine's clock."""
SPECIFICATION = "COMPLETION_SPEC = "
"""How the line begins on which tyro's completions hold all commands and flags."""
REINSTALL = 'pip install --force-reinstall "av>=18,<19"'
"""What brings a whole FFmpeg back."""
OWN_EXTRAS = {"dev": "for work on footage itself", "docs": "for the site of its documentation"}
SUGGESTED = {"espeak-ng": ("footage talk --text", "install espeak-ng, or name another program by --speech")}
"""Programs outside that may be useful: what for, and what to do for them."""
EXIT = {
    0: "all is well",
    1: "doctor found something wrong",
    2: "something that was asked for cannot be done; the error output has one line with the reason and the remedy",
    3: "verify: a file was changed since it was signed",
    4: "verify: a file has no signature, and none was changed",
    130: "stopped by Ctrl-C; what had been finished is kept",
    141: "whoever was reading the output has gone",
}
"""Exit statuses of the command line."""
ENVIRONMENT = {
    "FOOTAGE_CACHE": "folder for features that were computed, and for files of addresses",
    "FOOTAGE_CACHE_GB": "how large files of addresses may grow there",
    "FOOTAGE_KEYS": "folder of the key that signs clips",
    "FOOTAGE_CERTIFICATE, FOOTAGE_KEY": "a chain of certificates (PEM) and its key, to sign with instead",
    "FOOTAGE_PROVENANCE": "off: clips are not signed",
    "FOOTAGE_PROGRESS": "json: progress and errors as lines of JSON on the error output",
    "FOOTAGE_FOLLOWED": "1: the command ends, as by Ctrl-C, when its input is closed",
    "NO_COLOR": "set to anything: no colours",
}


@dataclass(frozen=True)
class Check:
    """One thing that was looked at."""

    group: str
    name: str
    state: State
    found: str
    """What is there, in words."""
    remedy: str = ""
    """The command or change that mends it, or brings what is absent."""


@dataclass(frozen=True)
class Health:
    """What `doctor` found."""

    findings: tuple[Check, ...]

    @property
    def exit_status(self) -> int:
        """0 where nothing that footage needs is wrong; what is absent may stay so."""
        return int(any(finding.state == "wrong" for finding in self.findings))


def doctor(folder: Path = Path("."), *, quiet: bool = False) -> Health:
    """Say what is there on this machine, what is missing, and the one command for it.

    Exit status 1: something that footage needs is wrong. What is absent is not needed for the rest.

    Args:
        folder: where data sets, runs and clips are to be written.
    """
    console = make_console(quiet)
    with working(console, "looking"):
        findings = (
            *look_at_machine(folder),
            *look_at_networks(),
            *look_at_video(),
            *look_at_extras(),
            *look_at_programs(),
        )
    table = Table("", "what", "found", "remedy", show_edge=False)
    marks = {"good": "✓", "absent": "–", "wrong": "✗"}
    group = ""
    for finding in findings:
        if finding.group != group:
            table.add_section()
            group = finding.group
        style = "bold red" if finding.state == "wrong" else "dim" if finding.state == "absent" else None
        table.add_row(marks[finding.state], finding.name, finding.found, finding.remedy, style=style)
    console.print(table)
    return Health(findings)


def look_at_machine(folder: Path) -> list[Check]:
    """Look at Python, processors, memory, and the folder that is written to."""
    python = platform.python_version()
    cores, free = local.cores(), local.memory_free()
    found = [
        Check("machine", "footage", "good", f"{__version__}, Python {python}, {platform.platform(terse=True)}"),
        Check("machine", "processors", "good", f"{cores} of {os.cpu_count()} may be kept busy"),
        Check(
            "machine",
            "memory",
            "good" if free >= LEAST_MEMORY else "wrong",
            f"{free / 1e9:.1f} GB free",
            "" if free >= LEAST_MEMORY else "end other programs, or lift the limit of the container",
        ),
    ]
    for name, path in (("disk", folder), ("temporary files", Path(tempfile.gettempdir()))):
        try:
            space = shutil.disk_usage(path).free
            with tempfile.NamedTemporaryFile(dir=path, prefix=".footage-") as handle:
                handle.write(b"footage")
                handle.flush()
                locks = files.lock(handle, wait=False)
                skew = abs(os.fstat(handle.fileno()).st_mtime - time.time())
        except OSError as fault:
            problem = f"{path} cannot be written: {files.describe_fault(fault)}"
            found.append(Check("machine", name, "wrong", problem, "choose another folder, or change its rights"))
            continue
        state: State = "good" if space >= LEAST_DISK and skew < LONG_AGO and locks else "wrong"
        remedy = "free some space" if space < LEAST_DISK else "set the clock" if skew >= LONG_AGO else ""
        told = f"{space / 1e9:.1f} GB free in {path.resolve()}" + ("" if locks else "; a lock is never given there")
        found.append(Check("machine", name, state, told, remedy if locks else "choose a folder on a local disk"))
    return found


def look_at_networks() -> list[Check]:
    """Look at PyTorch and what it computes on."""
    try:
        import torch
    except (ImportError, OSError) as fault:
        return [Check("networks", "PyTorch", "wrong", f"cannot be loaded ({fault})", "pip install torch")]
    found = [Check("networks", "PyTorch", "good", f"{torch.__version__}, {counted(torch.get_num_threads(), 'thread')}")]
    for number in range(torch.cuda.device_count()):
        about = torch.cuda.get_device_properties(number)
        bf16 = "bf16" if torch.cuda.is_bf16_supported() else "no bf16"
        told = f"{about.name}, {about.total_memory / 2**30:.0f} GiB, {bf16}"
        found.append(Check("networks", f"cuda:{number}", "good", told))
    promised = [name for name in local.devices() if name.startswith("cuda")]
    if promised and not torch.cuda.is_available():
        told = f"the driver shows {len(promised)}, PyTorch {torch.__version__} can use none"
        found.append(Check("networks", "GPUs", "wrong", told, "install PyTorch's build for your CUDA: see pytorch.org"))
    elif not promised and sys.platform != "darwin":
        found.append(Check("networks", "GPUs", "absent", "none; all that footage does it does on processors too"))
    if sys.platform == "darwin" and torch.backends.mps.is_available():
        found.append(Check("networks", "mps", "good", "Apple's GPU"))
    return found


def look_at_video() -> list[Check]:
    """Look at FFmpeg's libraries: encoders that files need, and hardware that may help."""
    try:
        from footage.media.encode import CONTAINERS, SOFTWARE, ffmpeg_build
    except (ImportError, OSError) as fault:
        return [Check("video", "PyAV", "wrong", f"cannot be loaded ({fault})", REINSTALL)]
    build = ffmpeg_build()
    found = [Check("video", "FFmpeg", "good", build.version)]
    for codec, encoder in SOFTWARE.items():
        kinds = ", ".join(f".{kind}" for kind, codecs in CONTAINERS.items() if codec in codecs)
        if encoder in build.software:
            found.append(Check("video", codec, "good", f"{encoder} writes {kinds}"))
        else:
            state: State = "wrong" if codec == "h264" else "absent"
            found.append(Check("video", codec, state, f"no {encoder}: not {kinds}", REINSTALL))
    built = f"built in for {', '.join(build.hardware)}; whether the machine has them shows --hardware auto"
    state = "good" if build.hardware else "absent"
    found.append(Check("video", "hardware", state, built if build.hardware else "none built in"))
    return found


def look_at_extras() -> list[Check]:
    """Look at each extra: which of its packages are installed, and new enough.

    Those for work on footage itself (`OWN_EXTRAS`) are left out where they are not whole: no user lacks them.
    """
    from packaging.requirements import Requirement

    try:
        requirements = [Requirement(line) for line in metadata.requires("footage") or []]
        names = metadata.metadata("footage").get_all("Provides-Extra") or []
    except metadata.PackageNotFoundError:
        problem = "footage itself is not installed, only found"
        return [Check("extras", "packages", "wrong", problem, "pip install --editable '.[studio]'")]
    found = []
    for extra in sorted(names):
        missing = []
        for needed in requirements:
            if needed.marker is None or not needed.marker.evaluate({"extra": extra}) or needed.name == "footage":
                continue
            try:
                if not needed.specifier.contains(metadata.version(needed.name), prereleases=True):
                    missing.append(f"{needed.name} {metadata.version(needed.name)}, not {needed.specifier}")
            except metadata.PackageNotFoundError:
                missing.append(needed.name)
        if missing and extra in OWN_EXTRAS:
            continue
        about = OWN_EXTRAS.get(extra, "")
        told = "installed" if not missing else f"not here: {', '.join(missing)}"
        found.append(
            Check(
                "extras",
                extra,
                "absent" if missing else "good",
                "; ".join(filter(None, (told, about))),
                f"pip install 'footage[{extra}]'" if missing else "",
            )
        )
    return found


def look_at_programs() -> list[Check]:
    """Look for programs that are useful beside."""
    return [
        Check("beside", program, "good", path) if path else Check("beside", program, "absent", f"for {use}", remedy)
        for program, (use, remedy) in SUGGESTED.items()
        for path in [shutil.which(program)]
    ]


def completion(shell: Literal["bash", "zsh"], *, quiet: bool = False) -> str:
    """Print what lets a shell complete commands, flags and their values.

    bash: mkdir -p ~/.local/share/bash-completion/completions; footage completion bash >
    ~/.local/share/bash-completion/completions/footage. zsh: mkdir -p ~/.zfunc; footage completion zsh >
    ~/.zfunc/_footage, with fpath=(~/.zfunc $fpath) before compinit in ~/.zshrc. Make it anew after an update.

    Args:
        shell: which shell.
    """
    script, commands = completions(shell)
    line = next(line for line in script.splitlines() if line.startswith(SPECIFICATION))
    options = ast.literal_eval(line.removeprefix(SPECIFICATION)) | {"subcommands": nested(commands)}
    script = script.replace(line, f"{SPECIFICATION}{options | {'frontier_groups': []}!r}")
    script = script.replace("complete -F", "complete -o bashdefault -o default -F")
    make_console(quiet).out(script, end="", highlight=False)
    return script


def manual(*, quiet: bool = False) -> str:
    """Print the manual page, for `man`: footage manual > footage.1; man ./footage.1.

    It has every command and flag, exit statuses, and the variables of the environment.
    """
    page = manual_page(completions("bash")[1])
    make_console(quiet).out(page, end="", highlight=False)
    return page


def completions(shell: str) -> tuple[str, dict[str, dict[str, Any]]]:
    """Return tyro's completions of the whole command line, and all commands with their flags as these have them."""
    import tyro

    from footage.commands import main

    places = {name: home for name, home in main.VERBS.items() if name not in main.GROUPS}
    places |= {f"{group} {name}": home for group, verbs in main.GROUPS.items() for name, home in verbs.items()}
    commands = {name: main.command_line(main.verb(home), []) for name, home in places.items()}
    written = io.StringIO()
    with contextlib.redirect_stdout(written), contextlib.suppress(SystemExit):
        tyro.extras.subcommand_cli_from_dict(
            commands,
            prog="footage",
            args=["--tyro-print-completion", shell],
            config=(tyro.conf.AvoidSubcommands,),
        )
    script = written.getvalue()
    line = next(line for line in script.splitlines() if line.startswith(SPECIFICATION))
    return script, ast.literal_eval(line.removeprefix(SPECIFICATION))["subcommands"]


def nested(commands: Mapping[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return commands with those of two words within a command of the first word, each with what it is for."""
    found: dict[str, dict[str, Any]] = {}
    for name, about in commands.items():
        group, _, inner = name.partition(" ")
        about = about | {"description": purpose(name), "frontier_groups": []}
        about["options"] = [one | {"description": " ".join(one["description"].split())} for one in about["options"]]
        if inner:
            outer = {"description": purpose(group), "options": [], "subcommands": {}, "frontier_groups": []}
            found.setdefault(group, outer)["subcommands"][inner] = about
        else:
            found[name] = about
    return found


def purpose(name: str) -> str:
    """Return the first sentence about a command."""
    from footage.commands import main

    group, _, inner = name.partition(" ")
    home = main.GROUPS[group][inner] if inner else main.VERBS[name]
    return " ".join((main.verb(home).__doc__ or "").partition("\n\n")[0].split())


def manual_page(commands: Mapping[str, Mapping[str, Any]]) -> str:
    """Return a manual page, in the macros of man(7).

    Args:
        commands: of each command its flags, as `COMPLETION_SPEC` of tyro has them.
    """
    from footage.commands import main

    def clean(text: str) -> str:
        """Return a text of which roff takes nothing for a request."""
        text = text.replace("\\", "\\e").replace("-", "\\-")
        return "\n".join("\\&" + line if line[:1] in (".", "'") else line for line in text.splitlines())

    lines = [
        "'\\\" -*- coding: utf-8 -*-",
        f'.TH FOOTAGE 1 "" "footage {__version__}" "User Commands"',
        ".ad l",
        ".SH NAME",
        f"footage \\- {clean(main.DESCRIPTION.splitlines()[0])}",
        ".SH SYNOPSIS",
        ".B footage",
        ".I COMMAND ARGUMENTS",
        "[\\-\\-json]",
        ".SH DESCRIPTION",
        "\\-\\-json prints the result of a command as one JSON document, and nothing else.",
        ".SH COMMANDS",
    ]
    for name, about in sorted(commands.items()):
        lines += [f".SS footage {clean(name)}", clean(purpose(name))]
        for option in about["options"]:
            if "-h" not in option["flags"]:
                lines += [
                    ".TP",
                    f".B {clean(', '.join(option['flags']))}",
                    clean(" ".join(option["description"].split())),
                ]
    lines.append(".SH EXIT STATUS")
    for status, meaning in EXIT.items():
        lines += [".TP", f".B {status}", clean(meaning)]
    lines.append(".SH ENVIRONMENT")
    for variable, meaning in ENVIRONMENT.items():
        lines += [".TP", f".B {variable}", clean(meaning)]
    return "\n".join(lines) + "\n"
