"""The figures of docs/benchmarks.md: what is measured, by which script, of which code; measured, entered, shown.

python benchmarks/bench.py measure [ROW ...] [--busy]   run the scripts of rows, note what they find, write the page
python benchmarks/bench.py page                         write the pages from what is noted, without what is outdated
python benchmarks/bench.py status                       which rows live, which have to be measured again, and why
python benchmarks/bench.py enter FILE                   note what was measured elsewhere, on a GPU for example

What is found is kept in docs/benchmarks.json: values, machine, commit, date, and a digest of each file that the row
names. A digest is of what a file does: comments, docstrings, layout, types, the order of imports and the texts of
errors that Python raises are nothing to it. That of a part of a file is of all that the part uses of the same file too:
functions, constants, base classes, what its class has. A row lives as long as all its digests fit the present files;
only living rows are shown. `enter` takes

    {"machine": "NVIDIA H200, …", "commit": "213a013", "date": "2026-11-27", "figures": {"ROW": [383.0, 379.5]}}

and digests the files as they were at that commit, which git has to know.
"""

from __future__ import annotations

import argparse
import ast
import datetime
import fnmatch
import hashlib
import importlib.metadata
import json
import math
import os
import platform
import re
import shlex
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rows import ROWS, Row

from footage.errors import FootageError
from footage.files import refuse_newer, write_json, write_text
from footage.machines.local import GPUS, cores

ROOT = Path(__file__).resolve().parent.parent
NOTES = "docs/benchmarks.json"
VERSION = 1
PAGE = "docs/benchmarks.md"
PAGES = (PAGE, "README.md", "README.zh-CN.md")
"""Where figures are shown."""
BUSY = 0.25
"""Of the processors, on average over the last minute: an idle machine is one that does no more."""
TABLE = re.compile(r"(<!-- rows: made by `make bench-page` -->\n).*?(<!-- end of rows -->)", re.DOTALL)
FIGURE = re.compile(r"(<!-- figure ([\w-]+): (.*?) -->)(.*?)(<!-- end -->)", re.DOTALL)
"""A figure in a text: its row, the words around it with `{}` in its place, and what is shown: nothing once outdated."""


@dataclass(frozen=True)
class Note:
    """What was measured of a row."""

    values: list[float]
    """One for each round."""
    machine: str
    commit: str
    date: str
    """Year-month-day."""
    files: dict[str, str]
    """Digests of what the figure follows from, as it was."""


def bare(node: Any) -> Any:
    """Return a syntax tree as nested tuples, the same in all versions of Python, without texts that nothing reads."""
    if isinstance(node, list):
        return tuple(bare(one) for one in node if not is_text(one))
    if isinstance(node, ast.AST):
        fields = ((name, bare(value)) for name, value in ast.iter_fields(node) if value not in (None, []))
        return (type(node).__name__, *fields)
    return node


def is_text(node: Any) -> bool:
    """Return whether a statement is a docstring, or a text below a constant or a field."""
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


class Plain(ast.NodeTransformer):
    """Takes out of a module what changes nothing that is measured: types, what errors say, the order of imports."""

    def visit_Module(self, node: ast.Module) -> ast.Module:
        imports = [one for one in node.body if isinstance(one, ast.Import | ast.ImportFrom)]
        checks = [one for one in node.body if isinstance(one, ast.If) and "TYPE_CHECKING" in ast.unparse(one.test)]
        rest = [self.visit(one) for one in node.body if one not in imports and one not in checks]
        used = {inner.id for one in rest for inner in ast.walk(one) if isinstance(inner, ast.Name)}
        lines = set[str]()
        for one in imports:
            for alias in one.names:
                if (alias.asname or alias.name.partition(".")[0]) in used:
                    one.names = [alias]
                    lines.add(ast.unparse(one))
        node.body = [*ast.parse("\n".join(sorted(lines))).body, *rest]
        return node

    def visit_arg(self, node: ast.arg) -> ast.arg:
        node.annotation = None
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.returns = None
        return self.generic_visit(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.AST:
        node.returns = None
        return self.generic_visit(node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        node.annotation = ast.Constant("")
        return self.generic_visit(node)

    def visit_Raise(self, node: ast.Raise) -> ast.AST:
        node.exc = node.exc.func if isinstance(node.exc, ast.Call) else node.exc
        return self.generic_visit(node)


@cache
def parsed(content: bytes) -> ast.Module:
    """Return the syntax tree of a file, which several rows name, without what changes nothing that is measured."""
    tree: ast.Module = Plain().visit(ast.parse(content))
    return tree


def named(body: Sequence[ast.stmt]) -> dict[str, list[ast.stmt]]:
    """Return what the body of a module or a class names, each with its statements, conditions around them included."""
    found: dict[str, list[ast.stmt]] = {}
    for statement in body:
        names = set[str]()
        whole = isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        for inner in [statement] if whole else ast.walk(statement):
            if isinstance(inner, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                names.add(inner.name)
            elif isinstance(inner, ast.Name) and isinstance(inner.ctx, ast.Store):
                names.add(inner.id)
            elif isinstance(inner, ast.alias):
                names.add(inner.asname or inner.name.partition(".")[0])
        for name in names:
            found.setdefault(name, []).append(statement)
    return found


def parts(tree: ast.Module, part: str) -> dict[str, list[ast.stmt]]:
    """Return a part of a module, NAME or CLASS.NAME, and all that it uses of the module, with their statements.

    What is followed are names, and what a method asks of `self`, `cls` or `super()`, in its class and those above.
    """
    top, found, rest = named(tree.body), dict[str, list[ast.stmt]](), [part]
    while rest:
        name = rest.pop()
        if name in found:
            continue
        home, _, own = name.rpartition(".")
        classes = [one for one in top.get(home, ()) if isinstance(one, ast.ClassDef)]
        found[name] = [one for each in classes for one in named(each.body).get(own, ())] if home else top.get(name, [])
        rest += [f"{base.id}.{own}" for each in classes for base in each.bases if isinstance(base, ast.Name)]
        for inner in (inner for statement in found[name] for inner in ast.walk(statement)):
            if isinstance(inner, ast.Name):
                rest.append(inner.id)
            elif home and isinstance(inner, ast.Attribute) and ast.unparse(inner.value) in ("self", "cls", "super()"):
                rest.append(f"{home}.{inner.attr}")
    return {name: statements for name, statements in found.items() if statements}


@cache
def digest(content: bytes, python: bool, part: str = "") -> str:
    """Return 12 digits that stand for what a file does, or a part of it; `missing` where it has no such part."""
    if python:
        tree = parsed(content)
        if not part:
            content = repr(bare(tree)).encode()
        elif part in (used := parts(tree, part)):
            content = repr([(name, bare(used[name])) for name in sorted(used)]).encode()
        else:
            return "missing"
    return hashlib.sha256(content).hexdigest()[:12]


def machine() -> str:
    """Return what figures are measured on: processor, cores, GPU, Python, PyTorch."""
    cpu, facts = platform.processor() or platform.machine(), Path("/proc/cpuinfo")
    if facts.exists():
        cpu = next((line.split(":")[1].strip() for line in facts.open() if line.startswith("model name")), cpu)
    cards = (line for path in GPUS.glob("*/information") for line in path.open() if line.startswith("Model:"))
    count = f"{cores()} core{'s' if cores() > 1 else ''}"
    versions = [f"Python {platform.python_version()}", f"PyTorch {importlib.metadata.version('torch').split('+')[0]}"]
    return ", ".join([cpu, count, *(card.split(":")[1].strip() for card in cards), *versions])


class Bench:
    """The rows of a working tree, and what is noted of them.

    Args:
        root: of the tree.
        rows: that are shown, in their order.
    """

    def __init__(self, root: Path = ROOT, rows: Sequence[Row] = ROWS) -> None:
        self.root = root
        self.rows = {row.name: row for row in rows}
        self.notes: dict[str, Note] = {}
        if (root / NOTES).exists():
            kept = json.loads((root / NOTES).read_text(encoding="utf-8"))
            refuse_newer(kept["version"], VERSION, NOTES, FootageError)
            self.notes = {name: Note(**note) for name, note in kept["rows"].items()}

    def git(self, *words: str) -> bytes:
        """Return what git says.

        Raises:
            FootageError: it refuses.
        """
        done = subprocess.run(["git", "-C", str(self.root), *words], capture_output=True)
        if done.returncode:
            problem = done.stderr.decode(errors="replace").strip().splitlines()
            raise FootageError(
                f"git {words[0]}: {problem[0] if problem else 'failed'}", "measure in a clone of the code"
            )
        return done.stdout

    def digests(self, row: Row, commit: str = "") -> dict[str, str]:
        """Return a digest of each file that a row names, now or at a commit; and of the call of its script."""
        kept = self.git("ls-tree", "-r", "--name-only", commit).decode().splitlines() if commit else []
        found = {"call": digest(f"{row.command} {row.figure}".encode(), False)} if row.command else {}
        for source in row.sources:
            pattern, _, part = source.partition("::")
            for path in sorted(fnmatch.filter(kept if commit else self.present(pattern), pattern)):
                content = self.git("show", f"{commit}:{path}") if commit else (self.root / path).read_bytes()
                found[f"{path}::{part}" if part else path] = digest(content, path.endswith(".py"), part)
        return found

    def present(self, pattern: str) -> list[str]:
        """Return the files that a pattern names now: those that git knows, as others may lie about beside them."""
        fixed = pattern.split("*")[0]
        try:
            paths = self.git("ls-files", "--", pattern).decode().splitlines() if fixed != pattern else [pattern]
        except FootageError:  # no clone: all that there are
            paths = [path.relative_to(self.root).as_posix() for path in (self.root / fixed).parent.rglob("*")]
        return [path for path in paths if (self.root / path).is_file()]

    def changed(self, name: str) -> list[str]:
        """Return which files of a row are no longer what they were when it was measured."""
        now, then = self.digests(self.rows[name]), self.notes[name].files
        return sorted(path for path in now.keys() | then.keys() if now.get(path) != then.get(path))

    def living(self) -> dict[str, Note]:
        """Return what is noted of rows whose files are as they were, in the order of rows."""
        return {name: self.notes[name] for name in self.rows if name in self.notes and not self.changed(name)}

    def note(self, name: str, values: Any, machine: str, commit: str, date: str, files: dict[str, str]) -> None:
        """Note what was measured of a row.

        Raises:
            FootageError: there is no such row, or that is no figure.
        """
        if name not in self.rows:
            raise FootageError(f"{name} is no row", f"the rows are {', '.join(self.rows)}")
        numbers = values if isinstance(values, list) else [values]
        if not numbers or not all(isinstance(value, int | float) and math.isfinite(value) for value in numbers):
            raise FootageError(f"{name} is {values}", "a figure is a number, or a list of numbers")
        self.notes[name] = Note([float(f"{value:.6g}") for value in numbers], machine, commit, date, files)

    def save(self) -> None:
        """Write what is noted, and the pages from it."""
        rows = {name: vars(self.notes[name]) for name in self.rows if name in self.notes}
        write_json(self.root / NOTES, {"version": VERSION, "rows": rows})
        self.write_pages()

    def measure(self, names: Sequence[str], busy: bool, console: Console) -> list[str]:
        """Run the scripts of rows, each once, note what they find, and return what went wrong.

        Raises:
            FootageError: a row is not known or is entered, or files that rows name are not committed.
        """
        asked = {name: row for name, row in self.rows.items() if row.command and (name in names or not names)}
        if strange := set(names) - set(asked):
            remedy = f"those are {', '.join(name for name, row in self.rows.items() if row.command)}"
            raise FootageError(f"{', '.join(sorted(strange))} is no row that can be measured", remedy)
        commands: dict[str, list[Row]] = {}
        for name, row in asked.items():
            if row.idle and not busy and os.getloadavg()[0] > BUSY * cores():
                console.print(f"{name} is left out: it wants an idle machine (--busy measures all the same)")
            else:
                commands.setdefault(row.command, []).append(row)
        patterns = {source.partition("::")[0] for rows in commands.values() for row in rows for source in row.sources}
        lines = self.git("status", "--porcelain", "--", *sorted(patterns)).decode().splitlines() if patterns else []
        if lines:
            raise FootageError(
                f"{', '.join(line[3:] for line in lines)} changed since the last commit", "commit: figures name theirs"
            )
        commit, here, wrong = self.git("rev-parse", "--short", "HEAD").decode().strip(), machine(), list[str]()
        for command, rows in commands.items():
            files = {row.name: self.digests(row) for row in rows}
            console.print(f"[bold]{command}[/bold]", highlight=False)
            try:
                found = self.run(command)
            except FootageError as error:
                wrong.append(str(error))
                continue
            today = datetime.date.today().isoformat()
            for row in rows:
                try:
                    self.note(row.name, found.get(row.figure), here, commit, today, files[row.name])
                except FootageError as error:
                    wrong.append(str(error))
            self.save()
        return wrong

    def run(self, command: str) -> dict[str, Any]:
        """Run a script, show what it prints, and return the figures of its last line.

        Raises:
            FootageError: it fails, or prints none.
        """
        last = ""
        words = [sys.executable, *shlex.split(command)]
        with subprocess.Popen(words, cwd=self.root, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            for line in process.stdout:
                print(line, end="", flush=True)
                last = line
        if process.returncode:
            raise FootageError(f"{command} ended with status {process.returncode}", "its output says why")
        try:
            found: dict[str, Any] = dict(json.loads(last))
        except (ValueError, TypeError) as error:
            raise FootageError(f"{command} ended with {last.strip()!r}", "its last line has to be figures") from error
        return found

    def enter(self, path: Path) -> None:
        """Note what was measured elsewhere.

        Raises:
            FootageError: the file says too little, or git does not know the commit.
        """
        try:
            told = json.loads(path.read_text(encoding="utf-8"))
            machine, commit, date, figures = (told[key] for key in ("machine", "commit", "date", "figures"))
            datetime.date.fromisoformat(date)
        except (OSError, ValueError, KeyError, TypeError) as error:
            problem = f"{path} cannot be entered ({error})"
            raise FootageError(problem, "give machine, commit, date and figures") from error
        short = self.git("rev-parse", "--short", f"{commit}^{{commit}}").decode().strip()
        for name, values in figures.items():
            files = self.digests(self.rows[name], short) if name in self.rows else {}
            self.note(name, values, machine, short, date, files)
        self.save()

    def table(self) -> str:
        """Return the table of living rows, and what they were measured on."""
        living, lines = self.living(), ["| what | figure | goal | on | commit | date | row |", "|" + "---|" * 7]
        machines = list(dict.fromkeys(note.machine for note in living.values()))
        for name, note in living.items():
            row, letter = self.rows[name], chr(ord("A") + machines.index(note.machine))
            cells = row.what, row.written(note.values), row.wanted(note.values), letter, f"`{note.commit}`", note.date
            lines.append("| " + " | ".join((*cells, f"`{name}`")) + " |")
        named = [f"- **{chr(ord('A') + place)}**: {name}" for place, name in enumerate(machines)]
        return "\n".join([*lines, "", *named, ""]) if living else ""

    def shown(self, text: str) -> str:
        """Return the text of a page with the table and the figures that are true now."""
        living = self.living()

        def figure(found: re.Match[str]) -> str:
            name = found[2]
            if name not in self.rows:
                raise FootageError(f"a page shows {name}, which is no row", f"the rows are {', '.join(self.rows)}")
            said = found[3].format(self.rows[name].written(living[name].values, False)) if name in living else ""
            return f"{found[1]}{said}{found[5]}"

        return FIGURE.sub(figure, TABLE.sub(lambda found: f"{found[1]}{self.table()}\n{found[2]}", text))

    def write_pages(self) -> list[str]:
        """Write the pages anew, and return which of them changed."""
        changed = []
        for page in PAGES:
            path = self.root / page
            if path.exists() and (text := path.read_text(encoding="utf-8")) != (made := self.shown(text)):
                write_text(path, made)
                changed.append(page)
        return changed

    def status(self) -> Table:
        """Return all rows, and how things stand with them."""
        table = Table("row", "figure", "goal", box=None)
        table.add_column("state", overflow="fold")
        for name, row in self.rows.items():
            how = ("on an idle machine" if row.idle else "") if row.command else "to be entered"
            if name not in self.notes:
                table.add_row(name, "–", row.goal, "never measured" + (f" ({how})" if how else ""))
                continue
            values, changed = self.notes[name].values, self.changed(name)
            again = f"to be measured again{f' ({how})' if how else ''}: {', '.join(changed)} changed"
            table.add_row(name, row.written(values), row.wanted(values).replace("*", ""), again if changed else "lives")
        return table


def main(words: Sequence[str] | None = None, bench: Bench | None = None) -> int:
    """Do what is asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(dest="verb", required=True)
    measure = verbs.add_parser("measure", help="run the scripts of rows")
    measure.add_argument("rows", nargs="*", help="names; left out, all")
    measure.add_argument("--busy", action="store_true", help="rows that want an idle machine too, whatever it does")
    verbs.add_parser("page", help="write the pages from what is noted")
    verbs.add_parser("status", help="which rows live")
    verbs.add_parser("enter", help="note what was measured elsewhere").add_argument("file", type=Path)
    options, console, wrong = parser.parse_args(words), Console(), list[str]()
    try:
        bench = bench or Bench()
        if options.verb == "measure":
            wrong = bench.measure(options.rows, options.busy, console)
        elif options.verb == "enter":
            bench.enter(options.file)
        elif options.verb == "page":
            console.print(", ".join(bench.write_pages()) or "the pages say what is noted")
        else:
            console.print(bench.status())
    except FootageError as error:
        wrong = [str(error)]
    for problem in wrong:
        print(problem, file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
