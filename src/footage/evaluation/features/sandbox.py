"""A process of its own for a TorchScript file: it gets frames by a pipe, gives features back, and can do little else.

TorchScript is a program that comes with the weights. So this file is run as a script, by itself (it imports nothing of
footage), and gives up, before the program is read:

- the network: where Linux allows it, the process moves into a network namespace of its own, which has no way out
  (unshare(2)), and the system calls for sockets are refused (seccomp(2));
- files: no descriptor can be opened any more (RLIMIT_NOFILE), so that there is neither a file nor a socket; the calls
  that open, remove or rename files are refused as well; nothing can be written to a file that is open (RLIMIT_FSIZE);
- other programs: execve(2) and ptrace(2) are refused; rights that were given up do not come back (no_new_privs);
- memory, up to a limit (RLIMIT_AS), and core dumps.

The file's bytes come by the pipe too: the hash is checked by the parent, on the very bytes that are read here.
"""

from __future__ import annotations

import ctypes
import io
import json
import os
import platform
import struct
import sys
from typing import Any, BinaryIO

NEW_USER, NEW_NET = 0x10000000, 0x40000000
"""unshare(2): namespaces of users and of the network."""
NO_NEW_PRIVS = 38
"""prctl(2)."""
AUDIT_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
"""Names of processors in seccomp(2)'s data."""
SECCOMP = {"x86_64": 317, "aarch64": 277}
"""Number of that call."""
# socket to accept4, sendto, sendmsg, sendmmsg, execve, execveat, ptrace, process_vm_readv, process_vm_writev,
# open, creat, openat, openat2, unlink, unlinkat, rename to renameat2, mkdir, mkdirat, link, linkat, symlink, symlinkat,
# mount, chmod, fchmodat, truncate, io_uring_setup, fork, vfork
_X86 = (
    "41 42 43 44 46 49 50 53 288 307 59 322 101 310 311 2 85 257 437 87 263 82 264 316 83 258 86 265 88 266 165 90 268"
)
_ARM = "198 199 200 201 202 203 206 211 242 269 221 281 117 270 271 56 437 35 38 276 34 37 36 40 53 45 425"
REFUSED = {
    "x86_64": tuple(int(number) for number in f"{_X86} 76 425 57 58".split()),
    "aarch64": tuple(int(number) for number in _ARM.split()),
}
"""Numbers of the system calls that are refused."""
EPERM = 1


class _Filter(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def leave_network() -> bool:
    """Move into a network namespace without a way out; only a process of one thread can. Returns whether it went."""
    if sys.platform != "linux":
        return False
    return bool(ctypes.CDLL(None, use_errno=True).unshare(NEW_USER | NEW_NET) == 0)


def refuse_calls() -> bool:
    """Have the system calls of REFUSED answered with an error, in every thread. Returns whether it went."""
    machine = platform.machine()
    if sys.platform != "linux" or machine not in REFUSED:
        return False
    numbers = REFUSED[machine]

    def line(code: int, yes: int, no: int, value: int) -> bytes:
        return struct.pack("HBBI", code, yes, no, value)  # struct sock_filter

    load, equal, give = 0x20, 0x15, 0x06
    program = [line(load, 0, 0, 4), line(equal, 0, len(numbers) + 2, AUDIT_ARCH[machine]), line(load, 0, 0, 0)]
    program += [line(equal, len(numbers) - place, 0, number) for place, number in enumerate(numbers)]
    program += [line(give, 0, 0, 0x7FFF0000), line(give, 0, 0, 0x00050000 | EPERM)]  # allow; refuse with an error
    code = b"".join(program)
    library = ctypes.CDLL(None, use_errno=True)
    if library.prctl(NO_NEW_PRIVS, 1, 0, 0, 0):
        return False
    mode_filter, every_thread = 1, 1
    rule = _Filter(len(program), code)
    return bool(library.syscall(SECCOMP[machine], mode_filter, every_thread, ctypes.byref(rule)) == 0)


def limit_resources(memory: int) -> None:
    """Take away the right to open descriptors, to write files, to dump core, and to more than `memory` bytes."""
    import resource

    highest = max(int(name) for name in os.listdir("/dev/fd"))
    for kind, value in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_NOFILE, highest + 1),
        (resource.RLIMIT_AS, memory),
    ):
        ceiling = resource.getrlimit(kind)[1]
        value = value if ceiling == resource.RLIM_INFINITY else min(value, ceiling)
        resource.setrlimit(kind, (value, value))
    for number in range(3, highest + 1):  # what the listing itself had open, and what was inherited
        try:
            os.close(number)
        except OSError:
            continue
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, 3))


def confine(memory: int, alone: bool) -> list[str]:
    """Give up rights; `alone` is what `leave_network` returned. Returns what holds, in words."""
    limit_resources(memory)
    holds = ["no new files or sockets", "no writing", f"{memory / 2**30:.0f} GiB of memory"]
    holds += ["no network"] if alone else []
    return holds + (["no system calls for sockets, files and programs"] if refuse_calls() else [])


def serve(read: BinaryIO, write: BinaryIO, memory: int) -> None:
    """Read a program of a given length, then frames; write features: a line of JSON before each block of bytes."""
    alone = leave_network()
    import numpy as np
    import torch

    torch.nn.functional.interpolate(torch.zeros(1, 1, 2, 2, 2), scale_factor=2, mode="trilinear")
    torch.nn.Conv3d(1, 1, 3, padding=1)(torch.zeros(1, 1, 4, 4, 4))  # libraries are loaded while they can be
    holds = confine(memory, alone)

    def answer(value: dict[str, Any], content: bytes = b"") -> None:
        write.write(json.dumps(value).encode() + b"\n" + content)
        write.flush()

    try:
        size = json.loads(read.readline())["bytes"]
        net = torch.jit.load(io.BytesIO(read.read(size)), map_location="cpu").eval()  # type: ignore[no-untyped-call]
        answer({"limits": holds})
        while header := read.readline():
            shape = json.loads(header)["shape"]
            frames = np.frombuffer(read.read(int(np.prod(shape))), dtype=np.uint8).reshape(shape)
            clips = torch.from_numpy(frames.copy()).permute(0, 4, 1, 2, 3).float()  # B T H W C -> B C T H W
            with torch.inference_mode():
                features = net(clips, rescale=True, resize=True, return_features=True).float().contiguous()
            answer({"shape": list(features.shape)}, features.numpy().tobytes())
    except Exception as error:  # whatever the program does is an answer
        last = (str(error).strip().splitlines() or [""])[-1]
        answer({"error": f"{type(error).__name__}: {last[:300]}"})


if __name__ == "__main__":
    serve(sys.stdin.buffer, sys.stdout.buffer, int(sys.argv[1]))
