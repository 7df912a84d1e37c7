"""Work on a cluster: Ray's workers, on this machine or on others, do units of it. No torch.

A unit can be done again at any time, with the same result: where a worker is lost, its unit goes to another one.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import os
import re
import secrets
import shutil
import socket
import tempfile
import time
import warnings
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from footage.errors import ClusterError, ConfigError, FootageError
from footage.files import describe_fault
from footage.machines.local import cores, environment

Unit = TypeVar("Unit")
Result = TypeVar("Result")

EXTRA = "pip install 'footage[cluster]'"
ADDRESS = re.compile(r"ray://(\[[^\s\]]+\]|[^\s/:]+):(\d{1,5})")
REACH = 10.0
"""Seconds in which a cluster has to answer a call."""
ANSWER = 120.0
"""Seconds in which every machine has to say which versions it has."""
RETRIES = 2
"""How often Ray does a unit again whose worker it has lost."""
ATTEMPTS = 2
"""How often a unit is given to Ray, where even that did not do."""
SHOWN = 90.0
"""Seconds that a file of another machine may take until it is seen here: network disks remember for 60 what was not."""
TOKEN = "set RAY_AUTH_MODE=token, and RAY_AUTH_TOKEN to the cluster's token"
SAME = "install the same versions on all machines"
SHARED_DISK = "put it on a disk that all machines see under the same path"


@dataclass(frozen=True)
class Needed:
    """A file or folder that a worker has to see, as it is here."""

    path: str
    size: int | None
    """Bytes; None for a folder."""

    @classmethod
    def of(cls, paths: Iterable[Path]) -> list[Needed]:
        """Return what there is of some paths; what is missing here too is no fault of a worker."""
        there = [path.absolute() for path in paths if path.exists()]
        return [cls(os.fspath(path), None if path.is_dir() else path.stat().st_size) for path in there]

    def check(self) -> None:
        """Refuse to go on without it.

        Raises:
            ClusterError: it is not there, or another one.
        """
        path = Path(self.path)
        if not path.exists():
            raise ClusterError(f'"{path}" is not there', SHARED_DISK)
        if self.size is not None and path.stat().st_size != self.size:
            raise ClusterError(f'"{path}" is another file there, of {path.stat().st_size:,} bytes', SHARED_DISK)


@dataclass(frozen=True)
class Reply(Generic[Result]):
    """What a worker says of a unit."""

    host: str
    result: Result | None = None
    error: tuple[type[FootageError], str, str] | None = None
    """Kind, problem and remedy of what the user can put right."""

    def take(self) -> Any:
        """Return the result, or raise the error, with the host in it."""
        if self.error is not None:
            kind, problem, remedy = self.error
            raise kind(f"{problem} (worker on {self.host})", remedy)
        return self.result


def perform(
    work: Callable[[Unit], Result], unit: Unit, needed: Sequence[Needed], versions: Mapping[str, str]
) -> Reply[Result]:
    """Do a unit; this is what a worker does. It may have joined since the work was begun, with other `versions`."""
    host = socket.gethostname()
    try:
        if others := differing(versions, own_versions()):
            raise ClusterError(f"a worker has {others}", SAME)
        for one in needed:
            one.check()
        return Reply(host, work(unit))
    except FootageError as error:
        return Reply(host, error=(type(error), error.problem, error.remedy))
    except OSError as fault:
        return Reply(host, error=(ClusterError, describe_fault(fault), ""))


def teller() -> Callable[[], dict[str, str]]:
    """Return a function that says what the results depend on; it needs nothing of footage where it is called."""

    def tell() -> dict[str, str]:
        import hashlib
        import importlib.metadata
        import pathlib
        import sys

        found = {"Python": "{}.{}".format(*sys.version_info[:2])}
        try:
            import footage

            digest, folder = hashlib.sha256(), pathlib.Path(footage.__file__).parent
            for path in sorted(folder.rglob("*.py")):
                digest.update(path.relative_to(folder).as_posix().encode() + path.read_bytes())
            found["footage"] = f"{footage.__version__} (code {digest.hexdigest()[:8]})"
        except ImportError as error:
            return found | {"footage": f"none ({error})"}
        for package in ("torch", "av", "numpy"):
            try:
                found[package] = importlib.metadata.version(package)
            except importlib.metadata.PackageNotFoundError:
                found[package] = "none"
        return found

    return tell


@functools.cache
def own_versions() -> dict[str, str]:
    """Return what the results depend on in this process, as long as it lasts."""
    return teller()()


def differing(mine: Mapping[str, str], theirs: Mapping[str, str]) -> str:
    """Say which version is another one there than on this machine; nothing where none is."""
    for name, version in mine.items():
        if theirs.get(name) != version:
            return f"{name} {theirs.get(name, 'none')}, this machine {version}"
    return ""


class Cluster:
    """A connection to Ray's workers.

    Args:
        ray: the module.
        on: how the user calls it.
        workers: units that are done at once, at most; None for as many as there are processors, or GPUs.
        threads: processors that a unit keeps busy.
        gpus: GPUs that a unit needs, 0 or 1.
    """

    def __init__(self, ray: Any, on: str, workers: int | None, threads: int, gpus: int) -> None:
        self.ray, self.on, self.workers, self.gpus = ray, on, workers, gpus
        nodes = [node for node in ray.nodes() if node["Alive"]]
        most = int(max((node["Resources"].get("CPU", 0) for node in nodes), default=0))
        self.threads = max(1, min(threads, most))
        self._hosts = {node["NodeID"]: str(node["NodeManagerHostname"]) for node in nodes}

    @property
    def slots(self) -> int:
        """How many units can be done at once, as the cluster is now.

        Raises:
            ClusterError: none can.
        """
        there = self.ray.cluster_resources()
        free = int(there.get("GPU", 0)) if self.gpus else int(there.get("CPU", 0)) // self.threads
        if free < 1:
            raise ClusterError(
                f"{self.on} has no {'GPU' if self.gpus else 'processor'} for this",
                "start workers there, see: ray status",
            )
        return free if self.workers is None else min(free, self.workers)

    def check(self) -> None:
        """Refuse machines that would make other bytes.

        Raises:
            ClusterError: one has other versions than this machine, or does not answer.
        """
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        tell = teller()
        mine, ask = tell(), self.ray.remote(tell)
        asked = {
            ask.options(
                num_cpus=0, max_retries=RETRIES, scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=False)
            ).remote(): host
            for node, host in self._hosts.items()
        }
        done, silent = self.ray.wait(list(asked), num_returns=len(asked), timeout=ANSWER)
        if silent:
            raise ClusterError(f"{asked[silent[0]]} does not answer for {ANSWER:.0f} s", "see on it: ray status")
        for ref in done:
            try:
                others = differing(mine, self.ray.get(ref))
            except self.ray.exceptions.RayTaskError:
                raise
            except self.ray.exceptions.RayError:  # that machine has gone; what comes later is asked with each unit
                continue
            if others:
                raise ClusterError(f"the worker on {asked[ref]} has {others}", SAME)

    def run(
        self,
        work: Callable[[Unit], Result],
        units: Sequence[Unit],
        *,
        needs: Callable[[Unit], Iterable[Path]] = lambda unit: (),
        lost: Callable[[Unit], Result] | None = None,
    ) -> Generator[tuple[Unit, Result], None, None]:
        """Do units and yield each with its result, once, in the order in which they are done.

        Args:
            work: what is done; with all that it holds, such as networks, it is sent once to each machine.
            units: they are sent as they are; few are on their way at a time.
            needs: files and folders that a worker has to see for a unit.
            lost: does, here, a unit that has taken all its workers down; None where that is an error.

        Raises:
            ClusterError: a worker lacks what it needs, or has a full disk, or other versions; or a unit cannot be done,
                or no worker is left.
            FootageError: what `work` raises, with the host in it.
        """
        failures = self.ray.exceptions
        do = self.ray.remote(perform).options(num_cpus=self.threads, num_gpus=self.gpus, max_retries=RETRIES)
        waiting, attempts, versions = deque(range(len(units))), Counter[int](), teller()()
        in_work = dict[Any, int]()
        try:
            sent = self.ray.put(work)
            while waiting or in_work:
                # One more for each worker, so that none waits for this process.
                most = self.slots * (1 if self.workers is not None and self.on != "ray" else 2)
                while waiting and len(in_work) < most:
                    number = waiting.popleft()
                    in_work[do.remote(sent, units[number], Needed.of(needs(units[number])), versions)] = number
                done, _ = self.ray.wait(list(in_work), num_returns=1, timeout=REACH)
                for ref in done:  # none where it takes its time; that the last machine has gone is found out above
                    number = in_work.pop(ref)
                    try:
                        reply: Reply[Any] = self.ray.get(ref)
                    except failures.RayTaskError:
                        raise
                    except failures.RayError as error:
                        attempts[number] += 1
                        if attempts[number] < ATTEMPTS:
                            waiting.appendleft(number)
                        elif lost is not None:
                            yield units[number], lost(units[number])
                        else:
                            reason, times = str(error).partition("\n")[0], ATTEMPTS * (RETRIES + 1)
                            problem = f"a unit of work took its worker down {times} times ({reason})"
                            remedy = "look for a lack of memory there; the same command without --on does it here"
                            raise ClusterError(problem, remedy) from None
                    else:
                        yield units[number], reply.take()
        except ConnectionError as error:
            remedy = "see whether it is up, and give the same command again"
            raise ClusterError(f"the connection to {self.on} is lost ({error})", remedy) from None
        finally:
            for ref in in_work:
                with contextlib.suppress(Exception):
                    self.ray.cancel(ref, force=True)

    def await_file(self, path: Path) -> None:
        """Wait until a file that a worker has written is seen here.

        Raises:
            ClusterError: it does not come.
        """
        until = time.monotonic() + SHOWN
        while not path.exists():
            if time.monotonic() > until:
                raise ClusterError(f'a worker has written "{path}", which is not seen here', SHARED_DISK)
            time.sleep(0.05)


@contextlib.contextmanager
def connect(
    on: str | None, workers: int | None = None, threads: int = 1, device: str = "cpu"
) -> Iterator[Cluster | None]:
    """Connect to workers, and start them where they are to be on this machine; None where there are to be none.

    A connection that this process has already is used, and kept.

    Args:
        on: `ray`, or `ray://HOST:PORT`, or None.
        workers: units that are done at once; None for as many as there is room for.
        threads: of each.
        device: where each computes: without a GPU it is `cpu`.

    Raises:
        ConfigError: an argument cannot be.
        ClusterError: there is no cluster at the address, or it does not let us in, or Ray or a version is missing.
    """
    if workers is not None and workers < 1:
        raise ConfigError(f"workers is {workers}", "give at least 1")
    if on is None:
        if workers is not None:
            raise ConfigError(f"workers is {workers}, and all is done in this process", "give --on ray")
        yield None
        return
    place = ADDRESS.fullmatch(on)
    if on != "ray" and place is None:
        raise ConfigError(f'on is "{on}"', "give ray for workers on this machine, or ray://HOST:PORT for a cluster's")
    settings = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}
    if place is None:
        # Without networks of several machines, all of Ray listens on 127.0.0.1 only; and a token, which no file keeps,
        # shuts other users of this machine out.
        settings |= {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0", "RAY_AUTH_MODE": "token"}
        settings["RAY_AUTH_TOKEN"] = process_token()
    folder: str | None = None
    with environment(settings):
        try:
            ray: Any = importlib.import_module("ray")
        except ImportError as error:
            raise ClusterError(f"Ray is not installed ({error})", EXTRA) from None
        try:
            if not ray.is_initialized():
                if place is None:
                    folder = tempfile.mkdtemp(prefix="ray-")
                    processors = (workers or max(1, cores() // threads)) * threads
                    how = {"num_cpus": processors, "include_dashboard": False, "_temp_dir": folder}
                    with _alone():
                        _begin(ray, on, address="local", _node_ip_address="127.0.0.1", **how)
                else:
                    folder = ""
                    refuse_unreachable(on, place[1].strip("[]"), int(place[2]))
                    _begin(ray, on, address=on)
            cluster = Cluster(ray, on, workers, threads, int(device != "cpu"))
            cluster.check()
            yield cluster
        finally:
            if folder is not None:
                ray.shutdown()
                shutil.rmtree(folder, ignore_errors=True)


@functools.cache
def process_token() -> str:
    """Return this process's secret, which Ray reads once."""
    return secrets.token_hex(32)


def refuse_unreachable(on: str, host: str, port: int) -> None:
    """Refuse an address at which no cluster answers, or not to us: Ray itself would try for long, and not say which."""
    try:
        socket.create_connection((host, port), timeout=REACH).close()
    except (OSError, OverflowError) as fault:
        raise ClusterError(
            f"nothing answers at {on} ({getattr(fault, 'strerror', None) or fault})",
            "check host and port; the cluster's first machine, started with: ray start --head, answers on port 10001",
        ) from None
    with contextlib.suppress(ImportError):  # there may be versions of Ray that have these elsewhere
        names = ("grpc", "ray._private.grpc_utils", "ray.core.generated.ray_client_pb2")
        grpc, tools, messages = map(importlib.import_module, names)
        services: Any = importlib.import_module("ray.core.generated.ray_client_pb2_grpc")
        channel = tools.init_grpc_channel(f"[{host}]:{port}" if ":" in host else f"{host}:{port}")
        ping = messages.ClusterInfoRequest(type=messages.ClusterInfoType.PING)
        try:
            services.RayletDriverStub(channel).ClusterInfo(ping, timeout=REACH, wait_for_ready=True)
        except grpc.RpcError as error:
            if error.code() is grpc.StatusCode.UNAUTHENTICATED:
                raise ClusterError(f"{on} does not let us in ({error.details()})", TOKEN) from None
            raise ClusterError(
                f"what answers at {on} is no Ray cluster ({error.code().name.lower()})",
                "give the port of its client server, 10001 where it was started with: ray start --head",
            ) from None
        finally:
            channel.close()


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """Have Ray start without networks, and with a token: it reads the variables when it is imported, maybe before."""
    constants: Any = importlib.import_module("ray._private.ray_constants")
    before = getattr(constants, "ENABLE_RAY_CLUSTER", None)
    constants.ENABLE_RAY_CLUSTER = False
    with contextlib.suppress(ImportError, AttributeError):  # other versions may have these elsewhere
        inner: Any = importlib.import_module("ray._raylet")
        inner.Config.initialize("")
        inner.AuthenticationTokenLoader.instance().reset_cache()
    try:
        yield
    finally:
        constants.ENABLE_RAY_CLUSTER = before


def _begin(ray: Any, on: str, **how: Any) -> None:
    """Start or connect Ray, silently."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ray.init(log_to_driver=False, logging_level="ERROR", configure_logging=False, **how)
    except Exception as error:  # Ray's own are of many kinds
        text = " ".join(str(error).split())[:300]
        raise ClusterError(f"{on} cannot be used ({text})", "see whether it runs: ray status") from None
