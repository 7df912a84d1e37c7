"""Put a trained model among those that come with footage, in half precision, with its sources in its card.

python benchmarks/ship.py RUN NAME [--source "what it was trained on, and its licence"] ...

1. The model, a run or a model folder, is written to src/footage/pretrained/NAME as `footage compact` does: kernels as
   float16, refused where it would make other clips.
2. Sources that are not named are those of the model that was shipped by that name before.
3. What its README said below the generated part (how it was made, how good it is) is kept: bring it up to date by hand.
4. All that is shipped beside the two models of shapes and digits stays within LIMIT; else nothing is changed.

Then: pytest tests/test_pretrained.py; footage models; footage demo.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

from footage.errors import FootageError, ModelError
from footage.models.card import PRETRAINED, model_folder, read_info, readme
from footage.models.checkpoint import compact

LIMIT = 10_000_000
"""Bytes of the models for HD together."""
FIRST = ("stream-digits", "stream-shapes")
"""The small models, which do not count."""


def ship(run: Path, name: str, sources: list[str]) -> str:
    """Ship a model, and say how large it is and what half precision has changed."""
    target, below = PRETRAINED / name, ""
    if (target / "model.json").exists():
        before = read_info(target)
        sources = sources or list(before.extra.get("sources", ()))
        last = readme(before).splitlines()[-1]
        below = (target / "README.md").read_text(encoding="utf-8").partition(f"{last}\n")[2]
    if not sources:
        raise ModelError(f"{name} has no source", 'give --source "what it was trained on, and its licence"')
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / name
        result = compact(model_folder(run), made, name, sources)
        others = [path for path in PRETRAINED.iterdir() if path.name not in (*FIRST, name)]
        total = sum(path.stat().st_size for place in (*others, made) for path in place.iterdir())
        if total > LIMIT:
            raise ModelError(f"with {name} the models for HD have {total:,} bytes", f"{LIMIT:,} is the most")
        with open(made / "README.md", "a", encoding="utf-8") as text:
            text.write(below)
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(made, target)
    change = f"{result.mean_change:.3f} of 255 grey levels, at most {result.largest_change:.0f}"
    return f"{target}: {result.bytes:,} bytes; what it makes changes by {change}; {total:,} of {LIMIT:,} bytes are used"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("name")
    parser.add_argument("--source", action="append", default=[])
    options = parser.parse_args()
    try:
        print(ship(options.run, options.name, options.source))
    except FootageError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
