"""Train a small model on the built-in moving shapes, then save a few clips of each shape.

Usage: python examples/train_and_generate.py [MINUTES] [FOLDER]
"""

import sys
from pathlib import Path

import footage

minutes = float(sys.argv[1]) if len(sys.argv) > 1 else 3.0
folder = Path(sys.argv[2] if len(sys.argv) > 2 else "shapes-example")

run = footage.train("shapes", "stream-32", out=folder / "run", minutes=minutes)
model = footage.load(run.model)
for label in model.labels:
    for clip in model.generate(4, label=label, seed=1):
        path = clip.save(folder / f"{label}-{clip.metadata['seed']}.mp4")
        print(path, clip.array().shape)
