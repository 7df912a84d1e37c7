"""What signing costs beside generating: seconds of a signature (C2PA) over those of making and writing a clip.

python benchmarks/signing.py [--clips 8]

Both are taken of the same clips, in turn, in this process; the machine has to be idle otherwise.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

import footage
from footage.trust.provenance import FOLDER, SWITCH, examine, seal

WANTED = 0.01


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=8)
    options = parser.parse_args()
    table = Table("model", "frames", "making and writing", "signing", "ratio", "wanted", "bytes more")
    found = dict[str, float]()
    with tempfile.TemporaryDirectory() as folder:
        os.environ |= {FOLDER: f"{folder}/keys"}
        for name, seconds in (("stream-shapes", 4), ("stream-signs", 2)):
            model, making, signing, grown = footage.load(name), [], [], []
            for number, clip in enumerate(model.generate(options.clips, seconds=float(seconds))):
                path = Path(folder) / f"{name}-{number}.mp4"
                os.environ[SWITCH] = "off"
                start = time.perf_counter()
                clip.save(path)
                making.append(time.perf_counter() - start)
                os.environ[SWITCH], size = "on", path.stat().st_size
                start = time.perf_counter()
                assert seal(path, clip.metadata, path.name)
                signing.append(time.perf_counter() - start)
                grown.append(path.stat().st_size - size)
                assert examine(path, {}).state == "trusted"
            ratio = found[name] = statistics.median(signing) / statistics.median(making)
            row = f"{statistics.median(making) * 1e3:.0f} ms", f"{statistics.median(signing) * 1e3:.1f} ms"
            table.add_row(
                name, str(clip.frames), *row, f"{ratio:.2%}", f"< {WANTED:.0%}", f"{statistics.median(grown):,.0f}"
            )
    Console().print(table)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
