"""Who signs: a key and its certificates, made once on this machine, or the user's own."""

from __future__ import annotations

import contextlib
import datetime
import os
import re
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from footage import files
from footage.errors import ProvenanceError

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

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
