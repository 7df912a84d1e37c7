"""Two hundred damaged files, none of which brings the ingest down."""

import random
from collections import Counter

import numpy as np
import pytest
from PIL import Image

from footage.data.ingest.shards import DecodeOptions, read_part
from footage.data.ingest.sources import Source
from footage.data.ingest.workers import answer, part_job
from tests import clips
from tests.ingesting import ingest

RECIPE = DecodeOptions(32, 32, 3, 25.0, "crop", 8, True, False, 0.1, 2, 4, 20, 0)
KINDS = [
    ("a.mp4", {}),
    ("b.mp4", {"container_options": {"movflags": "faststart"}}),
    ("c.mp4", {"container_options": {"movflags": "frag_keyframe+empty_moov"}}),
    ("d.mkv", {"options": {"g": "8"}}),
    ("e.webm", {"codec": "libvpx-vp9", "options": {"cpu-used": "8", "deadline": "realtime"}}),
    ("f.avi", {"codec": "mpeg4"}),
    ("g.mov", {"codec": "mjpeg", "pix_fmt": "yuvj420p"}),
    ("h.ts", {"codec": "mpeg2video"}),
    ("i.mp4", {"codec": "libx265", "options": {"x265-params": "log-level=none"}}),
    ("j.mkv", {"codec": "ffv1", "pix_fmt": "bgr0"}),
]
EACH = 18


def damage(content, rng):
    """Flip bytes, cut off, cut out, repeat, or overwrite, as the generator chooses."""
    spoiled = bytearray(content)
    way = rng.randrange(6)
    if way == 0:
        for _ in range(rng.choice([1, 10, 100])):
            spoiled[rng.randrange(len(spoiled))] = rng.randrange(256)
    elif way == 1:  # the header
        for _ in range(rng.choice([1, 5, 20])):
            spoiled[rng.randrange(min(600, len(spoiled)))] ^= 1 << rng.randrange(8)
    elif way == 2:
        del spoiled[rng.randrange(len(spoiled)) :]
    else:
        at = rng.randrange(len(spoiled))
        size = rng.randrange(1, 1 + len(spoiled) // 4)
        if way == 3:
            del spoiled[at : at + size]
        elif way == 4:
            spoiled[at:at] = spoiled[at : at + size]
        else:
            spoiled[at : at + size] = rng.randbytes(len(spoiled[at : at + size]))
    return bytes(spoiled)


@pytest.fixture(scope="module")
def damaged(tmp_path_factory):
    """180 damaged videos, and 20 damaged GIFs, arrays and IDX files."""
    root, good = tmp_path_factory.mktemp("damaged"), tmp_path_factory.mktemp("good")
    made = []
    for i, (name, options) in enumerate(KINDS):
        made.append((clips.write(good / name, clips.moving(24, seed=i), **options), EACH))
    images = [Image.fromarray(f) for f in clips.moving(24, (48, 48))]
    images[0].save(good / "k.gif", save_all=True, append_images=images[1:], duration=40)
    np.save(good / "l.npy", np.stack([np.stack(clips.moving(20, (32, 32), seed=s)) for s in range(2)]))
    digits = np.random.default_rng(0).integers(0, 256, (20, 28, 28)).astype(np.uint8).tobytes()
    (good / "m-images-idx3-ubyte").write_bytes(bytes([0, 0, 8, 3, 0, 0, 0, 20, 0, 0, 0, 28, 0, 0, 0, 28]) + digits)
    made += [(good / "k.gif", 10), (good / "l.npy", 5), (good / "m-images-idx3-ubyte", 5)]
    paths = []
    for path, count in made:
        for i in range(count):
            target = root / f"{i:02d}{path.name}"
            target.write_bytes(damage(path.read_bytes(), random.Random(target.name)))
            paths.append(target)
    assert len(paths) == 200
    return root, paths


def test_none_of_200_damaged_files_brings_a_worker_down(damaged, tmp_path):
    outcomes = Counter()
    for path in damaged[1]:
        kind = {".npy": "array", "": "idx"}.get(path.suffix, "video")
        part = tmp_path / "x.part"
        reply = answer(part_job(Source(kind, path.name, path), RECIPE, part).request)
        assert set(reply) == {"frames"}, f"{path.name}: {reply}"
        record, signatures = read_part(part, RECIPE, verify=True)
        assert record.clips or record.rejections, f"{path.name} was lost without a word"
        assert len(signatures) == len(record.clips)
        assert record.frames <= 24 * 60, f"{path.name} became {record.frames} frames"
        outcomes["clips" if record.clips else record.rejections[0].reason] += 1
        part.unlink()
    assert outcomes["clips"] >= 50 and outcomes.total() - outcomes["clips"] >= 20, outcomes


def test_a_folder_of_damaged_files_is_ingested_by_processes(damaged, tmp_path):
    options = {"height": 32, "width": 32, "min_frames": 8, "sequences": 4, "keep_duplicates": True}
    result = ingest([damaged[0]], tmp_path / "d", workers=2, fps=25, **options)
    assert result.sources == 200
    heard_of = {r.source for r in result.dataset.rows} | {r.source for r in result.rejections}
    assert len(heard_of) == 200
    assert not [r for r in result.rejections if "crashed" in r.detail or "Error" in r.detail]
    for row in result.dataset.rows:
        assert result.dataset.read(row).shape == (row.frames, 32, 32, 3)
    again = ingest([damaged[0]], tmp_path / "d", workers=0, fps=25, **options)
    assert again.decoded == 0 and again.dataset.rows == result.dataset.rows
