"""Accounts of studios for the tests, and browsers that are signed in with them."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from argon2 import PasswordHasher
from starlette.testclient import TestClient
from starlette.types import ASGIApp

from footage.studio.accounts import Accounts
from footage.studio.roles import GIVEN
from footage.studio.state import Studio

PASSWORD = "correct horse battery"
QUICK = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
BASE = "http://127.0.0.1"


def make_accounts(folder: Path, clock: Callable[[], float] = time.time) -> Accounts:
    """Return accounts, one of each role, which is its name too; all have the same password."""
    accounts = Accounts(folder, clock, QUICK)
    for role in GIVEN:
        _, secret = accounts.invite(role.name, "test")
        assert accounts.join(secret, role.name, PASSWORD) is not None
    return accounts


def sign_in(app: ASGIApp, studio: Studio, name: str, **headers: str) -> TestClient:
    """Return a browser in which an account is signed in, which sends what its pages send."""
    client = TestClient(app, base_url=BASE, raise_server_exceptions=False, headers=headers)
    accounts = studio.keys.accounts
    assert accounts is not None
    account = next(account for account in accounts.all() if account.name == name)
    session = accounts.enter(account)
    client.cookies.set(studio.keys.cookie, session)
    visitor = accounts.visitor(session)
    assert visitor is not None
    client.headers["x-csrf-token"] = studio.keys.csrf_of(visitor)
    return client
