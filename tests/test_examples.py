"""The examples run, and the README's commands exist as they are written."""

from __future__ import annotations

import re
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


def readme_commands() -> list[str]:
    texts = [(ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "README.zh-CN.md")]
    blocks = [block for text in texts for block in re.findall(r"```(?:sh|bash)\n(.*?)```", text, re.S)]
    lines = [line.split("  #")[0].strip() for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    return list(dict.fromkeys(line for line in lines if line.startswith("footage ")))


def test_readme_has_commands() -> None:
    assert len(readme_commands()) >= 5


@pytest.mark.parametrize("command", readme_commands())
def test_readme_commands_are_understood(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[str] = []

    def stand_in(function: object, arguments: object, chosen: bool = True) -> object:
        made = original(function, arguments, chosen)

        def noted(**values: object) -> None:
            called.append(made.__name__)

        noted.__signature__, noted.__doc__ = made.__signature__, made.__doc__  # type: ignore[attr-defined]
        noted.__annotations__ = made.__annotations__
        return noted

    original = cli._command
    monkeypatch.setattr(cli, "_command", stand_in)
    words = command.split()[1:]
    cli.main(words)
    home = cli.GROUPS[words[0]][words[1]] if words[0] in cli.GROUPS else cli.VERBS[words[0]]
    assert called == [cli.verb(home).__name__]
