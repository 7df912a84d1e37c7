"""Interface to previews, names of sliders and presets of settings: what is chosen before a batch is made."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, cast

from fastapi import APIRouter, Depends, HTTPException, Path, Request
from fastapi.responses import Response
from pydantic import Field

from footage.config import to_json
from footage.errors import ConfigError
from footage.library.storage import ACTOR
from footage.machines.local import lower_priority
from footage.models.requests import read_sliders
from footage.studio.schemas import LiveForm, Name, Seed, Sliders, StrictForm
from footage.studio.state import BEHIND_PAGES, CurrentLibrary, Studio, or_404

PATIENCE = 60.0
"""Seconds after which a preview is given up, and its process ended: loading a large model takes most of them."""
FEW = 96
"""Pictures of one preview, at most."""

Weights = Annotated[str, Path(pattern=r"^[0-9a-f]{64}$")]
"""SHA-256 of a model's weights."""
PresetName = Annotated[str, Path(min_length=1, max_length=200)]


@dataclass(frozen=True, kw_only=True)
class PreviewVariant:
    """What one picture, or strip, of a preview has of its own."""

    seed: Seed
    sliders: Sliders | None = None
    """None for those of the request."""
    motion_seed: Seed | None = None
    """None for that of the request."""
    to_seed: Seed | None = None
    """Seed whose content it changes into on its way."""


@dataclass(frozen=True, kw_only=True)
class PreviewForm(LiveForm):
    """A grid of previews: what they have in common, and a row for each variant."""

    model: Name
    variants: Annotated[tuple[PreviewVariant, ...], Field(min_length=1, max_length=FEW)]
    frames: Annotated[int, Field(ge=1, le=8)] = 1
    """Pictures of each."""
    length: Annotated[int, Field(ge=1)] | None = None
    """Frames of the clips that are previewed."""
    place: Name = ""
    """Where it is shown: of several that are asked for there, only the last is made."""


class PresetForm(StrictForm):
    """Settings to keep under a name: the fields of the page, as its address holds them."""

    values: dict[Name, Annotated[str, Field(max_length=2000)]] = Field(max_length=60)


class SliderForm(StrictForm):
    """What a latent slider is called."""

    number: int = Field(ge=1, le=10_000)
    name: Annotated[str, Field(max_length=80)]
    """Empty for its number again."""


class AskedProcess:
    """A process of ours that is asked one thing at a time, and started anew where it ended.

    Args:
        module: what it runs; it answers a line of JSON with a line of JSON, and as many bytes as that says.
        patience: seconds after which an answer is given up, and the process ended.
        impatient: the error then, or where it dies.
    """

    def __init__(self, module: str, patience: float, impatient: ConfigError) -> None:
        self._module, self._patience, self._impatient = module, patience, impatient
        self._process: asyncio.subprocess.Process | None = None
        self._turn = asyncio.Lock()
        self._over = False

    async def ask(
        self, question: dict[str, Any], check: Callable[[], object] = lambda: None
    ) -> tuple[dict[str, Any], bytes]:
        """Return what is said to a question, and the bytes behind it; `check` may refuse when its turn has come.

        Raises:
            ConfigError: it cannot be answered, or takes too long.
        """
        async with self._turn:
            check()
            if self._over:
                raise self._impatient
            try:
                async with asyncio.timeout(self._patience):
                    if self._process is None or self._process.returncode is not None:
                        pipe = asyncio.subprocess.PIPE
                        self._process = await asyncio.create_subprocess_exec(
                            *(sys.executable, "-m", self._module), stdin=pipe, stdout=pipe, start_new_session=True
                        )
                        lower_priority(self._process.pid, BEHIND_PAGES)
                    if self._over:
                        raise ConnectionError
                    reader, writer = self._process.stdout, self._process.stdin
                    assert reader is not None and writer is not None
                    writer.write(json.dumps(question).encode() + b"\n")
                    await writer.drain()
                    said: dict[str, Any] = json.loads(await reader.readline())
                    content = await reader.readexactly(said["bytes"])
            except (
                TimeoutError,
                ConnectionError,
                ValueError,
                asyncio.IncompleteReadError,
                asyncio.CancelledError,
            ) as error:
                await self._discard()  # what it still says would be taken for the next answer
                if isinstance(error, asyncio.CancelledError):
                    raise
                raise self._impatient from None
        if "problem" in said:
            raise ConfigError(said["problem"], said["remedy"])
        return said, content

    async def _discard(self) -> None:
        """End the process; the next question starts another."""
        process, self._process = self._process, None
        if process is not None and process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    async def close(self) -> None:
        """End the process for good: whoever waits for an answer gets an error, and so does whoever asks later."""
        self._over = True
        await self._discard()


class PreviewProcess(AskedProcess):
    """Asks `footage.studio.preview_process`."""

    def __init__(self, studio: Studio) -> None:
        impatient = ConfigError("the preview could not be made", "choose a smaller model, or try again")
        super().__init__("footage.studio.preview_process", PATIENCE, impatient)
        self._studio = studio
        self._latest: dict[str, object] = {}

    async def make(self, form: PreviewForm) -> tuple[dict[str, Any], bytes]:
        """Return what is said of a preview, and its picture.

        Raises:
            ConfigError: the model does not know what is asked for, or takes too long.
            HTTPException: 409, where something else was asked for at the same place meanwhile.
        """
        entry = await asyncio.to_thread(self._studio.catalog.usable_model, form.model, "generate")
        for variant in form.variants:
            read_sliders(variant.sliders or form.sliders or {}, entry.sliders, entry.name)
        asked = {name: value for name, value in to_json(form).items() if name not in ("model", "place")}
        own = {"variants": asked.pop("variants"), "frames": asked.pop("frames"), "length": asked.pop("length")}
        for variant in own["variants"]:
            for name in [name for name, value in variant.items() if value is None]:
                del variant[name]
        folder = str(self._studio.catalog.model(form.model))
        place = f"{ACTOR.get().name} {form.place}"  # that of each account is another
        mine = self._latest[place] = object()

        def check() -> None:
            if self._latest.get(place) is not mine:
                raise HTTPException(409, "something else was asked for meanwhile")

        try:
            return await self.ask({"folder": folder, "options": asked, **own}, check)
        finally:
            if self._latest.get(place) is mine:
                del self._latest[place]


async def current_previews(request: Request) -> PreviewProcess:
    return cast(PreviewProcess, request.app.state.previews)


router = APIRouter(prefix="/api", tags=["previews"])


@router.post("/previews", response_class=Response)
async def make_preview(form: PreviewForm, previews: Annotated[PreviewProcess, Depends(current_previews)]) -> Response:
    """Return small pictures of clips before they are made: a WebP with a row for each variant.

    The header X-Preview says how many rows and columns there are; a slow model has fewer rows, or a single column.
    """
    if len(form.variants) * form.frames > FEW:
        raise ConfigError(f"{len(form.variants) * form.frames} pictures are asked for", f"give at most {FEW}")
    said, content = await previews.make(form)
    headers = {"x-preview": f"{said['rows']} {said['columns']} {said['seconds']}", "cache-control": "no-store"}
    return Response(content, media_type="image/webp", headers=headers)


@router.get("/presets")
def list_presets(library: CurrentLibrary) -> dict[str, dict[str, str]]:
    """Return the presets of settings by their names."""
    return library.presets.all()


@router.put("/presets/{name}")
def save_preset(name: PresetName, form: PresetForm, library: CurrentLibrary) -> dict[str, dict[str, str]]:
    """Keep settings under a name, in place of what was kept there before; return all presets."""
    library.presets.save(name, form.values)
    return library.presets.all()


@router.delete("/presets/{name}")
def delete_preset(name: PresetName, library: CurrentLibrary) -> dict[str, dict[str, str]]:
    """Forget a preset; return those that are left."""
    or_404(lambda: library.presets.delete(name))
    return library.presets.all()


@router.get("/sliders/{weights}")
def list_slider_names(weights: Weights, library: CurrentLibrary) -> dict[int, str]:
    """Return what somebody has called the latent sliders of a model, by their numbers."""
    return library.presets.slider_names(weights)


@router.put("/sliders/{weights}")
def name_slider(weights: Weights, form: SliderForm, library: CurrentLibrary) -> dict[int, str]:
    """Call a latent slider something; return all names."""
    library.presets.name_slider(weights, form.number, form.name)
    return library.presets.slider_names(weights)
