"""How well clips are found by what is in them: by likeness, with and without a network, and by rough words.

DATA is a folder with videos/ (a few long ones), signs/WORD/ (people who sign, one clip a word) and actions/NAME/
(people who move, several clips an action). Each video is cut into five parts. Likeness: the share of the nearest
clips that are of the same video, and the share of actions' clips whose nearest clip, among actions, has the same
action, for several weights of motion. Words: the place of the first clip that shows what is asked for, among whole
videos, signs and some actions; what stands in `SHOWN` was written down by looking at the videos.

PYTHONPATH=src python benchmarks/finding.py DATA [--actions 72]      needs: pip install 'footage[words]'
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections import defaultdict
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from footage.generation.picture_features import PictureFeatures
from footage.library import seen, similarity
from footage.library.additions import ClipDetails
from footage.library.library import Library
from footage.library.query import ClipQuery
from footage.media.encode import write_clip
from footage.media.reader import Footage

PARTS, FRAMES, FPS, SIDE = 5, 40, 20.0, 224
WEIGHTS = (0.0, 0.2, 0.5, 1.0)
STREETS = ("bikes", "car-detection")
SHOWN: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("bicycles", "自行车", "people riding bikes", "骑自行车的人"), ("bikes",)),
    **dict.fromkeys(("bottles", "瓶子", "plastic bottle", "塑料瓶"), ("bottle-detection",)),
    **dict.fromkeys(("cars on a road", "马路上的汽车", "traffic", "汽车"), STREETS),
}
"""Things that were asked for, and the videos that show them."""
BEYOND = (
    "a person",
    "一个人",
    "waving",
    "挥手",
    "a room",
    "房间",
    "blue",
    "two people",
    "dog",
    "狗",
    "pizza",
    "airplane",
)
"""What it cannot know (people, actions, scenes, colours, numbers), or what no video shows."""


def fill(library: Library, data: Path, actions: int, scratch: Path) -> dict[str, list[int]]:
    """Add the clips; return their numbers by what they are of: a video, whole or in parts, signs, an action."""
    groups: dict[str, list[int]] = defaultdict(list)
    for video in sorted((data / "videos").iterdir()):
        groups["whole"].append(library.add(video).id)
        footage = Footage(video)
        height, width = footage.size()
        scale = min(1.0, SIDE / height)  # all of its frames are held
        height, width = (2 * round(scale * side / 2) for side in (height, width))
        frames = np.concatenate(list(footage.chunks(height=height, width=width, channels=3, fps=FPS)))
        for number, first in enumerate(np.linspace(0, max(0, len(frames) - FRAMES), PARTS).astype(int)):
            part = scratch / f"{video.stem} {number}.mp4"
            write_clip(part, [frames[first : first + FRAMES]], fps=FPS, metadata={})
            if (entry := library.add_new(part)) is not None:  # of a short video they may be the same
                groups[f"part of {video.stem}"].append(entry.id)
    for sign in sorted((data / "signs").glob("*/*")):
        groups["signs"].append(library.add(sign).id)
    clips = sorted((data / "actions").glob("*/*"))
    for clip in clips[:: max(1, len(clips) // actions)]:
        groups[f"action {clip.parent.name}"].append(library.add(clip, ClipDetails(label=clip.parent.name)).id)
    return groups


def same_video(library: Library, groups: dict[str, list[int]], kind: str, weight: float) -> float:
    """Return the share of each part's nearest clips, of as many as there are others, that are of its video."""
    wanted = ClipQuery(
        motion=weight, ids=tuple(clip for name, clips in groups.items() if name != "whole" for clip in clips)
    )
    shares = []
    for name, clips in groups.items():
        if name.startswith("part") and len(clips) > 1:
            for clip in clips:
                near = library.similar(clip, wanted, len(clips) - 1, kind)
                shares.append(np.mean([entry.id in clips for entry, _ in near]))
    return float(np.mean(shares))


def same_action(library: Library, groups: dict[str, list[int]], kind: str, weight: float) -> float:
    """Return the share of actions' clips whose nearest clip has the same action."""
    actions = {clip: name for name, clips in groups.items() if name.startswith("action") for clip in clips}
    wanted = ClipQuery(motion=weight, ids=tuple(actions))
    nearest = {clip: library.similar(clip, wanted, 1, kind)[0][0].id for clip in actions}
    return float(np.mean([actions[clip] == actions[other] for clip, other in nearest.items()]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--actions", type=int, default=72)
    options = parser.parse_args()
    console = Console(width=120)
    with tempfile.TemporaryDirectory() as folder:
        library = Library(Path(folder) / "library")
        groups = fill(library, options.data, options.actions, Path(folder))
        features = PictureFeatures()
        begun = time.perf_counter()
        count = library.embed(features.kind, features, about=features.about)
        console.print(f"{count} clips looked at, {(time.perf_counter() - begun) / count:.2f} s each")
        size = (library.folder / "embeddings" / f"{features.kind}.rows").stat().st_size / (count + 1)
        console.print(f"{size:.0f} bytes a clip")
        table = Table("likeness", *(f"motion {weight:g}" for weight in WEIGHTS))
        for name, measure in (("same video", same_video), ("same action", same_action)):
            for kind in (similarity.APPEARANCE, features.kind):
                shares = [f"{measure(library, groups, kind, weight):.3f}" for weight in WEIGHTS]
                table.add_row(f"{name}, {kind}", *shares)
        console.print(table)

        few = [clip for name, clips in groups.items() if name.startswith("action") for clip in clips[::6]]
        among = ClipQuery(ids=(*groups["whole"], *groups["signs"], *few))
        table, places = Table("words", "place", "found", "first", "score"), list[int]()
        for words in (*SHOWN, *BEYOND):
            matches = seen.find(library._storage, words, among)
            titles = [library.get(clip).title for clip, _ in matches]
            place = next((n for n, title in enumerate(titles, 1) if title in SHOWN.get(words, ())), 0)
            places += [place] if words in SHOWN else []
            first = (titles[0], f"{matches[0][1]:.1f}") if matches else ("", "")
            table.add_row(words, str(place or "–") if words in SHOWN else "", str(len(matches)), *first)
        console.print(table)
        ranks = {most: sum(0 < place <= most for place in places) for most in (1, 5)}
        console.print(
            f"of {len(among.ids or ())} clips: " + ", ".join(f"R@{m} {n}/{len(places)}" for m, n in ranks.items())
        )
        library.close()


if __name__ == "__main__":
    main()
