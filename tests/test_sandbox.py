from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from footage.errors import ModelError
from footage.evaluation.features import NetworkInfo, sandbox
from footage.evaluation.features.catalogue import extractors
from footage.evaluation.features.official import OFFICIAL, ScriptExtractor
from footage.files import file_digest

ABOUT = NetworkInfo("i3d", "A", "0" * 64, 3, "clip", ("a", "b", "c"))


class Honest(torch.nn.Module):
    def forward(
        self, x: torch.Tensor, rescale: bool = False, resize: bool = False, return_features: bool = False
    ) -> torch.Tensor:
        assert rescale and resize and return_features
        return x.mean(dim=(2, 3, 4))


class Curious(Honest):
    def forward(
        self, x: torch.Tensor, rescale: bool = False, resize: bool = False, return_features: bool = False
    ) -> torch.Tensor:
        return torch.from_file("/etc/passwd", False, 3, dtype=torch.uint8).float().repeat(1, 1)


def saved(net: torch.nn.Module, path: Path) -> Path:
    torch.jit.script(net).save(str(path))
    return path


def test_a_program_gives_features_from_its_own_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = saved(Honest(), tmp_path / "i3d_torchscript.pt")
    with pytest.raises(ModelError, match="has the SHA-256"):
        extractors(["i3d"], weights=path)
    monkeypatch.setitem(OFFICIAL, "i3d", replace(OFFICIAL["i3d"], sha256=file_digest(path), size=3, least=(2, 1, 1)))
    (extractor,) = extractors(["i3d"], weights=tmp_path)
    assert isinstance(extractor, ScriptExtractor) and "no new files or sockets" in extractor.limits
    grey = np.random.default_rng(0).integers(0, 256, (6, 4, 8, 10, 1), dtype=np.uint8)
    features = extractor.features(grey)
    np.testing.assert_allclose(features.numpy(), grey.mean(axis=(1, 2, 3)).repeat(3, axis=1), rtol=1e-5)
    assert torch.equal(extractor.logits(grey), features)
    extractor.close()
    with pytest.raises(ModelError, match="failed in its own process"):
        extractor.features(grey)


def test_a_program_reads_no_file(tmp_path: Path) -> None:
    extractor = ScriptExtractor(saved(Curious(), tmp_path / "net.pt").read_bytes(), ABOUT)
    with pytest.raises(ModelError, match=r"unable to open file </etc/passwd>"):
        extractor.features(np.zeros((1, 2, 4, 4, 3), dtype=np.uint8))


def test_what_is_no_program_is_refused() -> None:
    with pytest.raises(ModelError, match="i3d's TorchScript failed in its own process"):
        ScriptExtractor(b"junk", ABOUT)


TRIES = """
import sys
sys.path.insert(0, {folder!r})
import os, socket, sandbox
holds = sandbox.confine(2**33, sandbox.leave_network())
tries = {{
    "socket": lambda: socket.socket(),
    "read": lambda: open("/etc/passwd"),
    "write": lambda: open({file!r}, "w"),
    "memory": lambda: bytearray(2**34),
}}
if "no system calls for sockets, files and programs" in holds:
    tries["run"] = lambda: os.execv("/bin/true", ["true"])
    tries["remove"] = lambda: os.unlink({file!r})
for name, attempt in tries.items():
    try:
        attempt()
        print(name, "went")
    except (OSError, MemoryError):
        pass
print("done", len(holds), flush=True)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="macOS has no limit of memory")
def test_a_confined_process_can_do_nothing_else(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("stays")
    code = TRIES.format(folder=str(Path(sandbox.__file__).parent), file=str(file))
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, timeout=200)
    assert done.stdout.startswith("done ") and int(done.stdout.split()[1]) >= 3, done
    assert file.read_text() == "stays"
