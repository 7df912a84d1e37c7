"""A generator and an upscaler in a chain: the time of each stage, memory against length, arithmetic and speed.

python benchmarks/upscaling_chain.py [--base MODEL] [--upscaler MODEL] [--clip VIDEO] [--frames 48] [--long 1500]

The time of a stage is that of its thread on the processor (on a GPU: the clock's), alone, for frames of 1280×720.
Memory is the peak of a process of its own, without the files that it maps; `--long 0` leaves it out. Without models,
those with random weights are timed: time and memory do not depend on their values, but the encoder's time does. With
`--clip` a video takes the generator's place.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from fractions import Fraction
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

import footage
from footage.config.registry import METHODS
from footage.generation.model import Model
from footage.generation.upscale import Pixels, UpscaleOptions, enlarge, to_pixels, to_tensor
from footage.media.colour import Colour
from footage.media.decode import read_window
from footage.media.encode import StreamEncoder
from footage.media.encoding import DEFAULT_ENCODING
from footage.media.geometry import Size, plan_enlargement
from footage.models.base import Enlarges
from footage.models.card import ModelInfo
from footage.models.checkpoint import save_model
from footage.models.device import find_device, has_bf16
from footage.models.upscalers import UpscalerConfig
from footage.models.upscalers.upscale import Upscaler
from footage.training.cost import FlopCount

FRAME = Size(720, 1280)
SOURCE = (180, 320)


def random_model(folder: Path, preset: str, **knobs: object) -> Path:
    """Write a model with random weights."""
    config = footage.preset(preset, {key.replace("__", "."): value for key, value in knobs.items()})
    torch.manual_seed(0)
    nets = METHODS[config.method].sampling_nets(config, 0)
    save_model(folder, ModelInfo(preset, config, (), (), 25.0, "none", "0" * 64, 0), nets)
    return folder


def clock(device: str) -> float:
    """Return the time that this thread has worked, in seconds; on a GPU, the time of the day once it has finished."""
    if device == "cuda":
        torch.cuda.synchronize()
        return time.perf_counter()
    return time.thread_time()


def timed(work: Callable[[], object], device: str, frames: int) -> float:
    """Return the milliseconds that a frame takes, the median of three."""
    found = []
    for _ in range(3):
        begin = clock(device)
        work()
        found.append((clock(device) - begin) / frames * 1e3)
    return statistics.median(found)


def packed(pictures: Pixels) -> None:
    """Pack pictures as a file is, and throw the packets away."""
    import av

    with tempfile.NamedTemporaryFile(suffix=".mp4") as file, av.open(file.name, "w") as container:
        packer = StreamEncoder(
            container, "libx264", "h264", DEFAULT_ENCODING.crf, size=pictures.shape[1:3], base=Fraction(1, 25),
            rate=Fraction(25), colour=Colour(),
        )  # fmt: skip
        packer.stream.codec_context.thread_count = 1  # its own threads' time would not be seen
        for number, picture in enumerate(pictures):
            packer.write(picture, number)
        packer.finish()


def stages(base: Callable[[], Pixels], upscaler: Model, device: str) -> float:
    """Print the time of each stage, for the frames that the first one gives; return the encoder's by the networks'."""
    sampler = upscaler.sampler
    assert isinstance(sampler, Enlarges)
    working = UpscaleOptions(bf16=has_bf16(device))
    small = base()
    frames, source = len(small), Size(*small.shape[1:3])
    way = plan_enlargement(source, source, FRAME, sampler.scale, "crop")
    given = to_tensor(small, sampler.device)
    large = np.concatenate([to_pixels(chunk, False) for chunk in enlarge(sampler, way, [given], working)])

    def networks(working: UpscaleOptions) -> None:
        for _ in enlarge(sampler, way, [given], working):
            pass

    chunk = to_tensor(large[:8], sampler.device)
    rows = {
        "generator, or reading": timed(base, device, frames),
        "upscaler, in all": timed(lambda: networks(working), device, frames),
        "of it, what tiles of 128 add": 0.0,
        "to bytes": timed(lambda: to_pixels(chunk, False), device, 8),
        "encoder (H.264), one thread": timed(lambda: packed(large), "cpu", frames),
    }
    rows["of it, what tiles of 128 add"] = (
        timed(lambda: networks(UpscaleOptions(tile=128, bf16=working.bf16)), device, frames) - rows["upscaler, in all"]
    )
    forward = rows["generator, or reading"] + rows["upscaler, in all"]
    sizes = " → ".join(str(size) for size in (*way.shrinks, way.frame))
    print(f"\n{sizes}, {device}, {'bf16' if working.bf16 else 'fp32'}\n")
    print("| stage | ms a frame | of the networks |\n|---|---|---|")
    for name, value in rows.items():
        print(f"| {name} | {value:.1f} | {value / forward:.1%} |")
    return rows["encoder (H.264), one thread"] / forward


def speed(device: str) -> None:
    """Print arithmetic and speed of the upscalers, 320×180 to 1280×720 (or 640×360)."""
    print("\n| upscaler | weights | GFLOP a frame | ms a frame | frames/s | GFLOP/s |\n|---|---|---|---|---|---|")
    frames = torch.rand(1, 3, 6, *SOURCE, device=device) * 2 - 1
    for name in ("upscale-x4", "upscale-x4-fast", "upscale-x2"):
        config = footage.preset(name)
        assert isinstance(config.net, UpscalerConfig)
        shape = (360, 640) if config.net.scale == 2 else SOURCE
        given = torch.rand(1, 3, 6, *shape, device=device) * 2 - 1 if config.net.scale == 2 else frames
        with torch.inference_mode(False), torch.no_grad(), FlopCount() as count:  # inference mode would hide it
            net = Upscaler(3, config.net).to(device).eval()
            net(torch.zeros(given.shape, device=device))
        run: Callable[[Tensor], Tensor] = torch.compile(net) if device == "cuda" else net
        with torch.autocast(device, torch.bfloat16, enabled=has_bf16(device)):
            for _ in range(3):
                run(given)
            ms = timed(lambda: [run(given) for _ in range(10)], device, 10)  # noqa: B023
        weights = sum(weight.numel() for weight in net.parameters())
        giga = count.total / 1e9
        print(f"| {name} | {weights:,} | {giga:.2f} | {ms:.1f} | {1e3 / ms:.1f} | {giga / ms * 1e3:.0f} |")


def memory(base: Path, upscaler: Path, long: int) -> float:
    """Print the peak memory of a long video and of one a tenth as long, medians of three; return their ratio."""
    code = (
        "import sys, footage\nfrom pathlib import Path\nfrom footage.training.cost import peak_gib\n"
        "footage.generate(Path(sys.argv[1]), Path(sys.argv[3]), count=1, frames=int(sys.argv[4]), device='cpu',"
        " upscale=Path(sys.argv[2]), size='1280x720', fit='crop', quiet=True)\n"
        "print(peak_gib('cpu') * 1024)"
    )
    found: dict[int, list[float]] = {long // 10: [], long: []}
    for _ in range(3):  # in turn: threads meet otherwise in every run
        for frames, peaks in found.items():
            with tempfile.TemporaryDirectory() as folder:
                words = [sys.executable, "-c", code, str(base), str(upscaler), f"{folder}/made", str(frames)]
                peaks.append(float(subprocess.run(words, capture_output=True, text=True, check=True).stdout))
            print(f"{frames} frames of 1280×720: peak {peaks[-1]:.0f} MiB", flush=True)
    short, much = (statistics.median(peaks) for peaks in found.values())
    print(f"medians {much:.0f} : {short:.0f} MiB, {much / short:.3f}")
    return much / short


def main() -> None:
    """Print all tables."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--base", type=Path)
    parser.add_argument("--upscaler", type=Path)
    parser.add_argument("--clip", type=Path)
    parser.add_argument("--frames", type=int, default=48)
    parser.add_argument("--long", type=int, default=1500)
    parser.add_argument("--only", choices=("stages", "speed", "memory"))
    options = parser.parse_args()
    device, found = find_device().device, dict[str, float]()
    with tempfile.TemporaryDirectory() as folder, torch.inference_mode():
        base = options.base or random_model(Path(folder) / "base", "stream-64", clip__height=64, clip__width=112)
        upscaler = options.upscaler or random_model(Path(folder) / "upscaler", "upscale-x4")
        if options.only in (None, "stages"):
            threads = torch.get_num_threads()
            torch.set_num_threads(1)  # as the encoder has: all work is counted alike
            first, generator = partial(read_window, options.clip, 0.0, options.frames), Model(base, device)
            made = partial(generator.generate, 1, frames=options.frames)
            small = (lambda: next(made()).array()) if options.clip is None else (lambda: first()[0])
            found["encoder"] = stages(small, Model(upscaler, device), device)
            torch.set_num_threads(threads)
        if options.only in (None, "speed"):
            speed(device)
        if options.only in (None, "memory") and options.long:
            found["memory"] = memory(base, upscaler, options.long)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
