"""Accounts of a studio: who may come in, with which role, by which invitation, in which sessions, and what they did.

`accounts.sqlite` in the library's folder, which its owner alone may read. Passwords are kept as Argon2id (RFC 9106),
and of all other secrets (invitations, sessions, tokens), which are random, only SHA-256.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import secrets
import sqlite3
import threading
import time
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from footage.errors import ConfigError, FootageError, counted, nearest
from footage.library.entries import fold, plain
from footage.library.storage import Database
from footage.studio.roles import GIVEN, Role, Visitor

if TYPE_CHECKING:
    from argon2 import PasswordHasher

ACCOUNTS = "accounts.sqlite"
_FIRST = (
    """
    CREATE TABLE accounts (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        name TEXT NOT NULL,
        folded TEXT NOT NULL UNIQUE,      -- the name without case
        password TEXT NOT NULL,           -- Argon2id, with its parameters
        role TEXT NOT NULL CHECK (role IN ('look', 'rate', 'make', 'administer')),
        made REAL NOT NULL,               -- seconds since 1970
        seen REAL,
        disabled INTEGER NOT NULL DEFAULT 0
    )
    """,
    """
    CREATE TABLE invitations (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        digest BLOB NOT NULL UNIQUE,
        role TEXT NOT NULL CHECK (role IN ('look', 'rate', 'make', 'administer')),
        account INTEGER REFERENCES accounts (id) ON DELETE CASCADE,  -- whose password is to be chosen anew
        actor TEXT NOT NULL,              -- who invites; empty for the server
        made REAL NOT NULL,
        ends REAL NOT NULL
    )
    """,
    """
    CREATE TABLE sessions (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        digest BLOB NOT NULL UNIQUE,
        account INTEGER NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
        made REAL NOT NULL,
        seen REAL NOT NULL,
        address TEXT NOT NULL,
        program TEXT NOT NULL
    )
    """,
    "CREATE INDEX sessions_account ON sessions (account)",
    """
    CREATE TABLE tokens (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        digest BLOB NOT NULL UNIQUE,
        account INTEGER NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
        name TEXT NOT NULL,
        role TEXT NOT NULL CHECK (role IN ('look', 'rate', 'make', 'administer')),
        made REAL NOT NULL,
        seen REAL
    )
    """,
    "CREATE INDEX tokens_account ON tokens (account)",
    """
    CREATE TABLE log (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        time REAL NOT NULL,
        actor TEXT NOT NULL,              -- empty for who had not come in
        token TEXT NOT NULL,
        method TEXT NOT NULL,
        route TEXT NOT NULL,              -- template of the address
        object TEXT NOT NULL,
        status INTEGER NOT NULL,
        address TEXT NOT NULL
    )
    """,
    "CREATE INDEX log_actor ON log (actor, id)",
)
STEPS: tuple[tuple[str, ...], ...] = (_FIRST,)
"""The steps that lead to the tables; a step is never changed, only added."""
DAY = 86_400.0
IDLE, LASTS = 3 * DAY, 30 * DAY
"""Seconds without a request after which a session ends, and those after which it ends at any rate."""
INVITED = 3 * DAY
"""Seconds for which an invitation can be taken up."""
NOTED = 60.0
"""Seconds between two notes of when a session or a token was last used."""
SESSIONS, TOKENS, OPEN_INVITATIONS = 50, 50, 200
"""Sessions and tokens of an account, and invitations of all, at most; of sessions the oldest gives way."""
LOGGED, STRANGERS = 100_000, 10_000
"""Entries of the log that are kept, of accounts and of who had not come in; now and then the older ones give way."""
CHECKED = 2
"""Passwords that are checked at the same time; each takes 64 MiB and a core for some hundredths of a second."""
SHORTEST, LONGEST = 10, 200
"""Characters of a password."""
NAME = re.compile(r"\w[\w.@ -]{0,38}\w|\w")


@dataclass(frozen=True)
class Account:
    """Somebody who may come in."""

    id: int
    name: str
    role: str
    """`look`, `rate`, `make` or `administer`."""
    made: float
    """When it was made, in seconds since 1970."""
    seen: float | None
    """When it was last used."""
    disabled: bool


@dataclass(frozen=True)
class Invitation:
    """Leave to make an account, or to choose a new password, once."""

    id: int
    role: str
    account: str | None
    """Name of the account whose password is to be chosen anew; None for a new account."""
    actor: str
    """Who invites; empty for the server."""
    ends: float


@dataclass(frozen=True)
class AccountSession:
    """A browser that an account is signed in with."""

    id: int
    made: float
    seen: float
    address: str
    """Where it came from when it signed in."""
    program: str
    """What the browser calls itself."""
    ends: float
    """When it ends at the latest."""


@dataclass(frozen=True)
class AccessToken:
    """Token of an account, for programs."""

    id: int
    name: str
    role: str
    made: float
    seen: float | None


@dataclass(frozen=True)
class LogEntry:
    """Something that was done, or tried."""

    id: int
    time: float
    """In seconds since 1970."""
    actor: str
    """Account; empty for who had not come in."""
    token: str
    """Name of the token of a program; empty for a browser."""
    method: str
    route: str
    """Template of the address."""
    object: str
    """The address itself where it has a number or a name in it; steps of the history and jobs that were made."""
    status: int
    """What was answered: 200 to 299 where it was done."""
    address: str
    """Where it came from."""


def hashed(secret: str) -> bytes:
    """Return what is kept in place of a secret that is random."""
    return hashlib.sha256(secret.encode("utf-8", "replace")).digest()


class Accounts:
    """The accounts of a library's studio. Threads may share it.

    Args:
        folder: the library's.
        clock: returns the time in seconds since 1970.
        hasher: makes and checks hashes of passwords; None for Argon2id with the parameters of `argon2-cffi`.

    Raises:
        ConfigError: `argon2-cffi` is not installed.
        LibraryError: the file cannot be read or written.
    """

    def __init__(
        self, folder: Path, clock: Callable[[], float] = time.time, hasher: PasswordHasher | None = None
    ) -> None:
        try:
            import argon2
        except ImportError:
            raise ConfigError("accounts need argon2-cffi", "pip install 'footage[studio]'") from None
        path = folder / ACCOUNTS
        with contextlib.suppress(FileExistsError):
            os.close(os.open(path, os.O_CREAT | os.O_EXCL, 0o600))  # SQLite gives the files beside it the same mode
        path.chmod(0o600)
        self._database, self._clock = Database(path, STEPS), clock
        self._database.check_writable()
        self._hasher = hasher or argon2.PasswordHasher()
        self._wrong = (argon2.exceptions.VerificationError, argon2.exceptions.InvalidHashError)
        self._checks = threading.BoundedSemaphore(CHECKED)
        self._nobody = self._hash(secrets.token_urlsafe(16))
        """Hash that is checked in place of that of a name that is not known."""

    def close(self) -> None:
        self._database.close()

    # Passwords

    def _hash(self, password: str) -> str:
        with self._checks:
            return self._hasher.hash(unicodedata.normalize("NFKC", password))

    def _fits(self, stored: str, password: str) -> bool:
        with self._checks, contextlib.suppress(*self._wrong):
            return self._hasher.verify(stored, unicodedata.normalize("NFKC", password))
        return False

    def check(self, name: str, password: str) -> Account | None:
        """Return the account of a name and a password; None for wrong ones, after as much work as for right ones."""
        with self._database.read() as connection:
            row = connection.execute("SELECT * FROM accounts WHERE folded = ?", (fold(name),)).fetchone()
        fits = self._fits(self._nobody if row is None else row["password"], password)
        if row is None or not fits or row["disabled"]:
            return None
        if self._hasher.check_needs_rehash(row["password"]):
            self._set_password(row["id"], self._hash(password))
        return _account(row)

    def change_password(self, account: int, old: str, new: str, session: str) -> None:
        """Give an account another password, and end its other sessions.

        Raises:
            ConfigError: the old password is wrong, or the new one is too short or too plain.
        """
        with self._database.read() as connection:
            row = self._get(connection, account)
        check_password(new, row["name"])
        if not self._fits(row["password"], old):
            raise ConfigError("the password is wrong", "give the one that you came in with")
        self._set_password(account, self._hash(new))
        self.end_sessions(account, keep=session)

    def _set_password(self, account: int, stored: str) -> None:
        with self._database.write() as connection:
            connection.execute("UPDATE accounts SET password = ? WHERE id = ?", (stored, account))

    # Accounts

    def all(self) -> list[Account]:
        """Return the accounts by name."""
        with self._database.read() as connection:
            return [_account(row) for row in connection.execute("SELECT * FROM accounts ORDER BY folded")]

    @property
    def administered(self) -> bool:
        """Whether there is an administrator who can come in."""
        with self._database.read() as connection:
            return _administrators(connection) > 0

    def change(self, account: int, role: str | None = None, disabled: bool | None = None) -> Account:
        """Give an account another role, or keep it out, which ends its sessions, or let it in again.

        Raises:
            ConfigError: there is no such account or role, or no administrator would be left.
        """
        if role is not None:
            read_role(role)
        with self._database.write() as connection:
            self._get(connection, account)
            connection.execute(
                "UPDATE accounts SET role = coalesce(?2, role), disabled = coalesce(?3, disabled) WHERE id = ?1",
                (account, role, disabled),
            )
            if not _administrators(connection):
                raise ConfigError("no administrator would be left", "let somebody else be one first")
            if disabled:
                connection.execute("DELETE FROM sessions WHERE account = ?", (account,))
            return _account(self._get(connection, account))

    def _get(self, connection: sqlite3.Connection, account: int) -> sqlite3.Row:
        row: sqlite3.Row | None = connection.execute("SELECT * FROM accounts WHERE id = ?", (account,)).fetchone()
        if row is None:
            raise ConfigError(f"there is no account {account}", "see the list of accounts")
        return row

    # Invitations

    def invite(self, role: str, actor: str = "", account: int | None = None) -> tuple[Invitation, str]:
        """Return a new invitation and its secret, which is not kept.

        Args:
            role: of the account that it leads to.
            actor: who invites.
            account: whose password is to be chosen anew; None for a new account.

        Raises:
            ConfigError: there is no such role or account, or too many invitations are open.
        """
        read_role(role)
        secret, now = secrets.token_urlsafe(32), self._clock()
        with self._database.write() as connection:
            known = None if account is None else self._get(connection, account)
            connection.execute("DELETE FROM invitations WHERE ends <= ?", (now,))
            if account is not None or not actor:  # one at a time, the last
                connection.execute("DELETE FROM invitations WHERE account IS ? AND actor = ?", (account, actor))
            if connection.execute("SELECT count(*) FROM invitations").fetchone()[0] >= OPEN_INVITATIONS:
                raise ConfigError(f"{OPEN_INVITATIONS} invitations are open", "withdraw some")
            cursor = connection.execute(
                "INSERT INTO invitations (digest, role, account, actor, made, ends) VALUES (?, ?, ?, ?, ?, ?)",
                (hashed(secret), role, account, actor, now, now + INVITED),
            )
        name = None if known is None else known["name"]
        return Invitation(int(cursor.lastrowid or 0), role, name, actor, now + INVITED), secret

    def invitations(self) -> list[Invitation]:
        """Return the invitations that can be taken up."""
        with self._database.read() as connection:
            rows = connection.execute(
                "SELECT i.id, i.role, a.name AS account, i.actor, i.ends FROM invitations i "
                "LEFT JOIN accounts a ON a.id = i.account WHERE i.ends > ? ORDER BY i.id",
                (self._clock(),),
            )
            return [Invitation(**dict(row)) for row in rows]

    def withdraw(self, invitation: int) -> bool:
        """Make an invitation void; return whether there was one."""
        with self._database.write() as connection:
            return connection.execute("DELETE FROM invitations WHERE id = ?", (invitation,)).rowcount > 0

    def join(self, secret: str, name: str, password: str) -> Account | None:
        """Take up an invitation: make an account, or choose its password anew, which ends its sessions.

        None for an invitation that there is not, or no longer.

        Raises:
            ConfigError: the name is taken or no name, or the password is too short or too plain.
        """
        with self._database.read() as connection:
            if (row := self._invitation(connection, secret)) is None:
                return None
            chosen = row["name"] or unicodedata.normalize("NFKC", plain(name))
        if not NAME.fullmatch(chosen):
            raise ConfigError(f'"{plain(chosen)}" is no name', "give letters and digits, at most 40")
        check_password(password, chosen)
        stored, now = self._hash(password), self._clock()
        with self._database.write() as connection:
            if (row := self._invitation(connection, secret)) is None:
                return None
            connection.execute("DELETE FROM invitations WHERE id = ?", (row["id"],))
            account = row["account"]
            if account is not None:
                connection.execute("UPDATE accounts SET password = ? WHERE id = ?", (stored, account))
                connection.execute("DELETE FROM sessions WHERE account = ?", (account,))
            elif connection.execute("SELECT 1 FROM accounts WHERE folded = ?", (fold(chosen),)).fetchone():
                raise ConfigError(f'the name "{chosen}" is taken', "choose another")
            else:
                account = connection.execute(
                    "INSERT INTO accounts (name, folded, password, role, made) VALUES (?, ?, ?, ?, ?)",
                    (chosen, fold(chosen), stored, row["role"], now),
                ).lastrowid
            return _account(self._get(connection, account))

    def _invitation(self, connection: sqlite3.Connection, secret: str) -> sqlite3.Row | None:
        """Return the invitation of a secret that can be taken up; `name` is that of its account, where it has one."""
        row: sqlite3.Row | None = connection.execute(
            "SELECT i.*, a.name FROM invitations i LEFT JOIN accounts a ON a.id = i.account "
            "WHERE i.digest = ? AND i.ends > ? AND NOT coalesce(a.disabled, 0)",
            (hashed(secret), self._clock()),
        ).fetchone()
        return row

    # Sessions and tokens

    def enter(self, account: Account, address: str = "", program: str = "") -> str:
        """Begin a session; return what its cookie is to hold."""
        secret, now = secrets.token_urlsafe(32), self._clock()
        with self._database.write() as connection:
            connection.execute("DELETE FROM sessions WHERE seen <= ? OR made <= ?", (now - IDLE, now - LASTS))
            connection.execute(
                "DELETE FROM sessions WHERE account = ?1 AND id NOT IN "
                "(SELECT id FROM sessions WHERE account = ?1 ORDER BY seen DESC LIMIT ?2)",
                (account.id, SESSIONS - 1),
            )
            connection.execute(
                "INSERT INTO sessions (digest, account, made, seen, address, program) VALUES (?, ?, ?, ?, ?, ?)",
                (hashed(secret), account.id, now, now, address, plain(program)[:200]),
            )
            connection.execute("UPDATE accounts SET seen = ? WHERE id = ?", (now, account.id))
        return secret

    def visitor(self, session: str) -> Visitor | None:
        """Return who a cookie's session is of; None where it has ended, or its account is kept out."""
        if not session:
            return None
        now = self._clock()
        with self._database.read() as connection:
            row = connection.execute(
                "SELECT s.id, s.seen, s.account, a.name, a.role FROM sessions s JOIN accounts a ON a.id = s.account "
                "WHERE s.digest = ? AND s.seen > ? AND s.made > ? AND NOT a.disabled",
                (hashed(session), now - IDLE, now - LASTS),
            ).fetchone()
        if row is None:
            return None
        self._note("sessions", row, now)
        return Visitor(Role[row["role"]], row["name"], row["account"], session)

    def bearer(self, token: str) -> Visitor | None:
        """Return who a token is of, with the lesser of the roles of token and account; None for a wrong one."""
        now = self._clock()
        with self._database.read() as connection:
            row = connection.execute(
                "SELECT t.id, t.seen, t.account, t.name AS token, t.role AS least, a.name, a.role FROM tokens t "
                "JOIN accounts a ON a.id = t.account WHERE t.digest = ? AND NOT a.disabled",
                (hashed(token),),
            ).fetchone()
        if row is None:
            return None
        self._note("tokens", row, now)
        role = min(Role[row["role"]], Role[row["least"]])
        return Visitor(role, row["name"], row["account"], token=row["token"], trusted=True)

    def _note(self, table: Literal["sessions", "tokens"], row: sqlite3.Row, now: float) -> None:
        """Write down now and then when a session or token was last used, unless the disk is full or busy."""
        if now - (row["seen"] or 0) < NOTED:
            return
        with contextlib.suppress(FootageError), self._database.write() as connection:
            connection.execute(f"UPDATE {table} SET seen = ? WHERE id = ?", (now, row["id"]))
            connection.execute("UPDATE accounts SET seen = ? WHERE id = ?", (now, row["account"]))

    def sessions(self, account: int) -> list[AccountSession]:
        """Return the sessions of an account, the last used first."""
        now = self._clock()
        with self._database.read() as connection:
            rows = connection.execute(
                "SELECT id, made, seen, address, program, made + ?4 AS ends FROM sessions "
                "WHERE account = ?1 AND seen > ?2 AND made > ?3 ORDER BY seen DESC, id DESC",
                (account, now - IDLE, now - LASTS, LASTS),
            )
            return [AccountSession(**dict(row)) for row in rows]

    def session_number(self, session: str) -> int | None:
        """Return the number of the session that a cookie holds."""
        with self._database.read() as connection:
            row = connection.execute("SELECT id FROM sessions WHERE digest = ?", (hashed(session),)).fetchone()
        return None if row is None else int(row["id"])

    def leave(self, session: str) -> None:
        """End the session that a cookie holds."""
        with self._database.write() as connection:
            connection.execute("DELETE FROM sessions WHERE digest = ?", (hashed(session),))

    def end_sessions(self, account: int, session: int | None = None, keep: str = "") -> int:
        """End the sessions of an account, or one of them by its number, but that of a cookie; return how many."""
        with self._database.write() as connection:
            return connection.execute(
                "DELETE FROM sessions WHERE account = ?1 AND digest <> ?2 AND (?3 IS NULL OR id = ?3)",
                (account, hashed(keep), session),
            ).rowcount

    def make_token(self, account: int, name: str, role: str) -> tuple[AccessToken, str]:
        """Return a new token for programs and its secret, which is not kept.

        Raises:
            ConfigError: the account may not do that much itself, or has too many tokens.
        """
        secret, now, name = secrets.token_urlsafe(32), self._clock(), plain(name) or "token"
        with self._database.write() as connection:
            if read_role(role) > Role[self._get(connection, account)["role"]]:
                raise ConfigError(f'a token of the role "{role}" may do more than its account', "give a lesser role")
            if connection.execute("SELECT count(*) FROM tokens WHERE account = ?", (account,)).fetchone()[0] >= TOKENS:
                raise ConfigError(f"there are {TOKENS} tokens", "revoke some")
            cursor = connection.execute(
                "INSERT INTO tokens (digest, account, name, role, made) VALUES (?, ?, ?, ?, ?)",
                (hashed(secret), account, name, role, now),
            )
        return AccessToken(int(cursor.lastrowid or 0), name, role, now, None), secret

    def tokens(self, account: int) -> list[AccessToken]:
        """Return the tokens of an account."""
        with self._database.read() as connection:
            rows = connection.execute(
                "SELECT id, name, role, made, seen FROM tokens WHERE account = ? ORDER BY id", (account,)
            )
            return [AccessToken(**dict(row)) for row in rows]

    def revoke(self, account: int, token: int) -> bool:
        """Make a token of an account void; return whether there was one."""
        with self._database.write() as connection:
            return connection.execute("DELETE FROM tokens WHERE account = ? AND id = ?", (account, token)).rowcount > 0

    # The log

    def record(
        self, visitor: Visitor, method: str, route: str, doings: Sequence[str], status: int, address: str
    ) -> None:
        """Write into the log what somebody did or tried; the oldest entries of accounts, or of strangers, give way."""
        row = (self._clock(), visitor.name, visitor.token, method, route, plain(", ".join(dict.fromkeys(doings)))[:300])
        with self._database.write() as connection:
            cursor = connection.execute(
                "INSERT INTO log (time, actor, token, method, route, object, status, address) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (*row, status, address),
            )
            if (
                int(cursor.lastrowid or 0) % max(1, LOGGED // 100) == 0
            ):  # to count them takes some hundredths of a second
                # Each are bounded by themselves: who stays outside cannot drive out what was done inside.
                for kind, most in (("<>", LOGGED), ("=", STRANGERS)):
                    connection.execute(
                        f"DELETE FROM log WHERE actor {kind} '' AND id <= "
                        f"(SELECT id FROM log WHERE actor {kind} '' ORDER BY id DESC LIMIT 1 OFFSET ?)",
                        (most,),
                    )

    def log(self, before: int | None = None, actor: str | None = None, limit: int = 100) -> list[LogEntry]:
        """Return entries of the log, the latest first: those before an entry, and of one account."""
        with self._database.read() as connection:
            rows = connection.execute(
                "SELECT * FROM log WHERE (?1 IS NULL OR id < ?1) AND (?2 IS NULL OR actor = ?2) "
                "ORDER BY id DESC LIMIT ?3",
                (before, actor, limit),
            )
            return [LogEntry(**dict(row)) for row in rows]


def _account(row: sqlite3.Row) -> Account:
    return Account(row["id"], row["name"], row["role"], row["made"], row["seen"], bool(row["disabled"]))


def _administrators(connection: sqlite3.Connection) -> int:
    found = connection.execute("SELECT count(*) FROM accounts WHERE role = 'administer' AND NOT disabled")
    return int(found.fetchone()[0])


def read_role(name: str) -> Role:
    """Return a role that accounts have, by its name."""
    known = {role.name: role for role in GIVEN}
    if name not in known:
        raise ConfigError(f'there is no role "{plain(name)}"', nearest(name, known))
    return known[name]


def check_password(password: str, name: str) -> None:
    """Refuse a password that is too short or too plain."""
    if not SHORTEST <= len(password) <= LONGEST:
        raise ConfigError(f"the password has {counted(len(password), 'character')}", f"give {SHORTEST} to {LONGEST}")
    if len(set(password)) < 5 or fold(name) in (fold(password), fold(password[::-1])):
        raise ConfigError("the password is too easy to guess", "give another")
