"""Interface to the session of who is asking, to accounts and invitations, and to the log."""

from __future__ import annotations

import csv
import dataclasses
import io
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Depends, HTTPException, Query, Request, Response
from fastapi.responses import StreamingResponse

from footage.errors import ConfigError
from footage.library.entries import fold
from footage.studio.accounts import (
    LASTS,
    AccessToken,
    Account,
    Accounts,
    AccountSession,
    Invitation,
    LogEntry,
    check_password,
)
from footage.studio.roles import Visitor
from footage.studio.routes.ratings import csv_text
from footage.studio.schemas import (
    AccountForm,
    EntryForm,
    Id,
    InvitationForm,
    Name,
    NewcomerForm,
    PasswordForm,
    PathId,
    TokenForm,
)
from footage.studio.security import client_address
from footage.studio.state import CurrentStudio, CurrentVisitor

router = APIRouter(prefix="/api", tags=["session, accounts and log"])


async def current_accounts(studio: CurrentStudio) -> Accounts:
    """Return the accounts; 404 in a studio of one owner."""
    if studio.keys.accounts is None:
        raise HTTPException(404, {"problem": "this studio has no accounts", "remedy": "start it with --accounts"})
    return studio.keys.accounts


async def signed_in(visitor: CurrentVisitor) -> Visitor:
    """Return who came in by a password; a program that has a token cannot change the account that it is of."""
    if visitor.token:
        raise HTTPException(403, {"problem": "a token does not allow this", "remedy": "sign in with the password"})
    return visitor


CurrentAccounts = Annotated[Accounts, Depends(current_accounts)]
SignedIn = Annotated[Visitor, Depends(signed_in)]


@dataclass(frozen=True)
class OwnAccount:
    """Account of who is asking."""

    name: str
    role: str
    session: int | None
    """Number of the session that this is asked in."""
    sessions: list[AccountSession]
    tokens: list[AccessToken]


@dataclass(frozen=True)
class NewLink:
    """Invitation that was made, and the one sight of its address."""

    invitation: Invitation
    url: str


@dataclass(frozen=True)
class NewToken:
    """Token that was made, and the one sight of it."""

    token: AccessToken
    secret: str


@dataclass(frozen=True)
class People:
    """Accounts by name, and open invitations."""

    accounts: list[Account]
    invitations: list[Invitation]


# Coming in


@router.get("/session")
def get_session(studio: CurrentStudio, visitor: CurrentVisitor) -> dict[str, Any]:
    """Return what changes have to be sent with in the header X-CSRF-Token, to who has come in; and who that is."""
    entered = visitor.role > 0
    csrf = studio.keys.csrf_of(visitor) if entered else None
    return {"entered": entered, "csrf": csrf, "name": visitor.name, "role": visitor.role.name}


@router.post("/session")
def enter_session(form: EntryForm, response: Response, request: Request, studio: CurrentStudio) -> dict[str, bool]:
    """Come in, by the token that the server showed when it started, or by name and password; a cookie remembers it."""
    keys, client = studio.keys, client_address(request.scope)
    if keys.accounts is None:
        session = keys.enter(form.token, client)
        if session is None:
            raise HTTPException(401, "the token is wrong")
        set_session(response, request, studio, session)
        return {"entered": True}
    name = f"account {fold(form.name)}"
    keys.tries.check(client, name, what="passwords", count=True)
    account = keys.accounts.check(form.name, form.password)
    if account is None:
        raise HTTPException(401, "name or password is wrong")
    keys.tries.forgive(client, name)
    begin_session(response, request, studio, keys.accounts, account)
    return {"entered": True}


def begin_session(
    response: Response, request: Request, studio: CurrentStudio, accounts: Accounts, account: Account
) -> None:
    """Begin a session of an account in the browser that is asking."""
    address = request.client.host if request.client else ""
    session = accounts.enter(account, address, request.headers.get("user-agent", ""))
    request.scope["visitor"] = accounts.visitor(session)
    set_session(response, request, studio, session, round(LASTS))


def set_session(
    response: Response, request: Request, studio: CurrentStudio, session: str, seconds: int | None = None
) -> None:
    """Let the browser that is asking remember a session."""
    secure = request.url.scheme == "https"
    response.set_cookie(
        studio.keys.cookie, session, httponly=True, samesite="strict", secure=secure, path="/", max_age=seconds
    )


@router.delete("/session")
def leave_session(response: Response, studio: CurrentStudio, visitor: CurrentVisitor) -> dict[str, bool]:
    """Sign out."""
    studio.keys.leave(visitor.session)
    response.delete_cookie(studio.keys.cookie, path="/")
    return {"entered": False}


@router.post("/join")
def join(
    form: NewcomerForm, response: Response, request: Request, studio: CurrentStudio, accounts: CurrentAccounts
) -> dict[str, str]:
    """Take up an invitation: make an account, or choose its password anew, and come in."""
    client = client_address(request.scope)
    studio.keys.tries.check(client, what="invitations")
    account = accounts.join(form.invitation, form.name, form.password)
    if account is None:
        studio.keys.tries.count(client)
        raise HTTPException(404, "this invitation was used, has ended or was withdrawn: ask for another")
    begin_session(response, request, studio, accounts, account)
    return {"name": account.name, "role": account.role}


# One's own account


@router.get("/account")
def get_account(accounts: CurrentAccounts, visitor: CurrentVisitor) -> OwnAccount:
    """Return one's own account, with its sessions and tokens."""
    number = accounts.session_number(visitor.session)
    sessions, tokens = accounts.sessions(visitor.account), accounts.tokens(visitor.account)
    return OwnAccount(visitor.name, visitor.role.name, number, sessions, tokens)


@router.put("/account/password")
def change_password(
    form: PasswordForm, accounts: CurrentAccounts, studio: CurrentStudio, visitor: SignedIn
) -> dict[str, bool]:
    """Choose another password; all other sessions end."""
    check_password(form.new, visitor.name)  # it says nothing of the old one, and is no try
    name = f"account {fold(visitor.name)}"
    studio.keys.tries.check(name, what="passwords", count=True)
    accounts.change_password(visitor.account, form.old, form.new, visitor.session)
    studio.keys.tries.forgive(name)
    return {"changed": True}


@router.delete("/account/sessions")
def end_sessions(
    response: Response, studio: CurrentStudio, accounts: CurrentAccounts, visitor: SignedIn
) -> dict[str, int]:
    """Sign out everywhere, here too."""
    response.delete_cookie(studio.keys.cookie, path="/")
    return {"ended": accounts.end_sessions(visitor.account)}


@router.delete("/account/sessions/{session}")
def end_session(session: PathId, accounts: CurrentAccounts, visitor: SignedIn) -> dict[str, int]:
    """End one of one's own sessions."""
    if not accounts.end_sessions(visitor.account, session):
        raise HTTPException(404, "there is no such session")
    return {"ended": session}


@router.post("/account/tokens")
def make_token(form: TokenForm, accounts: CurrentAccounts, visitor: SignedIn) -> NewToken:
    """Make a token for programs, `Authorization: Bearer TOKEN`, which may do what its role may."""
    return NewToken(*accounts.make_token(visitor.account, form.name, form.role))


@router.delete("/account/tokens/{token}")
def revoke_token(token: PathId, accounts: CurrentAccounts, visitor: SignedIn) -> dict[str, int]:
    """Make one of one's own tokens void."""
    if not accounts.revoke(visitor.account, token):
        raise HTTPException(404, "there is no such token")
    return {"revoked": token}


# People


@router.get("/people")
def list_people(accounts: CurrentAccounts) -> People:
    """Return the accounts and the invitations that can be taken up."""
    return People(accounts.all(), accounts.invitations())


@router.patch("/people/{account}")
def change_account(account: PathId, form: AccountForm, accounts: CurrentAccounts, _: SignedIn) -> Account:
    """Give an account another role, keep it out, which ends its sessions, or let it in again."""
    return accounts.change(account, form.role, form.disabled)


@router.post("/people/{account}/link")
def make_password_link(account: PathId, accounts: CurrentAccounts, request: Request, visitor: SignedIn) -> NewLink:
    """Make a link by which somebody who has forgotten a password chooses another, once."""
    known = {entry.id: entry for entry in accounts.all()}
    if account not in known:
        raise ConfigError(f"there is no account {account}", "see the list of accounts")
    invitation, secret = accounts.invite(known[account].role, visitor.name, account)
    return NewLink(invitation, join_address(request, secret, f"?name={quote(known[account].name)}"))


@router.post("/invitations")
def invite(form: InvitationForm, accounts: CurrentAccounts, request: Request, visitor: SignedIn) -> NewLink:
    """Make a link by which somebody makes an account of a role, once."""
    invitation, secret = accounts.invite(form.role, visitor.name)
    return NewLink(invitation, join_address(request, secret))


def join_address(request: Request, secret: str, about: str = "") -> str:
    """Return the address of an invitation; the secret stands behind #, which browsers send to nobody."""
    return f"{request.base_url}join{about}#{secret}"


@router.delete("/invitations/{invitation}")
def withdraw_invitation(invitation: PathId, accounts: CurrentAccounts) -> dict[str, int]:
    """Make an invitation void."""
    if not accounts.withdraw(invitation):
        raise HTTPException(404, "there is no such invitation")
    return {"withdrawn": invitation}


@router.get("/log")
def list_log(
    accounts: CurrentAccounts,
    before: Annotated[Id | None, Query()] = None,
    actor: Annotated[Name | None, Query()] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> list[LogEntry]:
    """Return what was changed or tried, the latest first; `before` is the number of the last entry of a page."""
    return accounts.log(before, actor, limit)


@router.get("/log.csv")
def get_log_table(accounts: CurrentAccounts) -> StreamingResponse:
    """Return the whole log as CSV, a row each."""

    def rows() -> Iterator[str]:
        names = [field.name for field in dataclasses.fields(LogEntry)]
        yield table_row([*names, "utc"])
        before = None
        while entries := accounts.log(before, limit=1000):
            for entry in entries:
                utc = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(entry.time))
                cells = [csv_text(str(value)) for value in dataclasses.astuple(entry)]
                yield table_row([*cells, utc])
            before = entries[-1].id

    headers = {"content-disposition": 'attachment; filename="log.csv"'}
    return StreamingResponse(rows(), media_type="text/csv; charset=utf-8", headers=headers)


def table_row(cells: list[str]) -> str:
    out = io.StringIO()
    csv.writer(out).writerow(cells)
    return out.getvalue()
