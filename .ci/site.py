"""What the site of the documentation has beside docs/: hooks of MkDocs, which mkdocs.yml names.

Pages beside docs/ are taken in, with their links made to fit; the references are made out of the code; and what a page
would load from elsewhere ends the build.
"""

from __future__ import annotations

import importlib.util
import inspect
import json
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

ROOT = Path(__file__).parent.parent
TAKEN_IN = {
    "README.md": "index.md",
    "README.zh-CN.md": "zh/index.md",
    "CONTRIBUTING.md": "CONTRIBUTING.md",
    "SECURITY.md": "SECURITY.md",
    "CHANGELOG.md": "CHANGELOG.md",
    "benchmarks/GPU_DAY.md": "benchmarks/GPU_DAY.md",
}
"""Pages that do not lie in docs/: where they lie -> where they stand in the site."""
LOADED = re.compile(
    r"""<(?:script|img|iframe|video|source|audio)\b[^>]*\ssrc=["']?(?:https?:)?//[^>]*>"""
    r"""|<link\b(?![^>]*rel=["']?canonical)[^>]*\shref=["']?(?:https?:)?//[^>]*>"""
)
"""Tags by which a page loads something from another address."""


def beside(name: str) -> ModuleType:
    """Return a module that lies beside this one, which MkDocs takes from its file alone."""
    spec = importlib.util.spec_from_file_location(f"footage_site_{name}", Path(__file__).with_name(f"{name}.py"))
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look for it there
    spec.loader.exec_module(module)
    return module


def on_config(config: Any) -> Any:
    """Name headings as the places where the pages are read otherwise do, so that links to them hold in both."""
    from pymdownx.slugs import slugify

    config.mdx_configs["toc"]["slugify"] = slugify(case="lower")
    return config


def on_files(files: Any, config: Any) -> Any:
    """Add the pages that are not in docs/."""
    from mkdocs.structure.files import File

    pages = {place: (ROOT / home).read_text(encoding="utf-8") for home, place in TAKEN_IN.items()}
    pages |= {"reference/commands.md": commands_page(), "reference/python.md": python_page()}
    messages = beside("messages")
    pages |= {"reference/messages.md": messages.page(messages.Reader().messages())}
    notebooks = beside("notebooks")
    for path in sorted(notebooks.FOLDER.glob("*.ipynb")):
        text, pictures = notebooks.page(json.loads(path.read_text(encoding="utf-8")), path.stem)
        pages[f"notebooks/{path.stem}.md"] = text
        for name, picture in pictures.items():
            files.append(File.generated(config, f"notebooks/{name}", content=picture))
    for place, text in pages.items():
        files.append(File.generated(config, place, content=text))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Make a page's links lead to where the pages stand in the site, and its lists such as MkDocs reads."""
    place = page.file.src_uri
    homes = {taken: home for home, taken in TAKEN_IN.items()}
    text = fit_lists(fit_links(markdown, homes.get(place, f"docs/{place}"), place))
    return text + (f"\n\n{beside('plots').script()}" if "data-plot=" in text else "")


def on_page_context(context: Any, page: Any, config: Any, nav: Any) -> None:
    """Set the language of the words around a page, and what the choice of a language leads to: the same page."""
    urls = {each.file.src_uri: each.url for each in nav.pages}
    place = page.file.src_uri
    english = place.removeprefix("zh/")
    config.theme["language"] = "en" if place == english else "zh"
    config.extra["alternate"] = [
        {"name": "English", "lang": "en", "link": urls[english]},
        {"name": "简体中文", "lang": "zh", "link": urls.get(f"zh/{english}", urls["zh/index.md"])},
    ]


def fit_lists(text: str) -> str:
    """Return a text in which what belongs to an entry of a list stands four columns in, as MkDocs wants it."""
    parts = re.split(r"(^```.*?^```)", text, flags=re.S | re.M)
    return "".join(
        part if part.startswith("```") else re.sub(r"^ {2,3}(?=\S)", "    ", part, flags=re.M) for part in parts
    )


def fit_links(text: str, home: str, place: str) -> str:
    """Return a page's text, its relative links, which hold at `home` in the project, changed to hold at `place`."""
    here = (ROOT / home).parent
    up = "../" * place.count("/")

    def fitted(found: re.Match[str]) -> str:
        before, target, after = found.groups()
        path = (here / target).resolve()
        if not path.is_relative_to(ROOT):
            return found[0]
        aim = path.relative_to(ROOT).as_posix()
        aim = re.sub(r"^examples/(notebooks/\w+)\.ipynb$", r"\1.md", aim)
        return f"{before}{up}{TAKEN_IN.get(aim, aim.removeprefix('docs/'))}{after}"

    text = re.sub(r"(\]\()(?!\w+:)([^)#\s]+)(#[^)\s]*\)|\))", fitted, text)
    return re.sub(r'(<img src=")(?!\w+:)([^"]+)(")', fitted, text)


def on_post_build(config: Any) -> None:
    """End the build where a page would load something from elsewhere."""
    from mkdocs.exceptions import PluginError

    for page in sorted(Path(config.site_dir).rglob("*.html")):
        if found := LOADED.search(page.read_text(encoding="utf-8")):
            raise PluginError(f"{page.name} would load something from elsewhere: {found[0]}")


def commands_page() -> str:
    """Return the reference of every command and flag, as they are parsed."""
    from footage.commands import main, system

    def clean(text: str) -> str:
        """Return a text in which Markdown finds nothing to set."""
        return re.sub(r"([\\`*_{}\[\]<>#|~])", r"\\\1", " ".join(text.split())).replace("\\<", "&lt;")

    lines = [
        "# Commands",
        "",
        "`footage COMMAND --help` says the same. `--json` behind any command prints its result as one JSON document.",
        "",
    ]
    for name, about in sorted(system.completions("bash")[1].items()):
        group, _, inner = name.partition(" ")
        function = main.verb(main.GROUPS[group][inner] if inner else main.VERBS[name])
        given = [
            argument.name.upper() + (" …" if argument.kind is argument.VAR_POSITIONAL else "")
            for argument in inspect.signature(function).parameters.values()
            if argument.name in main.POSITIONAL and argument.kind is not argument.KEYWORD_ONLY
        ]
        told = re.split(r"\n\s*(?:Args|Returns|Raises|Yields):\n", inspect.getdoc(function) or "")[0]
        lines += [f"## {name}", "", f"    {' '.join(['footage', name, *given])}", ""]
        lines += [clean(paragraph) + "\n" for paragraph in told.split("\n\n")]
        for option in about["options"]:
            if "-h" not in option["flags"]:
                flags = ", ".join(f"`{flag}`" for flag in option["flags"])
                told = option["description"].removeprefix("{None}|").removesuffix("(default: None)")
                lines.append(f"- {flags}: {clean(told)}")
        lines.append("")
    lines += ["## Exit statuses", "", "| status | |", "|---|---|"]
    lines += [f"| {status} | {clean(meaning)} |" for status, meaning in system.EXIT.items()]
    lines += ["", "## Variables of the environment", "", "| name | |", "|---|---|"]
    lines += [f"| `{name}` | {clean(meaning)} |" for name, meaning in system.ENVIRONMENT.items()]
    return "\n".join(lines) + "\n"


def python_page() -> str:
    """Return the reference of what `import footage` gives, out of the docstrings where it is defined."""
    import footage

    homes = {name: module for module, names in footage._HOMES.items() for name in names}
    kinds: dict[str, list[str]] = {"Functions": [], "Classes": [], "Values": []}
    for name in footage.__all__:
        thing = getattr(footage, name)
        kind = "Classes" if inspect.isclass(thing) else "Functions" if inspect.isfunction(thing) else "Values"
        kinds[kind].append(name)
    lines = ["# Python", "", "What `import footage` gives. Names that are not here may change with any version.", ""]
    for kind, names in kinds.items():
        lines += [f"## {kind}", ""]
        for name in names:
            lines += [f"::: footage.{homes[name]}.{name}", ""]
    return "\n".join(lines)
