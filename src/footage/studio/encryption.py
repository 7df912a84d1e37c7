"""Certificate and key of a server that speaks HTTPS, looked at before it begins."""

from __future__ import annotations

import ssl
import time
from dataclasses import dataclass
from pathlib import Path

from footage.errors import ConfigError

SOON = 14 * 86_400
"""Seconds before its end from which on a certificate is said to end soon."""
EXPIRED, EARLY = 10, 9
"""OpenSSL's numbers of certificates that have ended, and that do not hold yet."""


@dataclass(frozen=True)
class Encryption:
    """Certificate that a server shows, with those that vouch for it behind it, and its key; both as PEM.

    Raises:
        ConfigError: a file is missing or holds no certificate or key, the key is locked, or does not fit.
    """

    certificate: Path
    key: Path | None = None
    """None where it stands in the file of the certificate."""

    def __post_init__(self) -> None:
        for name, path in (("certificate", self.certificate), ("key", self.key)):
            if path is not None and not path.is_file():
                raise ConfigError(f'{name} is "{path}", which is no file', "give a file that there is")
        self.context()

    def context(self) -> ssl.SSLContext:
        """Return what a server speaks TLS by, of the versions that Python takes for safe."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        key = self.key or self.certificate

        def refuse_lock() -> str:
            raise ConfigError(f'the key "{key}" is locked by a password', "give one without")

        try:
            context.load_cert_chain(self.certificate, key, password=refuse_lock)
        except ssl.SSLError as error:
            if error.reason == "KEY_VALUES_MISMATCH":
                raise ConfigError(
                    f'the key "{key}" does not fit the certificate', "give the key that it was made with"
                ) from None
            problem = f'"{self.certificate}" and "{key}" are no certificate and key ({error.reason or error})'
            raise ConfigError(problem, "give both as PEM") from None
        except OSError as error:
            raise ConfigError(f'"{self.certificate}" or "{key}" cannot be read ({error})', "see who owns it") from None
        return context

    def warning(self) -> str | None:
        """Return what browsers will complain of: that the certificate has ended, or soon will; None where all is well.

        The server shows it to a client in this process, which trusts it and so looks at its times alone.
        """
        trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        trusting.check_hostname = False
        trusting.verify_flags = ssl.VERIFY_X509_PARTIAL_CHAIN
        trusting.load_verify_locations(self.certificate)
        up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
        client, server = trusting.wrap_bio(down, up), self.context().wrap_bio(up, down, server_side=True)
        for side in (client, server, client):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
            except ssl.SSLCertVerificationError as error:
                said = {EXPIRED: "has ended", EARLY: "does not hold yet"}.get(error.verify_code)
                return f"the certificate {said or f'is doubtful ({error.verify_message})'}: browsers will warn of it"
        until = (client.getpeercert() or {}).get("notAfter")
        left = ssl.cert_time_to_seconds(str(until)) - time.time() if until else SOON
        return f"the certificate ends in {left / 86_400:.0f} days: renew it" if left < SOON else None
