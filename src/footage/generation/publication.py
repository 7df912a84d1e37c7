"""Models on the Hugging Face Hub: a model folder with a card, put to a repository and fetched from one.

A repository holds what a model folder holds: `model.json`, the weights as safetensors, and `README.md`, whose head, as
YAML, is read by the Hub. What is fetched stands in `hub.json`, with the commit that it was at.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from footage import __version__, files
from footage.errors import ConfigError, ModelError, RemoteError
from footage.files import locked
from footage.models.card import ModelInfo, read_info, readme, weights_path
from footage.models.checkpoint import load_model

REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", re.ASCII)
FORMAT = 1
"""Version of hub.json."""
EXTRA = "pip install 'footage[hub]'"
TASKS = {"predict": "video-to-video", "translate": "video-to-video", "upscale": "video-to-video"}
"""What the Hub calls what a model does, by its first verb."""


@dataclass(frozen=True)
class PublishedFigure:
    """A figure that was measured, as the head of a model's card has it."""

    name: str
    value: float
    data: str
    """What it was measured beside."""
    note: str = ""


@dataclass(frozen=True)
class HubModel:
    """A model in a repository, at one commit."""

    repository: str
    revision: str
    """The commit, 40 digits."""
    weights_sha256: str
    """Of the weights that lie beside `hub.json`; empty while they are put there."""
    private: bool
    """Whether others do not see it."""
    format: int = FORMAT


def push_model(
    folder: Path,
    repository: str,
    licence: str,
    statement: str,
    figures: Sequence[PublishedFigure],
    public: bool = False,
) -> HubModel:
    """Put a model folder to a repository of the Hub, which is made where there is none, and private.

    Args:
        folder: the model folder.
        repository: `OWNER/NAME`.
        licence: of the weights, by the Hub's word for it, such as `apache-2.0` or `other`.
        statement: what it was trained on, and by what right.
        figures: what was measured of it.
        public: whether everybody may see it.

    Raises:
        ConfigError: the repository's name is none, or licence or statement are missing.
        ModelError: the model is damaged or locked.
        RemoteError: the Hub cannot be reached, or refuses; or the repository is public, and this was not asked for.
    """
    _check_name(repository)
    if not re.fullmatch(r"[a-z0-9][a-z0-9.+-]*", licence):
        remedy = "give --licence with the Hub's word for it, such as apache-2.0, cc-by-4.0 or other"
        raise ConfigError(f'licence is "{licence}"', remedy)
    if not statement.strip():
        raise ConfigError("nothing says what the model was trained on", 'give --data "my own videos", say')
    if locked.folder_of(folder) is not None:
        raise ModelError(f'"{folder}" is locked', "unlock a copy of it first: nobody could read it there")
    load_model(folder)  # every hash, name and shape
    info = read_info(folder)
    card = model_card(info, repository, licence, statement, figures)
    with _told(repository) as api:
        import huggingface_hub as hub

        api.create_repo(repository, private=not public, exist_ok=True)
        private = bool(api.model_info(repository).private)
        if not private and not public:
            raise RemoteError(f"{repository} is there and public", "give --public, or another name")
        contents = {
            "model.json": folder / "model.json",
            info.weights: weights_path(folder, info),
            "README.md": card.encode(),
        }
        operations = [
            hub.CommitOperationAdd(name, content if isinstance(content, bytes) else str(content))
            for name, content in contents.items()
        ]
        told = api.create_commit(repository, operations, commit_message=f"{info.name}, by footage {__version__}")
        if private and public:  # it was there
            api.update_repo_settings(repository, private=False)
            private = False
    return HubModel(repository, told.oid, info.weights_sha256, private)


def pull_model(repository: str, folder: Path, revision: str | None = None) -> HubModel:
    """Fetch a model from a repository of the Hub into a folder, at one commit, which is noted there.

    Without a revision, a folder that it was fetched into before stays at its commit. Only JSON, text and safetensors
    are fetched, and every hash, name and shape is checked before anything is put into the folder.

    Args:
        repository: `OWNER/NAME`.
        folder: a new or empty folder, or one that was fetched into before.
        revision: a commit, a branch or a tag; None for the one before, else `main`.

    Raises:
        ConfigError: the name is none, or the folder holds something else.
        ModelError: what is there is no model, or damaged; or the folder is locked.
        RemoteError: the Hub cannot be reached, or has no such model.
    """
    _check_name(repository)
    if locked.folder_of(folder) is not None:
        raise ModelError(f'"{folder}" is locked, and what is fetched is not', "give a folder outside of it")
    before = read_origin(folder)
    taken = folder.is_dir() and any(files.PARTIAL not in path.name for path in folder.iterdir())
    if before is None and (taken or folder.is_file()):
        raise ConfigError(f'"{folder}" holds something else', "give a new or empty folder")
    if before is not None and before.repository != repository:
        raise ConfigError(f'"{folder}" holds {before.repository}', "give a new or empty folder")
    if before is not None and revision in (None, before.revision):
        if before.weights_sha256 and read_info(folder).weights_sha256 == before.weights_sha256:
            load_model(folder)
            return before
        revision = before.revision  # a fetch of it was stopped while it was put there
    with _told(repository) as api:
        about = api.model_info(repository, revision=revision or "main")
        commit = str(about.sha)
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as scratch:

            def fetch(name: str) -> None:
                import huggingface_hub as hub

                hub.hf_hub_download(repository, name, revision=commit, local_dir=scratch, endpoint=api.endpoint)

            for name in ("model.json", "README.md"):
                fetch(name)
            info = read_info(scratch)
            if Path(info.weights).name != info.weights or Path(info.weights).suffix != ".safetensors":
                raise ModelError(f'{repository} names the weights "{info.weights}"', "fetch another model")
            fetch(info.weights)
            load_model(scratch)
            found = HubModel(repository, commit, info.weights_sha256, bool(about.private))
            folder.mkdir(exist_ok=True)
            files.write_json(folder / "hub.json", asdict(replace(found, weights_sha256="")))
            old = {path.name for path in folder.glob("weights*.safetensors")} - {info.weights}
            for name in (info.weights, "README.md", "model.json"):  # at every moment model.json names what is there
                os.replace(Path(scratch) / name, folder / name)
            files.write_json(folder / "hub.json", asdict(found))
            for name in old:
                (folder / name).unlink()
    return found


def read_origin(folder: Path) -> HubModel | None:
    """Return where a model folder was fetched from; None where it was not.

    Raises:
        ModelError: what it says of that is damaged, or of a newer version.
    """
    path = folder / "hub.json"
    if not path.is_file():
        return None
    try:
        value = json.loads(files.read_bytes(path))
        files.refuse_newer(value["format"], FORMAT, path, ModelError)
        return HubModel(**value)
    except (ValueError, TypeError, KeyError) as error:
        raise ModelError(f"{path} cannot be read ({error})", "remove the folder, and fetch the model again") from None


def model_card(
    info: ModelInfo, repository: str, licence: str, statement: str, figures: Sequence[PublishedFigure]
) -> str:
    """Return the README.md of a repository: a head in YAML, then what the model is, its data and its figures.

    The head's values are JSON, which YAML 1.2 has as a part.
    """
    head: dict[str, Any] = {"library_name": "footage", "license": licence}
    head["tags"] = ["video-generation", "footage", info.config.preset, info.config.method]
    task = "text-to-video" if info.reads_text else TASKS.get(info.use.verbs[0])
    head |= {"pipeline_tag": task} if task else {}
    rows = []
    for figure in figures:
        metric = {"type": figure.name, "name": figure.name, "value": figure.value}
        rows.append({"task": {"type": task or "unconditional-video-generation"}, "metrics": [metric]})
        rows[-1]["dataset"] = {"name": figure.data, "type": figure.data}
    head |= {"model-index": [{"name": info.name, "results": rows}]} if rows else {}
    yaml = "".join(f"{key}: {json.dumps(value, ensure_ascii=False)}\n" for key, value in head.items())
    measured = "".join(f"| {f.name} | {f.value:.4g} | {f.data} | {f.note} |\n" for f in figures)
    table = f"\n## Figures\n\n| figure | value | beside | |\n|---|---|---|---|\n{measured}" if figures else ""
    text = f"---\n{yaml}---\n\n{readme(info)}\n## Data\n\n{statement.strip()}\n{table}\n## Use\n\n"
    text += f"    footage pull {repository} --to FOLDER\n    footage {info.use.verbs[0]} {info.use.example}\n"
    return text


def _check_name(repository: str) -> None:
    if not REPOSITORY.fullmatch(repository):
        raise ConfigError(f'"{repository}" is no repository', "give OWNER/NAME, such as me/my-model")


@contextlib.contextmanager
def _told(repository: str) -> Iterator[Any]:
    """Give the Hub's interface while the block runs; say in a sentence what it refuses.

    The token is the one that the library finds: HF_TOKEN, or that of `hf auth login`.
    """
    try:
        import huggingface_hub as hub
        from huggingface_hub import errors
        from huggingface_hub.utils.tqdm import disable_progress_bars
    except ImportError:
        raise ConfigError("the Hub needs huggingface_hub, which is not installed", EXTRA) from None
    disable_progress_bars()
    endpoint = os.environ.get("HF_ENDPOINT") or None
    known: Mapping[type[Exception], tuple[str, str]] = {
        errors.LocalEntryNotFoundError: ("the Hub cannot be reached", "check the network, or HF_ENDPOINT"),
        errors.RevisionNotFoundError: (f"{repository} has no such revision", "give a commit, a branch or a tag"),
        errors.GatedRepoError: (f"{repository} asks for its terms to be accepted", "accept them on its page"),
        errors.RepositoryNotFoundError: (
            f"there is no {repository}, or you may not see it",
            "check the name, and log in: hf auth login",
        ),
        errors.EntryNotFoundError: (f"{repository} holds no model of footage", "give one that footage push has made"),
        errors.LocalTokenNotFoundError: ("nobody is logged in", "hf auth login, or set HF_TOKEN"),
        errors.OfflineModeIsEnabled: ("the Hub is not asked, since HF_HUB_OFFLINE is set", "take it away"),
    }
    try:
        yield hub.HfApi(endpoint=endpoint, library_name="footage", library_version=__version__)
    except Exception as error:
        for kind, said in known.items():
            if isinstance(error, kind):
                raise RemoteError(*said) from None
        if isinstance(error, errors.HfHubHTTPError):
            status = error.response.status_code if error.response is not None else 0
            if status in (401, 403):
                raise RemoteError(
                    f"{repository} may not be written to ({status})", "log in with a token that may: hf auth login"
                ) from None
            raise RemoteError(f"the Hub answers {status} for {repository}", "try again later") from None
        if isinstance(error, (errors.HfHubHTTPError.__bases__[0], ConnectionError)):
            raise RemoteError(
                f"the Hub cannot be reached ({type(error).__name__})", "check the network, or HF_ENDPOINT"
            ) from None
        raise
