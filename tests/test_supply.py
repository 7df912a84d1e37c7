"""What is installed is what was looked at: the lock files name every dependency of the README's commands, by hash."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
OTHERWISE = {"torch", "footage"}
"""Not by hash: builds of torch come from different places; this package is here."""


def locked_names(path: Path) -> dict[str, list[str]]:
    """Return the hashes of each package of a lock file."""
    found: dict[str, list[str]] = {}
    name = ""
    for line in path.read_text().splitlines():
        if match := re.match(r"([a-z0-9][a-z0-9._-]*)==\S+", line):
            name = match[1].replace("_", "-").replace(".", "-")
            found.setdefault(name, [])
        found[name] += re.findall(r"--hash=sha256:([0-9a-f]{64})", line)
    return found


def wanted(project: dict[str, object], extras: tuple[str, ...]) -> set[str]:
    lists = project["optional-dependencies"]
    assert isinstance(lists, dict)
    names, waiting = set[str](), [*project["dependencies"], *(need for extra in extras for need in lists[extra])]  # type: ignore[misc]
    while waiting:
        need = waiting.pop()
        if own := re.match(r"footage\[(.+)\]", need):
            waiting += [each for extra in own[1].split(",") for each in lists[extra]]
        else:
            names.add(re.match(r"[A-Za-z0-9._-]+", need)[0].lower().replace("_", "-").replace(".", "-"))  # type: ignore[index]
    return names - OTHERWISE


@pytest.mark.parametrize(
    ("file", "extras"), [("requirements.lock", ("studio",)), ("requirements-dev.lock", ("studio", "dev"))]
)
def test_every_dependency_is_locked_by_its_hash(file: str, extras: tuple[str, ...]) -> None:
    found = locked_names(ROOT / file)
    assert all(found.values()) and "hatchling" in found
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    missing = wanted(project, extras) - set(found)
    assert not missing, f"make lock, for {missing}"
    assert "torch" not in found and not [name for name in found if name.startswith("nvidia-")]
    assert "://" not in (ROOT / file).read_text()
