"""Schemas of the requests, each field with its bounds. What the interface answers is described beside its routes."""

from __future__ import annotations

import dataclasses
import datetime
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, get_type_hints

from fastapi import Path, Query
from pydantic import AfterValidator, AliasChoices, BaseModel, ConfigDict, Field, create_model

from footage.errors import ConfigError, LibraryError
from footage.library.entries import Verdict
from footage.library.library import ClipSelection
from footage.library.query import SINGULAR, ClipQuery
from footage.media.geometry import Fit
from footage.media.narrator import LONGEST_TEXT
from footage.models.requests import PLAIN, SLIDER_LIMIT, GenerateRequest, Timing, VideoOptions

Id = Annotated[int, Field(ge=1, lt=2**63)]
"""Number of a clip, an album or a job."""
PathId = Annotated[int, Path(ge=1, lt=2**63)]
"""The same in an address."""
Seed = Annotated[int, Field(ge=0, lt=2**63)]
"""Seed of a generator; half of 64 bits, which is what the database holds."""
Name = Annotated[str, Field(max_length=200)]
"""Name, label or tag."""
Seconds = Annotated[float, Field(allow_inf_nan=False)]
"""Time since 1970, or length."""
SliderPosition = Annotated[float, Field(ge=-SLIDER_LIMIT, le=SLIDER_LIMIT)]
"""How far a latent slider is moved, in standard deviations."""
Sliders = Annotated[dict[Annotated[int, Field(ge=1, le=10_000)], SliderPosition], Field(max_length=200)]
"""Positions of latent sliders by their numbers."""
Label = Annotated[str, Field(max_length=500)]
Password = Annotated[str, Field(max_length=1000)]
RoleName = Literal["look", "rate", "make", "administer"]
Motion = Annotated[Timing, Field(validation_alias=AliasChoices("timing", "motion"))]
"""Mapping of a streaming model's video through time; `motion` is its old name."""
Text = Annotated[str, Field(max_length=2000)]
"""What a model is told to show."""
MOST_CHOSEN = 200_000
"""Clips that may be named one by one."""
PAGE = 60


class StrictForm(BaseModel):
    """Base of the schemas: fields that are not declared are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


QUERY_BOUNDS: dict[str, Any] = {
    "text": Annotated[str, Field(max_length=500)],
    "words": Annotated[str, Field(max_length=200)],
    "sort": Annotated[str, Field(max_length=100)],
    "motion": Annotated[float, Field(ge=0, le=1)] | None,
    "seed": Annotated[int, Field(ge=-(2**63), lt=2**63)] | None,
    "min_stars": Annotated[int, Field(ge=0, le=5)],
    "max_stars": Annotated[int, Field(ge=0, le=5)],
    "metrics": Annotated[list[Name], Field(max_length=20)],
}
"""Bounds of the fields of `ClipQuery` that are more, or other, than those of their types."""
TYPE_BOUNDS: dict[Any, Any] = {
    str | None: Name | None,
    int | None: Id | None,
    int | str | None: Annotated[Id | Name, Field(union_mode="left_to_right")] | None,
    float | None: Seconds | None,
    tuple[str, ...]: Annotated[list[Name], Field(max_length=50)],
}
"""Bounds of a field by its type; other types have none."""


PARAMETERS = {
    field.name: SINGULAR.get(field.name, field.name) for field in dataclasses.fields(ClipQuery) if field.name != "ids"
}
"""Names of the parameters of a request by the fields of `ClipQuery`; clips are named one by one in other ways."""


def query_fields() -> dict[str, Any]:
    """Return the fields of `ClipQuery` as those of a schema: type with bounds, and default."""
    types = get_type_hints(ClipQuery)
    fields: dict[str, Any] = {}
    for name, parameter in PARAMETERS.items():
        default = getattr(ClipQuery, name)
        bounded = QUERY_BOUNDS.get(name, TYPE_BOUNDS.get(types[name], types[name]))
        fields[parameter] = (bounded, list(default) if isinstance(default, tuple) else default)
    return fields


def read_day(text: str, *, behind: bool) -> str:
    """Return the time at which a day begins here, or ends, as seconds since 1970; what is no day stays as it is."""
    try:
        day = datetime.date.fromisoformat(text.strip()) + datetime.timedelta(days=behind)
        return str(time.mktime(day.timetuple()))
    except (ValueError, OverflowError):
        return text


class ClipQueryForm(create_model("QueryFields", __base__=StrictForm, **query_fields())):  # type: ignore[misc]
    """Query for clips: words, an order and filters. `metric` is NAME:LEAST:MOST; a bound may be empty."""

    def query(self) -> ClipQuery:
        """Return it as the library's query; refuse a metric that cannot be read, or a value that is not known."""
        values = self.model_dump(include=ClipQueryForm.model_fields.keys())
        return ClipQuery(**{name: values[parameter] for name, parameter in PARAMETERS.items()})

    @staticmethod
    def of(query: ClipQuery) -> ClipQueryForm:
        """Return the form of a query, such as a saved view's."""
        return ClipQueryForm(**{parameter: getattr(query, name) for name, parameter in PARAMETERS.items()})

    def parameters(self) -> list[tuple[str, str]]:
        """Return what is asked for as the parameters of an address; what has its default is left out."""
        parameters: list[tuple[str, str]] = []
        values = self.model_dump(exclude_defaults=True, exclude_none=True)
        if "like" in values or "words" in values:
            values["sort"] = self.sort
        for name, value in values.items():
            for item in value if isinstance(value, list) else [value]:
                parameters.append((name, str(item).lower() if isinstance(item, bool) else str(item)))
        return parameters

    @staticmethod
    def lenient(parameters: Sequence[tuple[str, str]]) -> ClipQueryForm:
        """Read an address that a person may have written: leave out empty and unknown parameters, refuse bad values."""
        values: dict[str, Any] = {}
        for name, value in parameters:
            field = ClipQueryForm.model_fields.get(name)
            if field is None or not value.strip():
                continue
            if name in ("since", "until"):
                value = read_day(value, behind=name == "until")
            if isinstance(field.default, list):
                values.setdefault(name, []).append(value)
            else:
                values[name] = value
        if ranked := [order for order, given in (("likeness", "like"), ("words", "words")) if given in values]:
            values.setdefault("sort", ranked[0])
        try:
            return ClipQueryForm(**values)
        except ValueError as error:
            problems: list[dict[str, Any]] = getattr(error, "errors", list)()
            lines = [f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}" for problem in problems]
            remedy = lines[0] if lines else "begin again from the library's page"
            raise LibraryError("the address holds a value that is not allowed", remedy) from None


class ClipPageForm(ClipQueryForm):
    """Query, and which page of it; or the numbers of clips."""

    cursor: str | None = None
    limit: int = PAGE
    ids: Annotated[list[Id], Query(max_length=1000)] = []  # noqa: RUF012 - a field's default


class ClipIdsForm(ClipQueryForm):
    """Query, and which of its clips: so many, of those that come after one."""

    after: Id | None = None
    limit: Annotated[int, Field(ge=1, lt=2**63)] | None = None


class SelectionForm(StrictForm):
    """Which clips are meant: their numbers, or all that a query finds."""

    ids: list[Id] | None = Field(default=None, max_length=MOST_CHOSEN)
    query: ClipQueryForm | None = None

    def chosen(self) -> ClipSelection:
        """Return it as the library takes it; refuse both numbers and query, and neither."""
        if (self.ids is None) == (self.query is None):
            raise LibraryError("no clip is chosen", "give ids, or a query")
        return self.ids if self.ids is not None else self.query.query()  # type: ignore[union-attr]


class RemovalForm(SelectionForm):
    """Which clips are to be removed."""

    edits: bool = False
    """Whether those that are one of them with effects go along."""


class ChangesForm(StrictForm):
    """New values of a clip; what is left out stays."""

    title: str | None = Field(default=None, max_length=1000)
    prompt: str | None = Field(default=None, max_length=20_000)
    label: Name | None = None
    stars: int | None = Field(default=None, ge=0, le=5)
    verdict: Verdict | None = None
    notes: str | None = Field(default=None, max_length=20_000)
    tags: list[Name] | None = Field(default=None, max_length=200)

    def values(self) -> dict[str, Any]:
        """Return what is to be changed. Of all fields, a label alone can be taken away with null."""
        values = self.model_dump(exclude_unset=True)
        return {name: value for name, value in values.items() if value is not None or name == "label"}


class BulkForm(SelectionForm):
    """Changes to many clips at once, which are undone in one step."""

    changes: ChangesForm = ChangesForm()
    tag: list[Name] = Field(default=[], max_length=50)
    untag: list[Name] = Field(default=[], max_length=50)


class AlbumForm(StrictForm):
    """Name and notes of an album."""

    name: Name
    notes: str = Field(default="", max_length=20_000)


class ExportForm(SelectionForm):
    """Clips to export, and the format: a zip file, a table, or an edit list for cutting programs."""

    format: Literal["zip", "csv", "json", "otio", "fcpxml", "xml", "edl"] = "zip"
    names: Literal["title", "digest"] = "title"
    fps: Annotated[float, Field(gt=0, le=1000)] | None = None


Followed = Annotated[str, Field(pattern=r"^([1-9]\d{0,17}|sound:[0-9a-f]{16})$")]
Reacting = Annotated[str, Field(max_length=500)]
Lock = Literal["1/2", "1", "2", "off"]


@dataclass(frozen=True, kw_only=True)
class GenerateForm(GenerateRequest):
    """Clips to generate, and what they are tagged with. Labels, seeds and sliders have the bounds of the interface."""

    model: Name
    tags: Annotated[tuple[Name, ...], Field(max_length=50)] = ()
    count: Annotated[int, Field(ge=1)] = 4
    fps: Annotated[float, Field(ge=1, le=240)] | None = None
    seed: Seed = 0
    to_seed: Seed | None = None
    between: tuple[Seed, Seed] | None = None
    label: Label | None = None
    to_label: Label | None = None
    text: Text | None = None
    to_text: Text | None = None
    sliders: Sliders | None = None
    timing: Motion = PLAIN
    audio: Followed | None = None
    """what the video follows: the number of a clip of the library with sound, or `sound:ID` for one that was sent"""
    react: Reacting | None = None
    bpm_lock: Lock | None = None
    novel: Literal["trained-on"] | None = None
    best: Annotated[int, Field(ge=1)] | None = None
    of: Annotated[int, Field(ge=1)] | None = None
    taste: Literal["library"] | None = None


LONGEST_FOLDER = 200
"""Bytes of the name of a folder; disks take 255, and a number may come behind."""


def check_folder(name: str) -> str:
    """Return a name of a folder; refuse one that disks do not take."""
    if (size := len(name.encode())) > LONGEST_FOLDER:
        raise ConfigError(f'"{name[:20]}…" has {size:,} bytes, more than {LONGEST_FOLDER:,}', "give a shorter name")
    return name


FolderName = Annotated[str, Field(pattern=r"^\w[\w .-]{0,99}$"), AfterValidator(check_folder)]
"""Name of a folder that is to be made."""
Knobs = Annotated[dict[Name, bool | int | Annotated[float, Field(allow_inf_nan=False)] | Name], Field(max_length=100)]
"""Options by their dotted names, such as `train.batch_size`."""
Device = Annotated[str, Field(pattern=r"^(auto|cpu|mps|cuda(:\d{1,3})?)$")]
"""What computes: one of GET /api/devices, or the best there is."""
SourcePath = Annotated[str, Field(min_length=1, max_length=4000)]


class IngestForm(StrictForm):
    """A data set to make, or to bring up to date: videos, and the options that are other than usual."""

    sources: list[SourcePath] = Field(min_length=1, max_length=1000)
    name: FolderName
    options: Knobs = {}
    into: Name | None = None
    """A data set that is there, wherever it lies, to bring up to date; None for one of this name."""
    advise: bool = True
    """Measure what a model could be trained from it."""


class PromisedFileForm(StrictForm):
    """A file that is to be sent; see `PromisedFile`."""

    path: SourcePath
    size: Annotated[int, Field(ge=0, lt=2**53)]
    modified: Annotated[int, Field(ge=0, lt=2**43)] = 0


class SendForm(StrictForm):
    """Files that are to be sent, to be ingested; `into` adds them to the folder of this name, whatever it holds."""

    name: FolderName
    files: list[PromisedFileForm] = Field(min_length=1, max_length=100_000)
    into: bool = False


class TrainForm(StrictForm):
    """A training to begin, or to go on with: a run that is there goes on with what is asked for now."""

    data: Name
    """Name of a data set, or of a built-in one."""
    run: FolderName
    preset: Name | None = None
    """None for one that suits the data."""
    knobs: Knobs = {}
    minutes: Annotated[float, Field(gt=0, le=1e6, allow_inf_nan=False)] | None = None
    """Over the whole life of the run."""
    clips: Annotated[int, Field(gt=0, le=10**12)] | None = None
    device: Device = "auto"
    begin_with: Name | None = None
    """Name of a model whose weights a new run begins with."""
    guide: Name | None = None
    """Name of the data set that a translator of pairs makes the clips of `data` from."""


class ContinueForm(StrictForm):
    """How a run goes on: to the end that it had, or for so much longer."""

    minutes: Annotated[float, Field(gt=0, le=1e6, allow_inf_nan=False)] | None = None
    """More minutes of training."""
    clips: Annotated[int, Field(gt=0, le=10**12)] | None = None
    """More clips to see."""
    device: Device | None = None
    """None for the one that it was trained on."""


class EvaluateForm(StrictForm):
    """One or two models, or data sets, to measure beside real clips."""

    made: list[Name] = Field(min_length=1, max_length=2)
    real: Name
    options: Knobs = {}


class InterpolateForm(StrictForm):
    """Clips that lie between two clips: by a VAE's latent space, or by the seeds of a model that streams."""

    model: Name
    a: Id
    b: Id
    steps: int = Field(default=5, ge=1, le=64)
    seconds: Annotated[float, Field(gt=0, le=600)] | None = None


class OfClipForm(StrictForm):
    """What is to be made of a clip, and how it is filed."""

    clip: Id
    tags: list[Name] = Field(default=[], max_length=50)


class PredictForm(OfClipForm):
    """Frames that are to follow a clip, in one or several ways."""

    model: Name
    frames: int | None = Field(default=None, ge=1)
    """None for as many as the model learned to make."""
    futures: int = Field(default=1, ge=1, le=16)
    seed: Seed = 0
    past: Literal["none", "model", "all"] = "model"
    """Which frames of the clip stand before them: those that the model looks at, or all, 2000 at most."""
    fit: Fit = "letterbox"
    text: Text | None = None
    """What happens, in words; None for what the clip alone says."""


class ConvertForm(OfClipForm):
    """A clip that is to be turned into another, or a picture into a clip."""

    model: Name
    frames: int | None = Field(default=None, ge=1)
    """Length of a clip that is made from a picture; None for the model's own."""
    futures: int = Field(default=1, ge=1, le=16)
    """How many are made, each from the next seed; of what follows from the clip alone, one."""
    seed: Seed = 0
    own_size: bool = False
    """Keep the clip's size instead of the model's."""
    as_is: bool = False
    """The clip already is what the model looks at, such as edges."""
    fit: Fit = "letterbox"
    text: Text | None = None
    """What the result shows, in words; None for what the clip alone says."""


class FigureForm(StrictForm):
    """A figure: the clip of the library whose first frame is its still, and the name that a script calls it by."""

    clip: Id
    name: Annotated[str, Field(max_length=50)] = ""


class TalkForm(StrictForm):
    """What figures say: a sound, a text, or a script whose lines name who speaks."""

    model: Name
    figures: list[FigureForm] = Field(min_length=1, max_length=4)
    audio: Followed | None = None
    """The number of a clip of the library with sound, or `sound:ID` for one that was sent."""
    text: Annotated[str, Field(max_length=LONGEST_TEXT)] | None = None
    script: Annotated[str, Field(max_length=20_000)] | None = None
    seed: Seed = 0
    begin: Annotated[float, Field(ge=0, le=86_400)] = 0.0
    """Seconds of the sound that are left out at its beginning."""
    fit: Fit = "crop"
    tags: list[Name] = Field(default=[], max_length=50)


class UpscaleForm(OfClipForm):
    """A clip that is to be made larger."""

    model: Name
    size: Annotated[str, Field(max_length=20)] | None = None
    """Such as 1280x720, 720p or 2x; None for as many times as large as the model makes it."""
    fit: Fit = "letterbox"


class TrimForm(OfClipForm):
    """A part of a clip: the numbers of its first frame and of its last, from 0 on."""

    first: int = Field(ge=0, lt=2**40)
    last: int = Field(ge=0, lt=2**40)


class JoinForm(StrictForm):
    """Clips that are to become one, one behind the other, at size and rate of the first."""

    clips: list[Id] = Field(min_length=2, max_length=200)
    tags: list[Name] = Field(default=[], max_length=50)
    fit: Fit = "letterbox"


@dataclass(frozen=True, kw_only=True)
class LiveForm(VideoOptions):
    """Values that a live stream has, or is to go over to; with sound it begins anew."""

    fps: Annotated[float, Field(ge=1, le=60)] | None = None
    seed: Seed = 0
    label: Label | None = None
    text: Text | None = None
    sliders: Sliders | None = None
    timing: Motion = PLAIN
    audio: Followed | None = None
    react: Reacting | None = None
    bpm_lock: Lock | None = None


@dataclass(frozen=True, kw_only=True)
class LiveStartForm(LiveForm):
    """Model that is to stream, and its first values."""

    model: Name


class PairForm(StrictForm):
    """Comparison that a blind pair is drawn for. Models are left out where it has begun."""

    campaign: Name
    models: list[Name] = Field(default=[], max_length=20)


class PreferenceForm(StrictForm):
    """Which of two clips is better, in one respect."""

    question: Literal["fidelity", "motion"]
    choice: Literal["a", "b", "tie"]
    rater: Name = ""


class EntryForm(StrictForm):
    """The token that the server showed when it started; or, where there are accounts, name and password."""

    token: str = Field(default="", max_length=200)
    name: Name = ""
    password: Password = ""


class NewcomerForm(StrictForm):
    """What an invitation is taken up with. Without a name where one's password is chosen anew."""

    invitation: str = Field(max_length=200)
    name: Name = ""
    password: Password


class PasswordForm(StrictForm):
    """Password, and another in its place."""

    old: Password
    new: Password


class TokenForm(StrictForm):
    """Token for programs to make: what it is called, and what it may do."""

    name: Name
    role: RoleName = "look"


class InvitationForm(StrictForm):
    """Invitation to make, for an account of a role."""

    role: RoleName = "look"


class AccountForm(StrictForm):
    """What is to be changed of an account; what is left out stays."""

    role: RoleName | None = None
    disabled: bool | None = None
