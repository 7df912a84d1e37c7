"""Verbs about the Hugging Face Hub: put a model there, and fetch one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from footage.commands.terminal import make_console, working
from footage.errors import ConfigError, counted
from footage.models.card import model_folder, read_info

if TYPE_CHECKING:
    from footage.generation.publication import HubModel


def push(
    model: str,
    repository: str,
    *,
    licence: str,
    data: str,
    figures: Path | None = None,
    public: bool = False,
    quiet: bool = False,
) -> HubModel:
    """Put a model to a repository of the Hugging Face Hub, private where nothing else is said.

    The token is the library's own: HF_TOKEN, or that of `hf auth login`; none is taken here. Needs: pip install
    "footage[hub]".

    Args:
        repository: OWNER/NAME; made where there is none.
        licence: of the weights, by the Hub's word for it: apache-2.0, cc-by-4.0, other.
        data: what the model was trained on, and by what right, in a sentence or two; it stands on the model's page.
        figures: the figures.json of an evaluation of this model; they stand on its page.
        public: let everybody see it.
    """
    from footage.evaluation.results import read
    from footage.generation.publication import PublishedFigure, push_model

    console, folder, published = make_console(quiet), model_folder(model), []
    if figures is not None:
        evaluation, info = read(figures), read_info(folder)
        if evaluation.made.digest != info.weights_sha256:
            raise ConfigError(f'"{figures}" has figures of {evaluation.made.name}', f"measure {info.name} itself")
        for one in evaluation.figures:
            if one.value is not None:
                floor = "" if one.floor is None else f"real clips: {one.floor.value:.4g}; "
                note = f"{floor}{counted(one.clips[0], 'clip')}, tier {one.tier}"
                published.append(PublishedFigure(one.label, one.value, evaluation.real.name, note))
    with working(console, f"putting it to {repository}"):
        there = push_model(folder, repository, licence, data, published, public)
    seen = "private" if there.private else "public"
    console.print(f"{there.repository} at {there.revision}, {seen}", soft_wrap=True)
    return there


def pull(repository: str, *, to: Path, revision: str | None = None, quiet: bool = False) -> HubModel:
    """Fetch a model from the Hugging Face Hub, at one commit, and check it: hashes, names, shapes; no code is run.

    The folder notes the commit (hub.json), and stays at it when the same command is given again.

    Args:
        repository: OWNER/NAME.
        to: the folder for the model.
        revision: a commit, a branch or a tag; left out, the commit that the folder has, else the newest.
    """
    from footage.generation.publication import pull_model

    console = make_console(quiet)
    with working(console, f"fetching {repository}"):
        there = pull_model(repository, to, revision)
    info = read_info(to)
    console.print(f"{to}: {info.name}, {there.repository} at {there.revision}", soft_wrap=True)
    return there
