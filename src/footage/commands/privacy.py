"""The verb that says what a model tells of the clips that it was trained on."""

from __future__ import annotations

from dataclasses import asdict
from json import dumps
from pathlib import Path
from typing import TYPE_CHECKING

from rich.table import Table

from footage.commands.terminal import make_console, print_marked, working
from footage.errors import ConfigError
from footage.models.requests import DeviceName

if TYPE_CHECKING:
    from footage.evaluation.membership import PrivacyAudit

SOURCES = 20
"""Sources that are named on the terminal; the page and --json have all."""


def privacy(
    model: Path,
    data: str,
    *,
    held_out: str | None = None,
    clips: int = 1000,
    networks: str | None = None,
    to: Path | None = None,
    json: bool = False,
    seed: int = 0,
    cache: Path | None = None,
    device: DeviceName = "auto",
    quiet: bool = False,
) -> PrivacyAudit:
    """Say what a model tells of the clips that it was trained on: whether these can be recognised, and which ones.

    What comes nearest to each clip of many that are generated is compared with what comes nearest to clips that the
    model has not seen: in pixels, frame by frame, in motion, in features, and by the critics of the run. Those that the
    data hold out are never trained on, and are the ones it has not seen.

    Args:
        model: a run or a model folder; in a run the critics are asked too.
        data: the data set that the model was trained on.
        held_out: clips of the same kind that the model has not seen, where the data set holds none out.
        clips: clips that are generated; the more, the more is found.
        networks: names of feature networks with commas between them; left out, lite0 where it is installed (extra
            features), else random ones. None may have trained the model.
        to: an .html file for a page with the worst pairs side by side.
        json: print everything that was found.
        seed: of what is generated, and of every draw.
        cache: folder for features; `none` to keep nothing. Left out, the user's cache.

    Raises:
        ConfigError: there is nothing to compare with, or the model makes no clips from nothing.
    """
    if to is not None and Path(to).suffix != ".html":
        raise ConfigError(f'to is "{to}"', "give a file that ends in .html")
    from footage.evaluation.feature_cache import FeatureCache
    from footage.evaluation.inputs import open_inputs
    from footage.evaluation.membership import PrivacyAuditor, write_privacy_page
    from footage.evaluation.protocols import EvaluationOptions
    from footage.generation.model import Model

    options = EvaluationOptions(clips=clips, networks=networks, seed=seed, cache=cache, device=device)
    console = make_console(quiet)
    with FeatureCache(options.cache_folder) as features, working(console, "opening the model and the clips") as say:
        loaded, opened = open_inputs(model, data, options)
        if not isinstance(loaded.model, Model):
            raise ConfigError(f'"{model}" is not a model', "give a model folder, or a run, and then its data set")
        other = None if held_out is None else open_inputs(model, held_out, options)[1]
        auditor = PrivacyAuditor(
            loaded.model,
            opened,
            other,
            count=clips,
            cache=features,
            networks=options.network_names,
            seed=seed,
            say=say,
        )
        audit = auditor.audit()
        if to is not None:
            write_privacy_page(Path(to), auditor, audit)
    if json:
        print(dumps({**asdict(audit), "recognised": audit.recognised, "advice": audit.advice}, ensure_ascii=False))
        return audit
    console.print(
        f"{audit.members:,} clips from {audit.member_sources:,} sources of {audit.data}, beside {audit.others:,} other "
        f"clips from {audit.other_sources:,} sources; {audit.made:,} generated"
    )
    table = Table("told by", "AUC", "interval", "found at 1% false ones", "interval")
    for attack in audit.attacks:
        of = attack.separation
        reach = "too few sources" if of.auc_low is None else f"{of.auc_low:.2f} to {of.auc_high:.2f}"
        found = f"{of.positives_low:.1%} to {of.positives_high:.1%}"
        table.add_row(attack.name, f"{of.auc:.2f}", reach, f"{of.true_positives:.1%}", found)
    console.print(table)
    for source in audit.sources[:SOURCES]:
        copies = ", ".join(f"{count:,} copies in {space}" for space, count in source.copies.items() if count)
        told = f"{source.recognised} of {source.clips} clips recognised, nearest {source.ratio:.2f}"
        console.print(f"  {source.source}: {', '.join(filter(None, (told, copies)))}", markup=False, soft_wrap=True)
    for note in audit.notes:
        print_marked(console, "note:", note)
    print_marked(console, "advice:", audit.advice, "bold")
    if to is not None:
        console.print(f"page     {to}")
    return audit
