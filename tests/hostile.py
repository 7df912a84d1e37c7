"""Folders of models, runs and reports that are damaged, or made to do harm; in each there is a good one."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from footage.models.card import PRETRAINED

HUGE = 10**400
"""A whole number that no float holds."""
NAN, INFINITE = float("nan"), float("inf")
DEEP = "[" * 100_000
BROKEN = {
    "empty": b"",
    "bytes": b"\xff\xfe\x00",
    "deep": DEEP.encode(),
    "null": b"null",
    "list": b"[1]",
    "cut": b'{"a": 1',
}
"""Contents of files that hold no object, or none that can be read."""
GOOD = "good"
Edit = Callable[[dict[str, Any]], object]


def nested(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


CARDS: dict[str, Edit] = {
    **{
        f"fps {value!r:.9}": (lambda card, value=value: card.update(fps=value))
        for value in (0, -1.0, NAN, INFINITE, 1e-300, 1e300, HUGE, "25", None, True, [25.0])
    },
    **{
        f"labels {number}": (lambda card, value=value, shares=shares: card.update(labels=value, label_shares=shares))
        for number, (value, shares) in enumerate(
            [(5, []), ([1, 2], [0.5, 0.5]), ("ab", [0.5, 0.5]), ([["a"]], [1.0]), (None, None), (["a"], [0.5, 0.5])]
        )
    },
    **{
        f"shares {number}": (lambda card, value=value: card.update(labels=["a", "b"], label_shares=value))
        for number, value in enumerate([[NAN, 1.0], [INFINITE, 0.0], [-1.0, 2.0], [0.0, 0.0], ["a", "b"], {}, HUGE])
    },
    **{
        f"{key} {value!r:.5}": (lambda card, key=key, value=value: card.update({key: value}))
        for key in ("name", "dataset", "clips_seen", "config", "extra", "trained_with", "weights", "made_by", "schema")
        for value in (None, [1], HUGE, NAN, "\ud800")
    },
    **{
        f"frames {value!r:.5}": (lambda card, value=value: card["config"]["clip"].update(frames=value))
        for value in (0, -1, HUGE, NAN, 1.5, "8", None)
    },
    "seen": lambda card: card.update(clips_seen=-1),
    "net": lambda card: card["config"].update(net={"kind": "nothing"}),
    "nets": lambda card: card["config"].update(net=nested(100)),
    "width": lambda card: card["config"]["net"].update(width=HUGE),
    "method": lambda card: card["config"].update(method="\x00"),
    "more": lambda card: card.update(more=1),
    "none": dict.clear,
    "less": lambda card: card.pop("labels"),
    "deep": lambda card: card.update(dataset=nested(700)),
    "outside": lambda card: card.update(weights="../../other.safetensors"),
    "gone": lambda card: card.update(weights="weights-gone.safetensors"),
}
"""What is wrong with a card of a model whose digest fits, as far as there can be one."""
ROWS: dict[str, str] = {
    **{
        f"clips {text[:6]}": f'{{"clips": {text}, "a_loss": 1.0}}'
        for text in ("1e999", "NaN", "-Infinity", str(HUGE), '"many"', "null", "-5", "true", "1.5", "[]", "{}")
    },
    **{
        f"loss {text[:6]}": f'{{"clips": 9000, "a_loss": {text}, "motion_ratio": {text}}}'
        for text in ("1e999", "NaN", "-Infinity", str(HUGE), '"x"', "null", "true", "[]", "[" * 900 + "]" * 900)
    },
    "deep": DEEP,
    "list": "[1, 2]",
    "cut": '{"clips": 1',
    "text": "not JSON",
    "names": json.dumps({"clips": 9000, **{f"figure {number}": 1.0 for number in range(5_000)}}),
}
"""Rows of figures; each stands between two good ones, and at the end."""
CONFIGS: dict[str, str] = {
    "nothing": "{}",
    "list": "[]",
    "data": '{"config": {"preset": "p"}, "data": 5}',
    "names": '{"config": {"preset": [1]}, "data": {"name": null}}',
    "half": '{"config": {"preset": "\\ud800"}, "data": {"name": 1e999}}',
    "deep": '{"config": ' + "[" * 100_000,
    "deeper": '{"config": {"preset": ' + "[" * 900 + "]" * 900 + '}, "data": {"name": "d"}}',
}


def digest_of(card: dict[str, Any]) -> str:
    """Return what `files.json_digest` would, of values that it refuses too."""
    text = json.dumps(card, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def save_models(folder: Path) -> None:
    """Write a model that comes along, as `good`, and all damaged ones; their weights are the same file's."""
    shutil.copytree(PRETRAINED / "stream-shapes", folder / GOOD)
    card = json.loads((folder / GOOD / "model.json").read_text())
    del card["digest"]
    weights = (folder / GOOD / card["weights"]).name
    for name, edit in CARDS.items():
        place = folder / f"card {name}".replace("\x00", "")
        place.mkdir(parents=True)
        os.link(folder / GOOD / weights, place / weights)
        changed = json.loads(json.dumps(card))
        edit(changed)
        (place / "model.json").write_text(json.dumps({**changed, "digest": digest_of(changed)}))
    for name, content in BROKEN.items():
        (folder / f"file {name}").mkdir()
        (folder / f"file {name}" / "model.json").write_bytes(content)
    linked = folder / "linked"
    linked.mkdir()
    (linked / "model.json").symlink_to(folder / GOOD / "model.json")
    (folder / "pipe").mkdir()
    os.mkfifo(folder / "pipe" / "model.json")


def save_run(place: Path, rows: str, config: str = '{"config": {"preset": "p"}, "data": {"name": "d"}}') -> None:
    place.mkdir(parents=True)
    (place / "config.json").write_text(config)
    good = [json.dumps({"clips": clips, "a_loss": 1.0 + clips, "b_loss": 2.0}) for clips in (5_000, 10_000)]
    (place / "metrics.jsonl").write_text("\n".join([good[0], rows, good[1], rows]) + "\n")


def save_runs(folder: Path) -> None:
    save_run(folder / GOOD, '{"clips": 9000, "a_loss": 1e200, "b_loss": -1e200, "motion_ratio": 0.1}')
    for name, row in ROWS.items():
        save_run(folder / f"row {name}", row)
    for name, config in CONFIGS.items():
        save_run(folder / f"config {name}", "", config)
    for name, content in BROKEN.items():
        save_run(folder / f"file {name}", "")
        (folder / f"file {name}" / "config.json").write_bytes(content)
    for name in ("config.json", "metrics.jsonl"):
        save_run(folder / f"linked {name}", "")
        (folder / f"linked {name}" / name).unlink()
        (folder / f"linked {name}" / name).symlink_to(folder / GOOD / name)
        save_run(folder / f"pipe {name}", "")
        (folder / f"pipe {name}" / name).unlink()
        os.mkfifo(folder / f"pipe {name}" / name)


def save_reports(folder: Path) -> None:
    secret = folder.parent / "secret.txt"
    secret.write_text("secret")
    (folder / GOOD).mkdir(parents=True)
    (folder / GOOD / "comparison.md").write_bytes(b"# good \xff\x00")
    (folder / GOOD / "comparison.png").symlink_to(secret)
    (folder / GOOD / "report.html").write_text("<p>good")
    for name in ("audit.html", "comparison.md"):
        (folder / f"linked {name}").mkdir()
        (folder / f"linked {name}" / name).symlink_to(secret)
        (folder / f"pipe {name}").mkdir()
        os.mkfifo(folder / f"pipe {name}" / name)
    (folder / "large").mkdir()
    with open(folder / "large" / "comparison.md", "wb") as file:
        file.truncate(2**40)


def save_all(folder: Path) -> None:
    """Write all of them, in `models`, `runs` and `reports`, and names that are no Unicode beside."""
    for name, save in (("models", save_models), ("runs", save_runs), ("reports", save_reports)):
        save(folder / name)
    nameless = folder / "models" / os.fsdecode(b"no-unicode-\xff")
    shutil.copytree(folder / "models" / GOOD, nameless)
