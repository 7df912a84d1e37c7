"""How much anybody may ask of the server."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """The bounds of one server."""

    body: int = 4 * 2**20
    """Bytes of a request that is no upload."""
    upload: int = 2 * 2**30
    """Bytes of an upload."""
    unpacked: int = 16 * 2**30
    """Bytes that an uploaded zip file may unpack to."""
    check_seconds: int = 120
    """Time in which an upload must have been decoded."""
    check_memory: int = 3 * 2**30
    """Bytes of memory that decoding an upload may take."""
    queue: int = 50
    """Jobs that may wait and run."""
    job_clips: int = 1000
    """Clips of one job."""
    job_frames: int = 200_000
    """Frames of one job, over all its clips."""
    streams: int = 4
    """Models that stream at the same time."""
    changes: float = 50.0
    """Requests a second that change something, for one client, in the long run."""
    burst: int = 400
    """How many of them may come at once."""
    pairs: int = 2000
    """Blind pairs that wait for an answer."""
    exports: int = 20
    """Exports that are kept to be fetched."""
    tries: int = 10
    """Wrong tokens in a minute after which none is looked at."""
