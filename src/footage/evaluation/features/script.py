"""An extractor whose network is a TorchScript program, run in a process of its own.

See `footage.evaluation.features.sandbox`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from footage.errors import ModelError
from footage.evaluation.features.base import About, Frames, check_frames

MEMORY = 16 * 2**30
"""Bytes of address space that the process may use."""
PATIENCE = 600.0
"""Seconds that a batch may take; then the process is ended."""
BATCH = 4
"""Clips that are sent at once."""
KEPT = ("PATH", "LD_LIBRARY_PATH", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
"""Variables of the environment that the process gets."""


class ScriptExtractor:
    """A TorchScript network as an `Extractor`: features and logits are what it gives.

    Args:
        content: the file's bytes, whose hash was checked.
        about: what it is.

    Raises:
        ModelError: the system has no such limits, or the file is no TorchScript.
    """

    def __init__(self, content: bytes, about: About) -> None:
        if os.name != "posix":
            raise ModelError(
                f"{about.name} is a TorchScript program, which this system has no means to confine",
                "run it under Linux or macOS",
            )
        self.about = about
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115
        self._process = subprocess.Popen(
            [sys.executable, "-I", str(Path(__file__).with_name("sandbox.py")), str(MEMORY)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env={name: os.environ[name] for name in KEPT if name in os.environ},
            cwd="/",
            close_fds=True,
        )
        self._end = weakref.finalize(self, _ended, self._process)
        self.limits: tuple[str, ...] = tuple(self._asked({"bytes": len(content)}, content)[0]["limits"])

    def features(self, frames: Frames) -> Tensor:
        """Return features (B, D) of clips uint8 (B, T, H, W, C).

        Raises:
            ModelError: the program failed, took too long, or gave something else.
        """
        check_frames(self.about, frames)
        rgb = frames if frames.shape[-1] == 3 else np.repeat(frames, 3, axis=-1)
        found = []
        for first in range(0, len(rgb), BATCH):
            part = np.ascontiguousarray(rgb[first : first + BATCH])
            header, content = self._asked({"shape": list(part.shape)}, part.tobytes())
            if header["shape"] != [len(part), self.about.size]:
                what = f"{self.about.name} gave features {header['shape']}, not {[len(part), self.about.size]}"
                raise ModelError(what, "give the file as it was published")
            found.append(torch.from_numpy(np.frombuffer(content, dtype=np.float32).reshape(header["shape"]).copy()))
        return torch.cat(found)

    def logits(self, frames: Frames) -> Tensor | None:
        """Return the same: its features are the logits."""
        return self.features(frames) if self.about.classes is not None else None

    def close(self) -> None:
        """End the process."""
        self._end()

    def _asked(self, header: dict[str, Any], content: bytes) -> tuple[dict[str, Any], bytes]:
        """Send a block and return the answer; the process is ended when it takes too long."""
        assert self._process.stdin is not None and self._process.stdout is not None
        clock = threading.Timer(PATIENCE, self._process.kill)
        clock.daemon = True
        clock.start()
        try:
            self._process.stdin.write(json.dumps(header).encode() + b"\n")
            self._process.stdin.write(content)
            self._process.stdin.flush()
            answer = json.loads(self._process.stdout.readline() or b"{}")
            count = 4 * int(np.prod(answer["shape"])) if "shape" in answer else 0
            block = self._process.stdout.read(count)
        except (OSError, ValueError):
            answer, count, block = {}, 0, b""
        finally:
            clock.cancel()
        if "error" in answer or not answer or len(block) != count:
            raise self._failed(answer.get("error", ""))
        return answer, block

    def _failed(self, said: str) -> ModelError:
        """Return the error for a process that did not answer, with the last it said."""
        self.close()
        if not said:
            self._errors.seek(0)
            last = self._errors.read().decode(errors="replace").strip().splitlines()
            said = last[-1][:300] if last else f"ended with {self._process.returncode}"
        return ModelError(f"{self.about.name}'s TorchScript failed in its own process ({said})", "check the file")


def _ended(process: subprocess.Popen[bytes]) -> None:
    """End a process, if need be, and close its pipes."""
    if process.poll() is None:
        process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            try:
                pipe.close()
            except OSError:
                continue
