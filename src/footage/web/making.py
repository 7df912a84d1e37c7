"""The interface to models and jobs: what can be made, what is being made."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query

from footage.errors import ConfigError
from footage.library.jobs import BackgroundJob, State
from footage.models.requests import read_sliders
from footage.web.asking import Between, Generate, Place
from footage.web.shelf import ModelEntry
from footage.web.studio import Studio, found


class Making:
    """The endpoints about models and jobs."""

    def __init__(self, studio: Studio) -> None:
        self._studio, self._jobs = studio, studio.library.jobs

    def models(self) -> list[ModelEntry]:
        """Return the models that can be used."""
        return self._studio.shelf.models()

    def jobs(
        self, state: State | None = None, limit: Annotated[int, Query(ge=1, le=1000)] = 100
    ) -> list[BackgroundJob]:
        """Return the jobs, the newest first."""
        self._studio.workshop.tend()
        return self._jobs.all(state, limit)

    def job(self, job: Place) -> BackgroundJob:
        """Return a job."""
        return found(lambda: self._jobs.get(job))

    def generate(self, asked: Generate) -> BackgroundJob:
        """Queue clips to be generated; they are filed in the library."""
        model, limits = self.named(asked.model, "generate"), self._studio.limits
        read_sliders(asked.sliders, model.sliders, model.name)  # complains now
        frames = model.frames if asked.seconds is None else round(asked.seconds * model.fps)
        frames = round(max(frames, frames * (asked.motion.slow or 1.0)))
        if asked.count > limits.job_clips:
            raise ConfigError(f"count is {asked.count}", f"give at most {limits.job_clips}")
        if asked.count * max(1, frames) > limits.job_frames:
            raise ConfigError(
                f"{asked.count * frames:,} frames are asked for", f"give fewer or shorter clips: {limits.job_frames:,}"
            )
        return self._queue("generate", asked.model_dump())

    def between(self, asked: Between) -> BackgroundJob:
        """Queue clips that lie between two clips of the library."""
        model = self.named(asked.model, "generate")
        ends = [self._studio.entry(clip) for clip in (asked.a, asked.b)]
        seeded = all(entry.weights == model.weights and entry.seed is not None for entry in ends)
        if "interpolate" not in model.verbs and not (model.streams and seeded):
            raise ConfigError(
                f"{asked.model} has no way between these clips", "choose a VAE, or the stream model that made both"
            )
        if "interpolate" in model.verbs:
            return self._queue("between", asked.model_dump())
        return self._queue("between", {**asked.model_dump(), "seconds": asked.seconds or 4.0})

    def verify(self) -> BackgroundJob:
        """Queue a comparison of the library's tables with its files; what can be repaired is."""
        return self._queue("verify", {})

    def cancel(self, job: Place) -> BackgroundJob:
        """Give a job up: at once while it waits, else when its worker hears of it."""
        found(lambda: self._jobs.get(job))
        return self._jobs.cancel(job)

    def clear(self) -> dict[str, int]:
        """Forget the jobs that have ended."""
        return {"cleared": self._jobs.clear()}

    def named(self, name: str, verb: str) -> ModelEntry:
        """Return a model by its name.

        Raises:
            ConfigError: there is none that can do this.
        """
        for entry in self._studio.shelf.models():
            if entry.name == name:
                if verb not in entry.verbs:
                    raise ConfigError(f"{name} cannot {verb}", f"it can {', '.join(entry.verbs)}")
                return entry
        raise ConfigError(f'there is no model "{name}"', "see GET /api/models")

    def _queue(self, kind: str, request: dict[str, Any]) -> BackgroundJob:
        job = self._jobs.submit(kind, request, self._studio.limits.queue)
        self._studio.workshop.wake()
        return job

    def routes(self) -> APIRouter:
        """Return the table of the endpoints."""
        router = APIRouter(prefix="/api", tags=["models and jobs"])
        for method, path, endpoint in (
            ("GET", "/models", self.models),
            ("GET", "/jobs", self.jobs),
            ("POST", "/jobs/generate", self.generate),
            ("POST", "/jobs/between", self.between),
            ("POST", "/jobs/verify", self.verify),
            ("POST", "/jobs/clear", self.clear),
            ("GET", "/jobs/{job}", self.job),
            ("POST", "/jobs/{job}/cancel", self.cancel),
        ):
            router.add_api_route(path, endpoint, methods=[method])
        return router
