"""The examples run, and the commands of README and docs exist as they are written; their links lead somewhere."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from footage.commands import main as cli
from footage.data.synthetic import draw_factors, render_shapes
from footage.media.encode import chunked, write_clip

ROOT = Path(__file__).parent.parent


def example(name: str, *words: str) -> str:
    command = [sys.executable, str(ROOT / "examples" / name), *words]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_train_and_generate(tmp_path: Path) -> None:
    assert "circle-1.mp4 (16, 32, 32, 3)" in example("train_and_generate.py", "0.01", str(tmp_path))
    assert len(list(tmp_path.glob("*.mp4"))) == 12


def test_your_own_clips(tmp_path: Path) -> None:
    for number in range(4):
        clip = render_shapes(draw_factors(0, number), start=0, frames=24, height=48, width=64)
        write_clip(tmp_path / "videos" / f"{number % 2}" / f"{number}.mp4", chunked(clip), fps=25, metadata={})
    example("your_own_clips.py", str(tmp_path / "videos"), str(tmp_path / "work"), "0.01")
    assert len(list((tmp_path / "work" / "clips").glob("*.mp4"))) == 8


def test_your_own_loop() -> None:
    assert "(2, 16, 32, 32, 3)" in example("your_own_loop.py", "2")


PAGES = [*ROOT.glob("*.md"), *(page for page in (ROOT / "docs").rglob("*.md") if page.name != "LOG.md")]


def written_commands() -> list[str]:
    """Return the command lines of all pages: in blocks of sh, and in indented ones; none with a gap to fill in."""
    lines = list[str]()
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        blocks = re.findall(r"```(?:sh|bash)\n(.*?)```", text, re.S) + re.findall(r"^(?: {4}.*\n)+", text, re.M)
        lines += [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    commands = (re.split(r" {2,}#|&&|\||>", line.strip())[0].strip() for line in lines)
    return list(dict.fromkeys(c for c in commands if c.startswith("footage ") and not re.search("[…*]", c)))


def test_pages_have_commands() -> None:
    assert len(written_commands()) >= 100


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for target, _, heading in re.findall(r"\]\((?!https?:)([^)#\s]*)(#([^)\s]*))?\)", text):
        aim = page.parent / target if target else page
        assert aim.exists(), f"{page.name} links to {target}"
        if heading:
            headings = re.findall(r"^#+ (.*)$", aim.read_text(encoding="utf-8"), re.M)
            anchors = {re.sub(r"[^\w -]", "", line.lower()).replace(" ", "-") for line in headings}
            assert heading in anchors, f"{page.name} links to {target}#{heading}"
    for picture in re.findall(r'<img src="([^"]+)"', text):
        assert (page.parent / picture).exists()


@pytest.mark.parametrize("command", written_commands())
def test_written_commands_are_understood(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[str] = []

    def stand_in(function: object, arguments: object, chosen: bool = True) -> object:
        made = original(function, arguments, chosen)

        def noted(**values: object) -> None:
            called.append(made.__name__)

        noted.__signature__, noted.__doc__ = made.__signature__, made.__doc__  # type: ignore[attr-defined]
        noted.__annotations__ = made.__annotations__
        return noted

    original = cli.command_line
    monkeypatch.setattr(cli, "command_line", stand_in)
    words = shlex.split(command)[1:]
    cli.main(words)
    home = cli.GROUPS[words[0]][words[1]] if words[0] in cli.GROUPS else cli.VERBS[words[0]]
    assert called == [cli.verb(home).__name__]
