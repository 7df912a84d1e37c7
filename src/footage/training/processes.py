"""Training on several processes and machines: started by torchrun's engine, agreed on in each step, and never silent.

Rank 0 owns folder, budget, sheets and messages; what it decides is told to the others in one small reduction a step, on
the CPU. Each rank shows in the store of the rendezvous that it lives and how far it is: so where one is gone or late,
the others can say which one, on which machine.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NoReturn

import psutil
import torch
import torch.distributed as dist
from lightning_fabric import Fabric
from lightning_fabric.strategies.ddp import DDPStrategy
from torch.distributed import PrefixStore, TCPStore  # type: ignore[attr-defined]

import footage
from footage.config import LaunchConfig
from footage.errors import TrainingError
from footage.machines.local import cores
from footage.models.checkpoint import read_state

if TYPE_CHECKING:
    from torch.distributed.launcher.api import LaunchConfig as EngineConfig

BEAT = 1.0
"""Seconds between two signs of life of a rank."""
LATE = 120.0
"""Seconds of waiting after which a rank says for whom."""
GONE = 4.0
"""Seconds without a sign of life after which a rank is gone, once a message to it has failed."""
PATIENCE = timedelta(hours=2)
"""How long a rank waits for others at most: sheets and measurements of rank 0 take their time."""
STANDS = "what was saved last stands"
"""What is said of the run where a process ends at once."""
LAST_WORDS = 60
"""Seconds that a process which is told to end has to save, before it is ended."""
PARENT = "FOOTAGE_PARENT"
"""Variable in which `launch` leaves the number of its own process, for those that it starts."""
SILENT = 8.0
"""Seconds without a sign of life after which a rank is gone where GPUs are: their messages wait for ever."""


def engine_config(how: LaunchConfig) -> EngineConfig:
    """Return what torchrun's engine is told: how many processes, where they meet, and how they are ended."""
    from torch.distributed.launcher.api import LaunchConfig as EngineConfig

    knobs: dict[str, Any] = dict(
        min_nodes=how.nodes,
        max_nodes=how.nodes,
        nproc_per_node=how.devices,
        run_id="footage",
        rdzv_backend="c10d",
        rdzv_endpoint=how.rendezvous or "localhost:0",
        rdzv_configs={"rank": how.node_rank, "is_host": how.node_rank == 0},
        max_restarts=how.restarts,
        monitor_interval=0.2,
        shutdown_timeout=LAST_WORDS,
        signals_to_handle="SIGTERM,SIGHUP,SIGQUIT",
    )
    known = {knob.name for knob in fields(EngineConfig)}  # the last two are of newer versions of torch
    return EngineConfig(**{name: value for name, value in knobs.items() if name in known})


def launch(how: LaunchConfig, arguments: Sequence[str]) -> bool:
    """Start `footage` with these arguments in every process of this machine, and wait for them.

    Returns:
        Whether they were stopped by the user.

    Raises:
        TrainingError: a process has failed; which one, and on which machine. Or the machines have not met, and why.
    """
    assert how.devices != "auto", "the number is chosen before"
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.elastic.rendezvous import RendezvousConnectionError, RendezvousError
    from torch.distributed.launcher.api import elastic_launch

    os.environ[PARENT] = str(os.getpid())
    if "OMP_NUM_THREADS" not in os.environ:
        os.environ["OMP_NUM_THREADS"] = str(max(1, cores() // how.devices))
    config = engine_config(how)
    stopped = False

    def stop(number: int, frame: object) -> None:
        """Pass Ctrl-C on, which a terminal gives to all and a program to this one only; the processes save and end."""
        nonlocal stopped
        stopped = True
        for child in psutil.Process().children(recursive=True):
            with contextlib.suppress(psutil.Error):
                child.send_signal(signal.SIGINT)

    before = signal.signal(signal.SIGINT, stop) if threading.current_thread() is threading.main_thread() else None
    try:
        elastic_launch(config, sys.executable)("-m", "footage", *arguments)
    except ChildFailedError as error:
        rank, failure = error.get_first_failure()
        died, said = failure.exitcode < 0, failure.exitcode == 2
        reason = f"was ended by {signal.Signals(-failure.exitcode).name}" if died else f"failed ({failure.exitcode})"
        message = f"process {rank} of the training, on {socket.gethostname()}, {reason}"
        remedy = "run the same command again: it goes on from the last save"
        raise TrainingError(message, f"put right what is said above, then {remedy}" if said else remedy) from None
    except RendezvousError as error:
        reason = str(error.__cause__ or error)[-160:].strip() or type(error).__name__
        if how.node_rank == 0 and isinstance(error, RendezvousConnectionError):
            raise TrainingError(
                f"this machine cannot listen at rendezvous {how.rendezvous} ({reason})",
                "give a port that is free and open, the same on every machine",
            ) from None
        raise TrainingError(
            f"the {how.nodes} machines have not met at rendezvous {how.rendezvous} ({reason})",
            "start the same command on each within ten minutes, machine 0 with --node-rank 0; its port has to be open",
        ) from None
    finally:
        os.environ.pop(PARENT, None)
        if before is not None:
            signal.signal(signal.SIGINT, before)
    return stopped


@dataclass
class Processes:
    """The processes of a training, seen from one of them; a single one agrees with itself."""

    rank: int = 0
    world: int = 1
    local_world: int = 1
    """Processes on this machine."""
    sharded: bool = False
    """Whether each keeps a part of the networks only."""
    step: int = 0
    """How often this one has agreed with the others."""
    hosts: dict[int, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._store: Any = None
        self._group: Any = None
        self._waiting_since = 0.0
        self._ended = threading.Event()
        self._signs = threading.Thread(target=self._live, name="signs of life", daemon=True)
        self.has_told = False

    @property
    def leads(self) -> bool:
        """Whether this process owns folder, budget and messages."""
        return self.rank == 0

    @classmethod
    def join(cls, strategy: Literal["ddp", "fsdp"] = "ddp") -> Processes:
        """Return this process's place among those that torchrun has started; a single one where it has not.

        It meets the others and begins to show signs of life; it ends with the command that has started it.
        """
        if "TORCHELASTIC_RUN_ID" not in os.environ or int(os.environ["WORLD_SIZE"]) == 1:
            return cls()
        rank, world, local_world = (int(os.environ[name]) for name in ("RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE"))
        mine = cls(rank, world, local_world, strategy == "fsdp")
        parent = int(os.environ.get(PARENT, os.getppid()))
        threading.Thread(target=mine._end_with, args=(parent,), name="parent", daemon=True).start()
        agents = os.environ.get("TORCHELASTIC_USE_AGENT_STORE", "False") == "True"
        address, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
        store = TCPStore(address, port, mine.world, is_master=mine.leads and not agents, timeout=PATIENCE)
        attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
        mine._store = PrefixStore(f"footage/{attempt}", store)
        mine._beat(0)
        lives = mine.lives()
        mine.hosts = {rank: life["host"] for rank, life in lives.items()}
        versions = {rank: life.get("versions", "other versions") for rank, life in lives.items()}
        others = [f"{mine.name(rank)} has {has}" for rank, has in versions.items() if has != versions[0]]
        if others:
            problem = f"{mine.name(0)} has {versions[0]}, {', '.join(others)}"
            mine.refuse(problem, "install the same versions of footage and torch on every machine")
        mine._signs.start()
        backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
        dist.init_process_group(
            backend, store=PrefixStore("group", mine._store), rank=mine.rank, world_size=mine.world,
            timeout=PATIENCE,
        )  # fmt: skip
        mine._group = dist.new_group(backend="gloo", timeout=PATIENCE)
        return mine

    def _beat(self, number: int) -> None:
        life = {"beat": number, "step": self.step, "host": socket.gethostname(), "process": os.getpid()}
        life["versions"] = f"footage {footage.__version__} and torch {torch.__version__}"
        self._store.set(f"life/{self.rank}", json.dumps(life))

    def lives(self) -> dict[int, dict[str, Any]]:
        """Return the last sign of life of each rank: a number that grows, the steps, the host, the process."""
        return {rank: json.loads(self._store.get(f"life/{rank}")) for rank in range(self.world)}

    def _end_with(self, parent: int) -> None:
        """End this process where its parent has ended without a word: nobody else would tell it to."""
        while not self._ended.wait(BEAT):
            if os.getppid() != parent:
                with contextlib.suppress(OSError):
                    gone = "the command that has started it is gone"
                    print(f"rank {self.rank}: {gone}, run it again: {STANDS}", file=sys.stderr, flush=True)
                os._exit(1)

    def _live(self) -> None:
        """Show signs of life, and say for whom this rank waits where it waits for long."""
        number, told, heard = 0, 0.0, dict[int, tuple[int, float]]()
        while not self._ended.wait(BEAT):
            number += 1
            try:
                self._beat(number)
                if torch.cuda.is_available():
                    now = time.monotonic()
                    for rank, life in self.lives().items():
                        if heard.get(rank, (-1, 0.0))[0] != life["beat"]:
                            heard[rank] = (life["beat"], now)
                    if any(now - when > SILENT for _, when in heard.values()):
                        self.fail(RuntimeError("no sign of life"))
                since = self._waiting_since
                if since and since != told and time.monotonic() - since > LATE:
                    told = since
                    behind = [rank for rank, life in self.lives().items() if life["step"] < self.step]
                    names = ", ".join(self.name(rank) for rank in behind) or "a rank that does not answer"
                    print(f"rank {self.rank} has waited for {LATE:g} s, for {names}", file=sys.stderr, flush=True)
            except Exception:  # the store is gone with its host: the next message to the others will tell
                return

    def name(self, rank: int) -> str:
        return f"rank {rank} on {self.hosts.get(rank, 'an unknown machine')}"

    def fabric(self, device: str) -> Fabric:
        """Return the engine of a training on these processes."""
        accelerator = "gpu" if device == "cuda" else device
        if self.world == 1:
            return Fabric(accelerator=accelerator, devices=1)
        strategy = DDPStrategy(process_group_backend="nccl" if device == "cuda" else "gloo", timeout=PATIENCE)
        fabric = Fabric(
            accelerator=accelerator,
            devices=self.local_world,
            num_nodes=self.world // self.local_world,
            strategy=strategy,
        )
        fabric.launch()
        # What matters there is said of single rows of weights, whose strides are of no consequence.
        warnings.filterwarnings("ignore", "Grad strides do not match bucket view strides")
        warnings.filterwarnings("ignore", "FSDP2-wrapped module .* returned a view tensor")  # nothing changes it there
        return fabric

    def most(self, *values: float) -> list[float]:
        """Return the largest of each value over all processes."""
        if self.world == 1:
            return list(values)
        agreed = torch.tensor(values, dtype=torch.float64)
        with _Waiting(self):
            dist.all_reduce(agreed, dist.ReduceOp.MAX, group=self._group)
        return [float(value) for value in agreed]

    def mean(self, figures: Mapping[str, float]) -> dict[str, float]:
        """Return the means of figures, the same in each process, over all of them; not finite where one is not."""
        if self.world == 1:
            return dict(figures)
        total = torch.tensor(list(figures.values()), dtype=torch.float64)
        with _Waiting(self):
            dist.all_reduce(total, group=self._group)
        return dict(zip(figures, (total / self.world).tolist(), strict=True))

    def told(self, value: Any) -> Any:
        """Return what rank 0 says, in every process: plain values and tensors."""
        self.has_told = True
        if self.world == 1:
            return value
        parcel = [value if self.leads else None]
        with _Waiting(self):
            dist.broadcast_object_list(parcel, src=0, group=self._group)
        return parcel[0]

    def begin(self, fault: str = "") -> None:
        """Wait until all are ready to train; what hinders this process is its `fault`.

        Raises:
            TrainingError: one of them cannot begin; which one, on which machine, and why.
        """
        if self.world == 1:
            return
        faults = [""] * self.world
        with _Waiting(self):
            dist.all_gather_object(faults, fault, group=self._group)
        hindered = [f"{self.name(rank)} cannot begin: {text}" for rank, text in enumerate(faults) if text]
        if hindered:
            self.refuse("; ".join(hindered), "every machine needs the same data at the same place")

    def refuse(self, problem: str, remedy: str) -> NoReturn:
        """End a training that cannot begin, here as in every other process; one of each machine says why."""
        if self.rank % self.local_world == 0:
            raise TrainingError(problem, remedy)
        sys.exit(2)

    def fail(self, error: Exception) -> NoReturn:
        """End this process where a message to the others has failed, and say who is gone."""
        try:  # whose signs of life have ended?
            before = self.lives()
            time.sleep(GONE)
            missing = [rank for rank, life in self.lives().items() if life["beat"] == before[rank]["beat"]]
        except Exception:  # the store is gone with its rank
            missing = [0]
        self._ended.set()
        who = ", ".join(self.name(rank) for rank in missing) or "another rank"
        says = f"rank {self.rank}: {who} is gone ({str(error).splitlines()[0][:120]})"
        print(f"{says}; run the same command again: {STANDS}", file=sys.stderr, flush=True)
        os._exit(1)  # no other rank can be asked to end: destructors would wait for them

    @contextlib.contextmanager
    def led(self) -> Iterator[None]:
        """Part from the others at the end; where the first process ends before it has told them anything, tell them."""
        try:
            yield
        finally:
            if self.leads and not self.has_told:
                self.told(None)
            self._ended.set()
            if self._signs.ident is not None:
                self._signs.join(GONE)  # an interpreter that ends within its message to the store aborts
            if self.world > 1 and dist.is_initialized():
                dist.destroy_process_group()


class _Waiting:
    """Notes since when a rank waits for the others; a failure ends it."""

    def __init__(self, processes: Processes) -> None:
        self.processes = processes

    def __enter__(self) -> None:
        self.processes.step += 1
        self.processes._waiting_since = time.monotonic()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        self.processes._waiting_since = 0.0
        if isinstance(error, RuntimeError):
            self.processes.fail(error)


TRIAL = 0.2
"""Minutes that each trial of a number of processes trains."""


def trial_rates(arguments: Sequence[str], say: Callable[[str], None]) -> dict[int, float]:
    """Return the clips a second of one process and of two, each tried for a short time with `arguments` of the command.

    They share the cores, where no threads are given. What cannot be tried is left out, and said.
    """
    rates: dict[int, float] = {}
    for count in (1, 2):
        with tempfile.TemporaryDirectory() as name:
            run = Path(name) / "run"
            words = ["--out", str(run), "--minutes", str(TRIAL), "--train.sample-minutes", "0", "--quiet"]
            environment = {**os.environ, "OMP_NUM_THREADS": str(cores() // count)}
            line = [sys.executable, "-m", "footage", *arguments, *words, "--devices", str(count)]
            outcome = subprocess.run(line, env=environment, capture_output=True, text=True)
            state = run / "state" / "last.pt"
            if outcome.returncode or not state.exists():
                last = (outcome.stderr.strip().splitlines() or ["nothing was said"])[-1]
                say(f"devices  {count} cannot be tried: {last}")
                continue
            progress = read_state(state)["progress"]
            rates[count] = progress["clips_seen"] / progress["seconds"]
    return rates


def measured_devices(arguments: Sequence[str], say: Callable[[str], None]) -> int:
    """Return how many processes are to train on this machine: one for each GPU; on a CPU one or two.

    On a CPU both are tried for a short time, with `arguments` of the command line, and the faster one is taken.
    """
    if torch.cuda.is_available():
        return torch.cuda.device_count()
    if cores() < 2:
        return 1
    rates = trial_rates(arguments, say)
    best = max(rates, key=rates.__getitem__, default=1)
    tried = ", ".join(f"{count}: {rate:.1f} clips/s" for count, rate in rates.items())
    say(f"devices  {best}, tried for {TRIAL * 60:g} s each ({tried or 'none could be'})")
    return best
