"""Every error and warning that footage can print, read off its source, and the page of the site that lists them.

An error is a call of one of the classes of `footage.errors` or of theirs. Its text is what the call is given: constants
as they stand, what is put in as `{name}`; a variable is followed to its assignments, a parameter to the calls of its
function. A warning is what one of `WARNED` is given, what is added to a list of warnings, what is printed to stderr.
"""

from __future__ import annotations

import ast
import html
import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

PACKAGE = Path(__file__).parent.parent / "src" / "footage"
MOST = 16
"""Alternatives of one text that are followed."""
DEEPEST = 6
"""Steps from a variable to another that are followed."""
CALLED = {
    "str",
    "repr",
    "len",
    "int",
    "type",
    "sorted",
    "list",
    "set",
    "map",
    "min",
    "max",
    "float",
    "round",
    "Path",
    "shlex",
}
"""Names that say nothing of what is put into a text."""
WARNED = {"tell", "_tell", "warn"}
"""Functions that are given a warning, as their only argument or their first one."""
ROOMS: Mapping[str, str] = {
    "commands": "Commands and their arguments",
    "config": "Configurations, presets, knobs",
    "data": "Data sets, and what is made into them",
    "errors": "Names",
    "evaluation": "Evaluation and reports",
    "files": "Files, disks, locked files",
    "generation": "Generating, predicting, cutting",
    "library": "Libraries of clips",
    "machines": "Devices, other machines, addresses",
    "media": "Videos, pictures, sound, volumes",
    "metrics": "Figures",
    "models": "Models and what is asked of them",
    "pages": "Pages",
    "studio": "The studio",
    "training": "Training",
    "trust": "Signatures, marks, locks",
}
"""Headings, by the room of the code that a message comes from."""


@dataclass(frozen=True, order=True)
class Message:
    """What footage may print; `{name}` stands for what is put in."""

    problem: str
    remedy: str
    """Empty where the problem says it, or for a warning."""
    kind: str
    """The class of the error, or `warning`."""
    raised: str
    """File in the package, and line, of the call of the class."""
    asked: str
    """The same of the call of the function that stands there, where it was given the text; else as `raised`."""


Given = tuple[ast.expr, tuple[int, ...]]
"""A value, and the way in it where it is a tuple."""


def assigned(node: ast.AST) -> list[tuple[ast.expr, ast.expr]]:
    """Return what a statement, or a loop over what is written out, gives which targets."""
    match node:
        case ast.Assign():
            return [(target, node.value) for target in node.targets]
        case ast.AnnAssign(value=ast.expr()) | ast.NamedExpr():
            return [(node.target, node.value)]
        case ast.For() | ast.comprehension() if isinstance(node.iter, (ast.Tuple, ast.List)):
            return [(node.target, value) for value in node.iter.elts]
        case ast.For() | ast.comprehension() if isinstance(node.iter, ast.Dict):
            return [(node.target, key) for key in node.iter.keys if key]
    return []


def parts(target: ast.expr, value: ast.expr) -> Iterator[tuple[str, ast.expr, tuple[int, ...]]]:
    """Yield the names that an assignment gives something: name, value, and the way in it where it is a tuple."""
    if isinstance(target, ast.Name):
        yield target.id, value, ()
    for number, inner in enumerate(target.elts if isinstance(target, ast.Tuple) else ()):
        yield from ((name, found, (number, *way)) for name, found, way in parts(inner, value))


class Source:
    """A module of the package."""

    def __init__(self, path: Path) -> None:
        self.place = path.relative_to(PACKAGE).as_posix()
        self.tree = ast.parse(path.read_text(encoding="utf-8"))
        self.above: dict[ast.AST, ast.AST] = {}
        self.imported: dict[str, tuple[str, str]] = {}
        self.functions: dict[str, list[ast.FunctionDef]] = {}
        self.calls: dict[str, list[ast.Call]] = {}
        self.added: list[tuple[ast.expr, ast.expr]] = []
        """What lists are extended by: the list, the entries."""
        self.classes: list[ast.ClassDef] = []
        self.given: dict[ast.AST, dict[str, list[Given]]] = {}
        """By the functions, and the module: what each name in it is given, and the way to it in a tuple."""
        rest: list[ast.AST] = [self.tree]
        while rest:
            node = rest.pop()
            for child in ast.iter_child_nodes(node):
                if not isinstance(child, ast.expr_context):
                    self.above[child] = node
                    rest.append(child)
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("footage"):
                home = (node.module or "").removeprefix("footage").strip(".").replace(".", "/")
                self.imported |= {name.asname or name.name: (home, name.name) for name in node.names}
            elif isinstance(node, ast.FunctionDef):
                self.functions.setdefault(node.name, []).append(node)
            elif isinstance(node, ast.ClassDef):
                self.classes.append(node)
            elif isinstance(node, ast.Call):
                self.calls.setdefault(getattr(node.func, "id", getattr(node.func, "attr", "")), []).append(node)
                if isinstance(node.func, ast.Attribute) and node.func.attr == "extend":
                    self.added.append((node.func.value, node.args[0]))
            elif isinstance(node, ast.AugAssign):
                self.added.append((node.target, node.value))
            for target, value in assigned(node):
                for name, *found in parts(target, value):
                    self.given.setdefault(next(self.around(node)), {}).setdefault(name, []).append((*found,))

    def around(self, node: ast.AST) -> Iterator[ast.AST]:
        """Yield the functions, and at last the module, that a node stands in, from the inside."""
        while node in self.above:
            node = self.above[node]
            if isinstance(node, (ast.FunctionDef, ast.Lambda, ast.Module)):
                yield node


class Reader:
    """Reads the texts of all calls of errors in the package."""

    def __init__(self) -> None:
        sources = [Source(path) for path in sorted(PACKAGE.rglob("*.py"))]
        self.sources = {source.place.removesuffix(".py").removesuffix("/__init__"): source for source in sources}
        self.classes: dict[str, tuple[Source, ast.ClassDef]] = {}
        for source in [self.sources["errors"], *sources]:
            for node in reversed(source.classes):  # in their order
                bases = {base.id for base in node.bases if isinstance(base, ast.Name)}
                if node.name == "FootageError" or bases & set(self.classes):
                    self.classes[node.name] = source, node

    def messages(self) -> list[Message]:
        messages: set[Message] = set()
        for source in self.sources.values():
            for name, call in ((name, call) for name, calls in source.calls.items() for call in calls):
                if name in self.classes and isinstance(call.func, ast.Name):
                    messages |= set(self.of_call(source, call, name))
                elif name == "bounded":
                    messages |= set(self.of_bounds(source, call))
            messages |= set(self.warnings(source))
        return sorted(messages)

    def warnings(self, source: Source) -> Iterator[Message]:
        """Yield what a module warns of."""
        called = [call for name in WARNED for call in source.calls.get(name, ())]
        called += [call for call in source.calls.get("append", ()) if "warnings" in ast.unparse(call.func)]
        printed = ((call, ast.unparse(call)) for call in source.calls.get("print", ()))
        called += [call for call, text in printed if "file=sys.stderr" in text and "end=" not in text]  # no question
        warned = [(call.lineno, call.args[0]) for call in called if call.args]
        for to, entries in source.added:
            if "warnings" in ast.unparse(to):
                single = entries.elts if isinstance(entries, ast.List) else [getattr(entries, "elt", entries)]
                warned += [(entries.lineno, entry) for entry in single]
        for line, node in warned:
            where = f"{source.place}:{line}"
            for text in self.texts(node, source, {}):
                if " " in text:
                    yield Message(text, "", "warning", where, where)

    def of_call(self, source: Source, call: ast.Call, name: str) -> Iterator[Message]:
        """Yield the messages of a call of an error's class, one for each alternative and each call of its function."""
        raised = f"{source.place}:{call.lineno}"
        arguments = [arg.value if isinstance(arg, ast.Starred) else arg for arg in call.args]
        bare = {arg.id for arg in arguments if isinstance(arg, ast.Name)}
        function = next(source.around(call))
        askers: list[tuple[dict[str, list[str]], str]] = [({}, raised)]
        if isinstance(function, ast.FunctionDef) and bare & {arg.arg for arg in function.args.args}:
            askers = list(self.askers(source, function)) or askers
        for bound, asked in askers:
            for problem, remedy in self.said(source, call, name, bound):
                yield Message(problem, remedy, name, raised, asked)

    def said(self, source: Source, call: ast.Call, name: str, bound: Mapping[str, list[str]]) -> list[tuple[str, str]]:
        """Return problems and remedies that a call gives a class, by way of its `__init__`."""
        if len(call.args) == 1 and isinstance(call.args[0], ast.Starred):
            pairs = [self.texts(call.args[0].value, source, bound, way=(number,)) for number in (0, 1)]
        else:
            pairs = [self.texts(argument, source, bound) for argument in call.args]
        home, own = self.classes[name]
        initialisers = [node for node in own.body if isinstance(node, ast.FunctionDef) and node.name == "__init__"]
        if initialisers and name != "FootageError":
            inside = next(
                n
                for n in ast.walk(initialisers[0])
                if isinstance(n, ast.Call) and ast.unparse(n.func) == "super().__init__"
            )
            names = [arg.arg for arg in initialisers[0].args.args[1:]]
            pairs = [self.texts(argument, home, dict(zip(names, pairs, strict=False))) for argument in inside.args]
        pairs = [*pairs, [""], [""]][:2]
        if len(pairs[0]) == len(pairs[1]):  # alternatives of both belong together
            return list(zip(*pairs, strict=True))
        return list(itertools.islice(itertools.product(*pairs), MOST))

    def askers(self, source: Source, function: ast.FunctionDef) -> Iterator[tuple[dict[str, list[str]], str]]:
        """Yield what a function's parameters are at each of its calls, and where that is."""
        names = [arg.arg for arg in (*function.args.args, *function.args.kwonlyargs)]
        names = names[1:] if names[:1] in (["self"], ["cls"]) else names
        for other in self.sources.values():
            if other is not source and function.name not in other.imported:
                continue
            for node in other.calls.get(function.name, []):
                values = dict(zip(names, node.args, strict=False)) | {k.arg: k.value for k in node.keywords if k.arg}
                yield {n: self.texts(v, other, {}) for n, v in values.items()}, f"{other.place}:{node.lineno}"

    def of_bounds(self, source: Source, call: ast.Call) -> Iterator[Message]:
        """Yield what `check_bounds` says of a field, whose bounds the call of `bounded` holds."""
        from footage.config.strict import bounded

        field = source.above[call]
        if not isinstance(field, ast.AnnAssign):
            return
        where = f"{source.place}:{call.lineno}"
        limits = [self.constant(argument, source) for argument in call.args]
        remedy = [text for key in call.keywords if key.arg == "remedy" for text in self.texts(key.value, source, {})]
        unit = [text for key in call.keywords if key.arg == "unit" for text in self.texts(key.value, source, {})]
        bounds_of_field = bounded(
            *limits, **({"remedy": remedy[0]} if remedy else {}), **({"unit": unit[0]} if unit else {})
        )
        advice = bounds_of_field.metadata["bounds"][2]
        yield Message(f"{ast.unparse(field.target)} is {{value}}", advice, "ConfigError", where, where)

    def constant(self, node: ast.expr, source: Source) -> object:
        """Return the value of an expression of constants."""
        names = {
            n.id: self.constant(*found)
            for n in ast.walk(node)
            if isinstance(n, ast.Name) and (found := self.home(n.id, source))
        }
        return eval(compile(ast.Expression(node), source.place, "eval"), {"__builtins__": {}}, names)

    def home(self, name: str, source: Source) -> tuple[ast.expr, Source] | None:
        """Return what a module gives a name, and which module it is."""
        for value, way in source.given.get(source.tree, {}).get(name, []):
            for number in way:
                value = value.elts[number] if isinstance(value, ast.Tuple) else value
            return value, source
        home, original = source.imported.get(name, ("", ""))
        return self.home(original, self.sources[home]) if home in self.sources and home else None

    def texts(
        self, node: ast.expr, source: Source, bound: Mapping[str, list[str]], way: tuple[int, ...] = (), depth: int = 0
    ) -> list[str]:
        """Return the texts that an expression may be; `way` leads to one in a tuple."""
        if depth > DEEPEST:
            return [placeholder(node)]
        follow = lambda inner, way=way: self.texts(inner, source, bound, way, depth + 1)  # noqa: E731
        found: list[str] = []
        match node:
            case ast.Tuple() if way:
                found = follow(node.elts[way[0]], way[1:])
            case ast.Constant(value=str() | int() | float() as value) if not isinstance(value, bool):
                found = [value if isinstance(value, str) else f"{value:,}"]
            case ast.JoinedStr():
                pieces = [self.piece(value, source, bound, depth) for value in node.values]
                found = ["".join(words) for words in itertools.islice(itertools.product(*pieces), MOST)]
            case ast.BinOp(op=ast.Add()):
                found = [a + b for a, b in itertools.product(follow(node.left), follow(node.right))]
            case ast.IfExp() | ast.BoolOp():
                options = node.values if isinstance(node, ast.BoolOp) else [node.body, node.orelse]
                found = [text for value in options for text in follow(value)]
            case ast.Name():
                found = self.of_name(node, source, bound, way, depth)
            case ast.Attribute():
                found = self.of_attribute(node, source, bound, depth)
            case ast.Call(func=ast.Name(id="counted"), args=[number, *names]):
                several = follow(names[1]) if len(names) > 1 else [f"{name}s" for name in follow(names[0])]
                found = [f"{placeholder(number)} {name}" for name in several]
            case ast.Call():
                found = self.of_function(node, source, bound, way, depth)
            case ast.Subscript(value=ast.Name(id=name)) if (home := self.home(name, source)) and isinstance(
                home[0], ast.Dict
            ):
                found = [text for value in home[0].values for text in self.texts(value, home[1], bound, (), depth + 1)]
        return list(dict.fromkeys(found))[:MOST] or [placeholder(node)]

    def piece(self, node: ast.expr, source: Source, bound: Mapping[str, list[str]], depth: int) -> list[str]:
        """Return what a part of an f-string may be: constants as they are, the rest as its name."""
        if not isinstance(node, ast.FormattedValue):
            return self.texts(node, source, bound, (), depth + 1)
        value = node.value
        if isinstance(value, ast.Name) and value.id in bound:
            given = bound[value.id]
            return [placeholder(value)] if len(given) > 1 and any("{" in text for text in given) else given
        if isinstance(value, ast.Call) and ast.unparse(value.func) == "counted":
            return self.texts(value, source, bound, (), depth + 1)
        plain = isinstance(value, (ast.IfExp, ast.JoinedStr, ast.Name)) and node.format_spec is None
        texts = self.texts(value, source, bound, (), depth + 2) if plain else ["{"]
        known = not any("{" in text for text in texts) or (len(texts) == 1 and " " in texts[0])
        return texts if len(texts) <= 4 and known else [placeholder(value)]

    def of_name(
        self, node: ast.Name, source: Source, bound: Mapping[str, list[str]], way: tuple[int, ...], depth: int
    ) -> list[str]:
        if node.id in bound:
            return bound[node.id]
        for function in source.around(node):
            arguments = function.args if isinstance(function, (ast.FunctionDef, ast.Lambda)) else None
            if arguments and node.id in {given.arg for given in (*arguments.args, *arguments.kwonlyargs)}:
                return []
            given = source.given.get(function, {}).get(node.id, []) if function is not source.tree else []
            found = [
                text for value, inner in given for text in self.texts(value, source, bound, inner + way, depth + 1)
            ]
            if found:
                return found
        home = self.home(node.id, source)
        return self.texts(home[0], home[1], {}, way, depth + 1) if home and not isinstance(home[0], ast.Dict) else []

    def of_attribute(
        self, node: ast.Attribute, source: Source, bound: Mapping[str, list[str]], depth: int
    ) -> list[str]:
        """Return what a property, or a constant of another module, may be."""
        if isinstance(node.value, ast.Name):
            home = "/".join(source.imported.get(node.value.id, ())).strip("/")
            if home in self.sources and (constant := self.home(node.attr, self.sources[home])):
                return self.texts(*constant, {}, (), depth + 1)
            if node.value.id == "self":
                returned = [
                    r
                    for f in source.functions.get(node.attr, [])
                    for r in ast.walk(f)
                    if isinstance(r, ast.Return) and r.value
                ]
                return [text for r in returned for text in self.texts(r.value, source, bound, (), depth + 1)]  # type: ignore[arg-type]
        return []

    def of_function(
        self, node: ast.Call, source: Source, bound: Mapping[str, list[str]], way: tuple[int, ...], depth: int
    ) -> list[str]:
        """Return what a function of the package may return; of a table's `get`, its entries."""
        if isinstance(node.func, ast.Attribute) and node.func.attr == "get" and isinstance(node.func.value, ast.Name):
            table = self.home(node.func.value.id, source)
            entries = table[0].values if table and isinstance(table[0], ast.Dict) else []
            return [text for value in entries for text in self.texts(value, table[1], {}, (), depth + 1) if table]
        name = getattr(node.func, "id", "")
        if name == "nearest":
            return ['did you mean "{name}"? or: known are {names}']
        home = self.sources.get(source.imported.get(name, ("",))[0], source)
        functions = home.functions.get(name, [])
        if len(functions) != 1:
            return []
        returned = [inner.value for inner in ast.walk(functions[0]) if isinstance(inner, ast.Return) and inner.value]
        texts = [text for value in returned for text in self.texts(value, home, {}, way, depth + 1)]
        return texts if len(texts) <= 4 else []


def placeholder(node: ast.AST) -> str:
    """Return `{name}` for what is put into a text."""
    if isinstance(node, ast.Attribute):
        return "{" + ast.unparse(node).removeprefix("self.").lstrip("_") + "}"
    names = [inner.id for inner in ast.walk(node) if isinstance(inner, ast.Name) and inner.id not in CALLED]
    if isinstance(node, ast.Name) or not names:
        return "{" + (names[0] if names else "…") + "}"
    deeper = [
        inner for inner in ast.walk(node) if isinstance(inner, ast.Attribute) and not isinstance(inner.value, ast.Call)
    ]
    chosen = ast.unparse(deeper[0]) if deeper and isinstance(deeper[0].value, ast.Name) else names[0]
    return "{" + re.sub(r"^(self|cls)\.|\.(join|items|stat|values)$", "", chosen).lstrip("_") + "}"


def page(messages: Sequence[Message]) -> str:
    """Return the page of messages, room by room."""

    def cell(text: str) -> str:
        return re.sub(r"\{([^{}\s]*)\}", r"<var>\1</var>", html.escape(text, quote=False))

    rooms: dict[str, dict[tuple[str, str], list[Message]]] = {name: {} for name in ROOMS}
    for message in messages:
        room = message.asked.partition("/")[0].removesuffix(".py").partition(".py:")[0]
        assert room in rooms, f"give {room} a heading: ROOMS in .ci/messages.py"
        rooms[room].setdefault((message.problem, message.remedy), []).append(message)
    count = sum(map(len, rooms.values()))
    lines = [
        "# Every message",
        "",
        f"All errors of this version and what it warns of, {count:,} together, read off its code: what is wrong, and",
        "what to do. Words in *italics* stand for names and numbers. What is commonest, with more words: "
        "[when training goes wrong](../troubleshooting.md).",
        "",
        '<p class="messages-find"><label>Find a message '
        '<input type="search" id="messages-find" autocomplete="off"></label>',
        '<output id="messages-found" for="messages-find" aria-live="polite"></output></p>',
        "",
    ]
    for room, told in rooms.items():
        if told:
            lines += [f"## {ROOMS[room]}", "", '<table class="messages"><thead><tr><th scope="col">message</th>']
            lines += ['<th scope="col">what to do</th><th scope="col">where</th></tr></thead><tbody>']
            for (problem, remedy), group in told.items():
                places = ", ".join(dict.fromkeys(f"{message.asked}" for message in group[:3]))
                said = ("<em>warning:</em> " if group[0].kind == "warning" else "") + cell(problem)
                lines.append(f"<tr><td>{said}</td><td>{cell(remedy)}</td><td><code>{places}</code></td></tr>")
            lines += ["</tbody></table>", ""]
    return "\n".join(lines)
