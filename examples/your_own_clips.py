"""The whole way with your own videos: a folder becomes a data set, a model and new clips.

Usage: python examples/your_own_clips.py FOLDER_OF_VIDEOS [WORK_FOLDER] [MINUTES]
"""

import sys
from pathlib import Path

import footage

videos = Path(sys.argv[1])
work = Path(sys.argv[2] if len(sys.argv) > 2 else "my-footage")
minutes = float(sys.argv[3]) if len(sys.argv) > 3 else 30.0

result = footage.ingest((videos,), work / "data", footage.IngestConfig(height=32, width=32))
print(f"{result.dataset.info.clips} clips, left out: {len(result.rejections)}")

run = footage.train(str(work / "data"), "stream-32", out=work / "run", minutes=minutes)
for path in footage.generate(run.model, work / "clips", count=8, frames=32, seed=7):
    print(path)
