"""Signed provenance (C2PA 2): a file says who made it, of what, with what, and whether it was changed since.

A signature proves who signed and that nothing was changed since; it does not prove that what is said is true.
"""

from __future__ import annotations

import contextlib
import contextvars
import importlib
import json
import os
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from footage import __version__
from footage.errors import ProvenanceError
from footage.files import locked
from footage.trust.identity import EXTRA, identity, own_anchors

SWITCH = "FOOTAGE_PROVENANCE"
"""Variable of the environment: `off` leaves files unsigned."""
SIGNED = {
    ".mp4": "video/mp4",
    ".mov": "video/quicktime",
    ".png": "image/png",
    ".gif": "image/gif",
    ".webp": "image/webp",
    ".jpg": "image/jpeg",
}
"""Endings of files that can be signed, and their media types. Matroska and WebM have no place for a manifest."""
SOURCES = "http://cv.iptc.org/newscodes/digitalsourcetype/"
"""Where IPTC describes digital source types."""
TRAINED, COMPOSITE = "trainedAlgorithmicMedia", "compositeWithTrainedAlgorithmicMedia"
"""Made by a model alone; made by a model out of other material."""
REQUEST = "org.footage.generation"
"""Label of the assertion that holds model, data set, seed and request."""
AI_GENERATED = "AI-generated"
UNTRUSTED = "signingCredential.untrusted"
"""Code of the finding that nobody vouches for the signer."""

State = Literal["trusted", "valid", "changed", "stripped", "unsigned", "unread"]
STATES: dict[State, str] = {
    "trusted": "signed by a signer that this machine trusts, and not changed since",
    "valid": "signed, and not changed since; nobody here vouches for the signer",
    "changed": "changed since it was signed, or its signature is damaged",
    "stripped": "its comment says that footage made it, and its signature is gone or was never made",
    "unsigned": "nothing says where it comes from",
    "unread": "a signature, if it has one, cannot be read here",
}
"""What each state says, in words."""

_quiet: contextvars.ContextVar[bool] = contextvars.ContextVar("_quiet", default=False)


@dataclass(frozen=True)
class Statement:
    """What is known of where a file comes from."""

    state: State
    signer: str = ""
    title: str = ""
    digital_source: str = ""
    """IPTC's digital source type, such as `trainedAlgorithmicMedia`."""
    request: Mapping[str, Any] = field(default_factory=dict)
    """Model, data set, seed and what was asked for."""
    ingredients: tuple[str, ...] = ()
    """Titles of what it was made from."""
    findings: tuple[str, ...] = ()
    """Codes of what does not fit, as C2PA names them."""

    @property
    def text(self) -> str:
        """What the state says, in words."""
        return STATES[self.state]

    @classmethod
    def of(cls, told: Mapping[str, Any], state: str) -> Statement:
        """Return what a manifest, as C2PA's reader tells it, says; what is not where it belongs is left out."""
        active = told.get("manifests", {}).get(told.get("active_manifest"), {})
        assertions = {entry.get("label"): entry.get("data") for entry in active.get("assertions", [])}
        actions = (assertions.get("c2pa.actions.v2") or {}).get("actions", [])
        kinds = [str(action["digitalSourceType"]) for action in actions if action.get("digitalSourceType")]
        failures = told.get("validation_results", {}).get("activeManifest", {}).get("failure", [])
        request = assertions.get(REQUEST)
        return cls(
            {"Trusted": "trusted", "Valid": "valid"}.get(state, "changed"),  # type: ignore[arg-type]
            (active.get("signature_info") or {}).get("common_name") or "",
            active.get("title") or "",
            kinds[0].rpartition("/")[2] if kinds else "",
            request if isinstance(request, dict) else {},
            tuple(entry.get("title", "") for entry in active.get("ingredients", [])),
            tuple(entry.get("code", "") for entry in failures if entry.get("code") != UNTRUSTED),
        )


@contextlib.contextmanager
def unsigned() -> Iterator[None]:
    """Leave what is written within the block unsigned: it is signed elsewhere, by another key."""
    token = _quiet.set(True)
    try:
        yield
    finally:
        _quiet.reset(token)


def seal(path: Path, metadata: Mapping[str, Any], title: str, sources: Sequence[Path] = ()) -> bool:
    """Sign a file that was just written, in its place; return whether it is signed.

    It stays as it is where the extra is not installed, its kind of file cannot be signed, nothing says that footage
    made it, or the user does not want it. Where signing fails that is a warning: what was made is never lost for it.

    Args:
        path: the file, which nobody else reads yet.
        metadata: what stands in its comment.
        title: its name in the end.
        sources: files that it was made from.
    """
    wanted = os.environ.get(SWITCH, "").lower() not in ("off", "no", "0") and not _quiet.get()
    if not wanted or path.suffix.lower() not in SIGNED or not (metadata.get("made_with") or sources):
        return False
    try:
        c2pa: Any = importlib.import_module("c2pa")
    except ImportError:
        return False
    try:
        if not metadata.get("made_with") and not any(examine(source, {}).digital_source for source in sources):
            return False  # parts of what cameras have seen
        _sign(c2pa, path, metadata, title, sources)
    except (ProvenanceError, OSError, c2pa.C2paError) as error:
        warnings.warn(f"{title} is not signed: {error}", stacklevel=2)
        return False
    return True


def _sign(c2pa: Any, path: Path, metadata: Mapping[str, Any], title: str, sources: Sequence[Path]) -> None:
    """Put a manifest into a file."""
    kind = SOURCES + (COMPOSITE if sources or "source" in metadata else TRAINED)
    agent = {"name": "footage", "version": __version__}
    action = {"action": "c2pa.created", "digitalSourceType": kind, "softwareAgent": agent, "description": AI_GENERATED}
    actions: list[dict[str, Any]] = [action]
    if sources:
        numbers = [f"source-{number}" for number in range(len(sources))]
        actions.append({"action": "c2pa.placed", "parameters": {"ingredientIds": numbers}})
    if "mark" in metadata:
        actions.append({"action": "c2pa.watermarked.unbound"})
    manifest = {
        "claim_generator_info": [agent],
        "title": title,
        "assertions": [
            {"label": "c2pa.actions.v2", "data": {"actions": actions, "allActionsIncluded": True}},
            {"label": REQUEST, "data": dict(metadata)},
        ],
    }
    with c2pa.Builder(json.dumps(manifest, ensure_ascii=False), context=_context(c2pa)) as builder:
        for number, source in enumerate(sources):
            if (media_type := SIGNED.get(source.suffix.lower())) is not None:
                about = {"title": source.name, "relationship": "componentOf", "instance_id": f"source-{number}"}
                with locked.open_file(source) as content:
                    builder.add_ingredient(json.dumps(about), media_type, content)
        handle, signed = tempfile.mkstemp(dir=path.parent, suffix=path.suffix)
        os.close(handle)
        try:
            who = identity()
            signer = c2pa.Signer.from_info(c2pa.C2paSignerInfo(c2pa.C2paSigningAlg.ES256, who.chain, who.key, None))
            builder.sign_file(path, signed, signer)
            os.replace(signed, path)
        finally:
            Path(signed).unlink(missing_ok=True)


def _context(c2pa: Any, anchors: str = "") -> Any:
    """Return settings: no network, no thumbnails, and who is trusted."""
    settings: dict[str, Any] = {
        "builder": {"thumbnail": {"enabled": False}},
        "verify": {"verify_trust": bool(anchors), "remote_manifest_fetch": False, "ocsp_fetch": False},
    }
    if anchors:
        settings["trust"] = {"user_anchors": anchors}
    return c2pa.Context.from_dict(settings)


def examine(path: Path, metadata: Mapping[str, Any], anchors: str = "") -> Statement:
    """Return what is known of where a file comes from.

    Args:
        path: the file.
        metadata: what stands in its comment; empty where there is none.
        anchors: certificates that are trusted beside this machine's own, PEM.

    Raises:
        ProvenanceError: the extra is not installed, or the file cannot be read.
    """
    try:
        c2pa: Any = importlib.import_module("c2pa")
    except ImportError as error:
        raise ProvenanceError(f"signatures cannot be read ({error})", EXTRA) from None
    missing: State = "stripped" if metadata.get("made_with") else "unsigned"
    if path.suffix.lower() not in SIGNED:
        return Statement(missing)
    trusted = "\n".join(filter(None, (own_anchors(), anchors)))
    try:
        with (
            locked.open_file(path) as content,
            c2pa.Reader(SIGNED[path.suffix.lower()], content, context=_context(c2pa, trusted)) as reader,
        ):
            told, state = json.loads(reader.json()), reader.get_validation_state()
    except c2pa.C2paError.ManifestNotFound:
        return Statement(missing)
    except c2pa.C2paError as error:
        return Statement("changed", findings=(str(error)[:200],))
    return Statement.of(told, state)
