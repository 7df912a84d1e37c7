"""Signed provenance (C2PA 2): a file says who made it, of what, with what, and whether it was changed since.

A signature proves who signed and that nothing was changed since; it does not prove that what is said is true. Who signs
is a key with its certificates, made once on this machine, or the user's own.
"""

from __future__ import annotations

import contextlib
import contextvars
import datetime
import importlib
import io
import json
import os
import re
import shutil
import stat
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from footage import __version__, files
from footage.errors import ProvenanceError
from footage.files import locked

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

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
UNPARSED = "application/octet-stream"
"""Media type of ingredients that are named alone: they can hold no manifest, or cannot be parsed."""
SOURCES = "http://cv.iptc.org/newscodes/digitalsourcetype/"
"""Where IPTC describes digital source types."""
TRAINED, COMPOSITE = "trainedAlgorithmicMedia", "compositeWithTrainedAlgorithmicMedia"
"""Made by a model alone; made by a model out of other material."""
REQUEST = "org.footage.generation"
"""Label of the assertion that holds model, data set, seed and request."""
AI_GENERATED = "AI-generated"
UNTRUSTED = "signingCredential.untrusted"
"""Code of the finding that nobody vouches for the signer."""
EXPIRED = "signingCredential.expired"
"""Code of the finding that the signer's certificate is out of date, and no time stamp says that it was not then."""
HASHED = {f"assertion.{kind}.match" for kind in ("dataHash", "bmffHash", "boxesHash", "collectionHash")}
"""Codes of the finding that the file is the one that was signed."""

State = Literal["trusted", "valid", "expired", "changed", "stripped", "unsigned", "unread"]
STATES: dict[State, str] = {
    "trusted": "signed by a signer that this machine trusts, and not changed since",
    "valid": "signed, and not changed since; nobody here vouches for the signer",
    "expired": "signed, and not changed since; its certificate is out of date: when it was signed cannot be told",
    "changed": "changed since it was signed, or its signature is damaged",
    "stripped": "its comment says that footage made it, and its signature is gone or was never made",
    "unsigned": "nothing says where it comes from",
    "unread": "a signature, if it has one, cannot be read here",
}
"""What each state says, in words."""

FOLDER = "FOOTAGE_KEYS"
"""Variable of the environment: the folder of the key that is made here."""
CERTIFICATE, KEY = "FOOTAGE_CERTIFICATE", "FOOTAGE_KEY"
"""Variables of the environment: files of the user's own certificates (PEM, the signer's first) and of their key."""
YEARS = 10
"""How long what is made here is valid."""
NAME = "footage on this machine"
_CERTIFICATES = re.compile(rb"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----\n?", re.DOTALL)
_KEYS = re.compile(rb"-----BEGIN [A-Z ]*PRIVATE KEY-----.+?-----END [A-Z ]*PRIVATE KEY-----\n?", re.DOTALL)
EXTRA = "pip install 'footage[provenance]'"

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
        results = told.get("validation_results", {}).get("activeManifest", {})
        failures = [str(entry.get("code", "")) for entry in results.get("failure", [])]
        sound = {str(entry.get("code", "")) for entry in results.get("success", [])}
        found: State = {"Trusted": "trusted", "Valid": "valid"}.get(state, "changed")  # type: ignore[assignment]
        if (
            {EXPIRED} <= set(failures) <= {EXPIRED, UNTRUSTED}
            and "claimSignature.validated" in sound
            and sound & HASHED
        ):
            found = "expired"
        request = assertions.get(REQUEST)
        return cls(
            found,
            (active.get("signature_info") or {}).get("common_name") or "",
            active.get("title") or "",
            kinds[0].rpartition("/")[2] if kinds else "",
            request if isinstance(request, dict) else {},
            tuple(entry.get("title", "") for entry in active.get("ingredients", [])),
            tuple(code for code in failures if code != UNTRUSTED),
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
    made it, or the user does not want it. Where the extra is missing, or signing fails, that is a warning: what was
    made is never lost for it.

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
        if metadata.get("made_with"):  # of this line, so that it is told once
            warnings.warn(f"what is made is not signed: the extra provenance is missing: {EXTRA}", stacklevel=1)
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
            about = {"title": source.name, "relationship": "componentOf", "instance_id": f"source-{number}"}
            with locked.open_file(source) if source.is_file() else io.BytesIO() as content:
                try:
                    builder.add_ingredient(json.dumps(about), SIGNED.get(source.suffix.lower(), UNPARSED), content)
                except c2pa.C2paError:  # damaged, though its pictures could be read
                    content.seek(0)
                    builder.add_ingredient(json.dumps(about), UNPARSED, content)
        handle, signed = tempfile.mkstemp(dir=path.parent, suffix=path.suffix)
        os.close(handle)
        try:
            who = identity()
            signer = c2pa.Signer.from_info(c2pa.C2paSignerInfo(c2pa.C2paSigningAlg.ES256, who.chain, who.key, None))
            builder.sign_file(path, signed, signer)
            shutil.copymode(path, signed)  # a temporary file is for its owner alone
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


@dataclass(frozen=True)
class Identity:
    """A key and what vouches for it."""

    chain: bytes
    """Certificates, PEM, the signer's first."""
    key: bytes
    """Private key, PEM (PKCS 8), of the curve P-256."""


def keys_folder() -> Path:
    """Return the folder of the key that is made here: never a model's or a library's, which are passed on."""
    settings = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    return Path(os.environ.get(FOLDER) or settings / "footage" / "keys")


def own_anchors() -> str:
    """Return the certificates that are trusted here, PEM: those of this machine and the user's; empty without any."""
    parts = []
    for path in (_made_here(), Path(os.environ.get(CERTIFICATE) or os.devnull)):
        with contextlib.suppress(OSError):
            parts += _CERTIFICATES.findall(path.read_bytes())
    return b"\n".join(parts).decode("ascii", "ignore")


def identity() -> Identity:
    """Return who signs here: the user's own, else the one of this machine, which is made where there is none.

    Raises:
        ProvenanceError: a file is missing or cannot be read, or the extra is not installed.
    """
    chain = Path(os.environ.get(CERTIFICATE) or _made_here())
    key = Path(os.environ.get(KEY) or _made_here())
    if (chain == _made_here()) != (key == _made_here()):
        raise ProvenanceError(f"one of {CERTIFICATE} and {KEY} is set, and not the other", "set both, or none")
    if key == _made_here() and not key.exists():
        make_identity(key)
    try:
        if os.name == "posix" and stat.S_IMODE(key.stat().st_mode) & 0o077:
            raise ProvenanceError(f'others may read the key "{key}"', f"chmod 600 {key}")
        certificates, keys = _CERTIFICATES.findall(chain.read_bytes()), _KEYS.findall(key.read_bytes())
    except OSError as fault:
        raise ProvenanceError(f"the key to sign with cannot be read ({fault})", "put it right") from None
    for path, found, name in ((chain, certificates, "certificate"), (key, keys, "private key")):
        if not found:
            raise ProvenanceError(f'"{path}" holds no {name}', "give a file in PEM (-----BEGIN …)")
    return Identity(b"\n".join(certificates), keys[0])


def _made_here() -> Path:
    return keys_folder() / "identity.pem"


def make_identity(path: Path) -> None:
    """Make a key, its certificate, and the root that signed that, whose own key is thrown away.

    Several processes may do so at once: the first one's stays.
    """
    try:
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric import ec
    except ImportError as error:
        raise ProvenanceError(f"there is no key to sign with, and none can be made ({error})", EXTRA) from None
    root_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    root = _certificate(f"{NAME}, root", root_key, f"{NAME}, root", root_key)
    signer = _certificate(NAME, key, f"{NAME}, root", root_key)
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    parts = [private, *(certificate.public_bytes(pem) for certificate in (signer, root))]
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    handle, scratch = tempfile.mkstemp(dir=path.parent, suffix=files.PARTIAL)  # readable by its owner alone
    try:
        with open(handle, "wb") as file:
            file.write(b"".join(parts))
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):
            os.link(scratch, path)
    finally:
        os.unlink(scratch)


def _certificate(
    subject: str, key: EllipticCurvePrivateKey, issuer: str, issuer_key: EllipticCurvePrivateKey
) -> x509.Certificate:
    """Return a certificate as C2PA asks for (specification 2.1, section 14.5): a root's, or one that signs."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    def name(text: str) -> x509.Name:
        words = ((NameOID.COMMON_NAME, text), (NameOID.ORGANIZATION_NAME, "footage"))
        return x509.Name([x509.NameAttribute(oid, word) for oid, word in words])

    begin, root = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=1), subject == issuer
    usage = dict.fromkeys(
        ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "encipher_only"), False
    )
    usage |= {"decipher_only": False, "digital_signature": not root, "key_cert_sign": root, "crl_sign": root}
    builder = (
        x509.CertificateBuilder()
        .subject_name(name(subject))
        .issuer_name(name(issuer))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(begin + datetime.timedelta(days=365 * YEARS))
        .add_extension(x509.BasicConstraints(ca=root, path_length=0 if root else None), critical=True)
        .add_extension(x509.KeyUsage(**usage), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False)
    )
    if not root:
        builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), critical=False)
    return builder.sign(issuer_key, hashes.SHA256())
