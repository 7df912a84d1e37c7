"""Accounts: every route and every role, invitations, sessions, tokens, limits, the log, HTTPS."""

from __future__ import annotations

import csv
import datetime
import io
import json
import re
import socket
import ssl
import stat
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import psutil
import pytest
from fastapi import FastAPI
from playwright.sync_api import expect
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.testclient import TestClient
from starlette.types import Receive, Scope, Send

from footage.commands import play
from footage.config.presets import preset
from footage.errors import ConfigError
from footage.library.library import Library
from footage.library.storage import Database, DiskFull, acting
from footage.studio import accounts as accounts_module
from footage.studio.accounts import ACCOUNTS, IDLE, INVITED, LASTS, Accounts
from footage.studio.app import Address, Server, all_routes, application
from footage.studio.catalog import Catalog
from footage.studio.encryption import Encryption
from footage.studio.roles import GIVEN, ROLES, LeastRoles, Role, Visitor
from footage.studio.security import LOOPBACK, Guard, Keys, Limits
from footage.studio.state import Studio
from footage.training.run_folder import DataNote, RunFolder, write_config
from tests.clips import moving, write
from tests.ingesting import ingest
from tests.people import BASE, PASSWORD, QUICK, make_accounts, sign_in
from tests.studios import LOADED

if TYPE_CHECKING:
    from playwright.sync_api import Browser


class Clock:
    """A clock that is set by hand."""

    now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def studio(tmp_path: Path, clock: Clock) -> Iterator[Studio]:
    library = Library(tmp_path / "library")
    for seed in range(3):
        library.add(write(tmp_path / f"{seed}.mp4", moving(8, seed=seed)))
    (tmp_path / "models").mkdir()
    keys = Keys(tries=3, accounts=make_accounts(library.folder, clock))
    made = Studio(library, Catalog(tmp_path / "models"), keys, Limits(changes=1e6))
    made.worker.close()
    yield made
    made.close()


@pytest.fixture
def app(studio: Studio) -> FastAPI:
    return application(studio)


def accounts_of(studio: Studio) -> Accounts:
    assert studio.keys.accounts is not None
    return studio.keys.accounts


def test_every_route_is_in_the_table(app: FastAPI) -> None:
    routes = {(method, route.path) for route in all_routes() for method in route.methods or ()}
    described = {(method.upper(), path) for path, operations in app.openapi()["paths"].items() for method in operations}
    assert described <= routes
    table = ROLES.keys() - {("GET", "/api/openapi.json")}
    assert routes - table == set(), "give each a least role in studio/roles.py"
    assert table - routes == set(), "these are no longer there"


def test_what_is_not_in_the_table_is_for_administrators(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(ROLES, ("GET", "/api/clips"))
    least = LeastRoles(all_routes())
    assert least.find("GET", "/api/clips") == ("/api/clips", Role.administer)
    assert least.find("GET", "/api/clips/ids") == ("/api/clips/ids", Role.look), "not for a clip's number"
    assert least.find("GET", "/nowhere") == ("", Role.look)


@pytest.mark.parametrize("role", [None, *GIVEN], ids=lambda role: role.name if role else "stranger")
def test_each_role_may_do_what_the_table_says_and_nothing_else(studio: Studio, role: Role | None) -> None:
    reached: list[str] = []

    async def behind(scope: Scope, receive: Receive, send: Send) -> None:
        reached.append(scope["path"])
        await Response(status_code=204)(scope, receive, send)

    def answer(_: Request, status: int, problem: str, remedy: str) -> Response:
        return JSONResponse({"problem": problem, "remedy": remedy}, status)

    guard = Guard(behind, studio.keys, LOOPBACK, False, studio.limits, all_routes(), answer)
    client = sign_in(guard, studio, role.name) if role else TestClient(guard, base_url=BASE)
    for (method, path), least in ROLES.items():
        reached.clear()
        code = client.request(method, re.sub(r"\{\w+\}", "1", path), follow_redirects=False).status_code
        allowed = (role or Role.anyone) >= least
        assert bool(reached) == allowed, (method, path)
        assert code == 204 if allowed else code in ((403,) if role else (401, 403)), (method, path, code)


def test_an_invitation_is_for_once_and_ends(studio: Studio, app: FastAPI, clock: Clock) -> None:
    administrator = sign_in(app, studio, "administer")
    link = administrator.post("/api/invitations", json={"role": "rate"}).json()
    secret = link["url"].partition("#")[2]
    assert link["url"].startswith(f"{BASE}/join#") and link["invitation"]["role"] == "rate"
    guest = TestClient(app, base_url=BASE)

    def join(**values: str) -> int:
        asked = {"invitation": secret, "name": "Ann", "password": PASSWORD, **values}
        return guest.post("/api/join", json=asked).status_code

    assert join(name="<b>") == 400 and join(name="RATE") == 400, "names are alike without case"
    assert [join(password=bad) for bad in ("short", "aaaaaaaaaaaa")] == [400, 400]
    assert join() == 200, "those were no guesses at the secret, of which there may be three a minute"
    own = guest.get("/api/session").json()
    assert (own["name"], own["role"], own["entered"]) == ("Ann", "rate", True)
    assert guest.get("/", headers={"accept": "text/html"}).status_code == 200
    assert join(name="Bob") == 404, "it was used"
    secret = administrator.post("/api/invitations", json={}).json()["url"].partition("#")[2]
    clock.now += INVITED + 1
    assert join(name="Bob") == 404 and accounts_of(studio).invitations() == []
    entry = sign_in(app, studio, "administer").post("/api/invitations", json={}).json()
    assert sign_in(app, studio, "administer").delete(f"/api/invitations/{entry['invitation']['id']}").status_code == 200
    assert accounts_of(studio).join(entry["url"].partition("#")[2], "Bob", PASSWORD) is None


def test_signing_in_and_out(studio: Studio, app: FastAPI, clock: Clock) -> None:
    client = TestClient(app, base_url=BASE)
    assert client.get("/", headers={"accept": "text/html"}, follow_redirects=False).headers["location"] == "/enter"
    assert "password" in client.get("/enter").text and client.get("/api/clips").status_code == 401
    assert client.post("/api/session", json={"name": "make", "password": "wrong password"}).status_code == 401
    answer = client.post("/api/session", json={"name": "MAKE", "password": PASSWORD})
    cookie = answer.headers["set-cookie"].lower()
    assert answer.status_code == 200 and "httponly" in cookie and "samesite=strict" in cookie and "secure" not in cookie
    csrf = client.get("/api/session").json()["csrf"]
    assert client.post("/api/undo").status_code == 403 and client.get("/api/clips").status_code == 200
    other = sign_in(app, studio, "make")
    assert client.post("/api/undo", headers={"x-csrf-token": other.headers["x-csrf-token"]}).status_code == 403
    assert client.post("/api/undo", headers={"x-csrf-token": csrf}).status_code == 200
    assert client.delete("/api/session", headers={"x-csrf-token": csrf}).status_code == 200
    assert client.get("/api/clips").status_code == 401 and other.get("/api/clips").status_code == 200
    clock.now += IDLE - 1
    assert other.get("/api/clips").status_code == 200, "it was used"
    clock.now += IDLE + 1
    assert other.get("/api/clips").status_code == 401
    used = sign_in(app, studio, "make")
    begun = clock.now
    while clock.now < begun + LASTS:
        assert used.get("/api/albums").status_code == 200
        clock.now += IDLE / 2
    assert used.get("/api/albums").status_code == 401, "at last it ends, used or not"


def test_secrets_are_not_kept(studio: Studio, app: FastAPI) -> None:
    client = sign_in(app, studio, "make")
    secret = client.post("/api/account/tokens", json={"name": "program", "role": "rate"}).json()["secret"]
    folder = studio.library.folder
    invitation = accounts_of(studio).invite("look", "make")[1]
    session = client.post("/api/session", json={"name": "make", "password": PASSWORD}).cookies[studio.keys.cookie]
    kept = b"".join(path.read_bytes() for path in folder.glob(f"{ACCOUNTS}*"))
    assert b"$argon2id$" in kept and not any(text.encode() in kept for text in (secret, session, invitation, PASSWORD))
    for path in folder.glob(f"{ACCOUNTS}*"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path


def test_tokens_are_bound_to_a_role_and_to_their_account(studio: Studio, app: FastAPI) -> None:
    client = sign_in(app, studio, "make")
    assert client.post("/api/account/tokens", json={"name": "x", "role": "administer"}).status_code == 400
    made = client.post("/api/account/tokens", json={"name": "program", "role": "rate"}).json()
    program = TestClient(app, base_url=BASE, headers={"authorization": f"Bearer {made['secret']}"})
    assert program.patch("/api/clips/1", json={"stars": 3}).status_code == 200
    assert studio.library.history(1)[0].actor == "make"
    assert program.post("/api/clips/bin", json={"ids": [1]}).status_code == 403
    assert program.post("/api/account/tokens", json={"name": "more"}).status_code == 403
    assert program.put("/api/account/password", json={"old": PASSWORD, "new": "x" * 9 + "yzabc"}).status_code == 403
    accounts_of(studio).change(3, role="look")
    assert program.patch("/api/clips/1", json={"stars": 4}).status_code == 403, "the lesser of the two"
    assert client.get("/api/account").json()["tokens"][0]["name"] == "program"
    assert client.delete(f"/api/account/tokens/{made['token']['id']}").status_code == 200
    assert program.get("/api/clips").status_code == 401 and client.delete("/api/account/tokens/1").status_code == 404


def test_passwords_and_sessions_of_ones_own(studio: Studio, app: FastAPI) -> None:
    client, other = sign_in(app, studio, "look"), sign_in(app, studio, "look")
    assert client.put("/api/account/password", json={"old": "wrong", "new": "another password"}).status_code == 400
    assert client.put("/api/account/password", json={"old": PASSWORD, "new": "look"}).status_code == 400
    assert client.put("/api/account/password", json={"old": PASSWORD, "new": "another password"}).status_code == 200
    assert client.get("/api/clips").status_code == 200 and other.get("/api/clips").status_code == 401
    assert accounts_of(studio).check("look", PASSWORD) is None
    assert accounts_of(studio).check("look", "another password") is not None
    other = sign_in(app, studio, "look")
    own = client.get("/api/account").json()
    strange = next(s["id"] for s in own["sessions"] if s["id"] != own["session"])
    assert sign_in(app, studio, "make").delete(f"/api/account/sessions/{strange}").status_code == 404, "not another's"
    assert client.delete(f"/api/account/sessions/{strange}").status_code == 200
    assert other.get("/api/clips").status_code == 401
    other = sign_in(app, studio, "look")
    assert client.delete("/api/account/sessions").json() == {"ended": 2}
    assert client.get("/api/clips").status_code == other.get("/api/clips").status_code == 401


def test_administrators_look_after_people(studio: Studio, app: FastAPI) -> None:
    client, maker = sign_in(app, studio, "administer"), sign_in(app, studio, "make")
    people = client.get("/api/people").json()
    assert [account["name"] for account in people["accounts"]] == ["administer", "look", "make", "rate"]
    assert "password" not in client.get("/api/people").text
    assert client.patch("/api/people/4", json={"role": "make"}).status_code == 400, "the last one"
    assert client.patch("/api/people/4", json={"disabled": True}).status_code == 400
    assert client.patch("/api/people/99", json={"role": "make"}).status_code == 400
    assert client.patch("/api/people/3", json={"disabled": True}).json()["disabled"] is True
    assert maker.get("/api/clips").status_code == 401 and accounts_of(studio).check("make", PASSWORD) is None
    client.patch("/api/people/3", json={"disabled": False})
    maker = sign_in(app, studio, "make")
    link = client.post("/api/people/3/link").json()["url"]
    assert "?name=make#" in link
    guest = TestClient(app, base_url=BASE)
    asked = {"invitation": link.partition("#")[2], "name": "", "password": "a new password"}
    assert guest.post("/api/join", json=asked).json() == {"name": "make", "role": "make"}
    assert maker.get("/api/clips").status_code == 401 and guest.get("/api/clips").status_code == 200


def test_jobs_of_others_are_an_administrators(studio: Studio, app: FastAPI) -> None:
    with acting("rate"):
        job = studio.library.jobs.submit("verify", {}).id
    maker, administrator = sign_in(app, studio, "make"), sign_in(app, studio, "administer")
    assert maker.post(f"/api/jobs/{job}/cancel").status_code == 403
    assert studio.library.jobs.get(job).state == "queued"
    assert administrator.post(f"/api/jobs/{job}/cancel").json()["state"] == "cancelled"
    assert maker.post("/api/jobs/clear").json() == {"cleared": 0}
    asked = {"model": "stream-shapes", "count": 1, "seconds": 1}
    own = maker.post("/api/jobs/generate", json=asked).json()
    assert own["actor"] == "make" and maker.post(f"/api/jobs/{own['id']}/cancel").json()["state"] == "cancelled"
    assert maker.post("/api/jobs/clear").json() == {"cleared": 1}
    assert administrator.post("/api/jobs/clear").json() == {"cleared": 1}


def test_a_training_and_an_upload_are_whose_they_are(studio: Studio, app: FastAPI) -> None:
    jobs, process = studio.library.jobs, psutil.Process()
    run = RunFolder(studio.catalog.folder / "runs" / "hers")
    run.state.parent.mkdir(parents=True)
    write_config(run, preset("stream-32"), DataNote("shapes", "shapes", "", ()))
    status = {"state": "running", "clips": 1, "seconds": 1.0, "part": 0.1, "clips_per_second": 1.0, "memory_gib": 1.0}
    status |= {"target_clips": 9, "target_minutes": None, "device": "cpu", "host": socket.gethostname()}
    run.status.write_text(json.dumps(status | {"pid": process.pid, "began": process.create_time(), "written": 0.0}))
    for kind, actor in (("train", "administer"), ("plan", "make")):  # the latest is looked at first
        with acting(actor):
            jobs.submit(kind, {"run": "runs/hers", "device": "cpu"})
        jobs.claim("worker", [kind])
    client = sign_in(app, studio, "make")
    assert client.post("/api/runs/stop", params={"run": "runs/hers"}).status_code == 403
    assert sign_in(app, studio, "administer").post("/api/runs/stop", params={"run": "runs/hers"}).status_code == 200

    accounts = accounts_of(studio)
    secret = accounts.invite("make", "test")[1]
    assert accounts.join(secret, "other", PASSWORD) is not None
    files = [{"path": "a.mp4", "size": 4, "modified": 0}]
    assert client.post("/api/sources/uploads", json={"name": "walk", "files": files}).status_code == 200
    other = sign_in(app, studio, "other")
    assert other.post("/api/sources/uploads", json={"name": "walk", "files": files}).json()["folder"] == "walk"
    assert other.delete("/api/sources/uploads", params={"folder": "walk"}).status_code == 403
    assert client.delete("/api/sources/uploads", params={"folder": "walk"}).status_code == 200


def test_the_rater_is_the_account(studio: Studio, app: FastAPI) -> None:
    with studio.library._database.write() as connection:
        connection.execute("UPDATE clips SET model = 'x', origin = 'generated' WHERE id = 1")
        connection.execute("UPDATE clips SET codec = 'h264'")
    client = sign_in(app, studio, "rate")
    pair = client.post("/api/ratings/pairs", json={"campaign": "c", "models": ["x", "imported"]}).json()["pair"]
    answered = client.post(f"/api/ratings/pairs/{pair}", json={"question": "motion", "choice": "a", "rater": "forged"})
    assert [rating.rater for rating in studio.library.ratings.all()] == ["rate"]
    other = sign_in(app, studio, "make")
    assert other.delete(f"/api/ratings/answers/{answered.json()['rating']}").status_code == 403
    assert client.delete(f"/api/ratings/answers/{answered.json()['rating']}").status_code == 200


def test_wrong_passwords_are_counted_for_address_and_account(studio: Studio, app: FastAPI) -> None:
    def code(host: str, name: str, password: str = "wrong password") -> int:
        client = TestClient(app, base_url=BASE, client=(host, 50_000))
        answer = client.post("/api/session", json={"name": name, "password": password})
        assert answer.status_code != 429 or 0 < int(answer.headers["retry-after"]) <= 60
        return answer.status_code

    assert [code("10.0.0.1", f"name {i}") for i in range(4)] == [401, 401, 401, 429]
    assert code("10.0.0.2", "make", PASSWORD) == 200, "others are not kept out"
    assert [code(f"10.0.1.{i}", "look") for i in range(4)] == [401, 401, 401, 429], "wherever they come from"
    assert code("10.0.0.3", "LOOK", PASSWORD) == 429 and code("10.0.0.3", "rate", PASSWORD) == 200
    assert [code("10.0.2.1", "nobody") for _ in range(4)] == [401, 401, 401, 429], "as those that there are"
    assert [code("10.0.4.1", "administer", PASSWORD) for _ in range(5)] == [200] * 5, "right ones are not counted"


def test_of_many_passwords_at_once_no_more_are_looked_at_than_may_be_wrong(
    studio: Studio, app: FastAPI, monkeypatch: pytest.MonkeyPatch
) -> None:
    checked, go_on = list[str](), threading.Event()

    def check(accounts: Accounts, name: str, password: str) -> None:
        checked.append(name)
        go_on.wait(30)

    monkeypatch.setattr(Accounts, "check", check)

    def give(number: int) -> None:
        client = TestClient(app, base_url=BASE)
        answer = client.post("/api/session", json={"name": f"name {number}", "password": "wrong password"})
        codes.append(answer.status_code)
        if answer.status_code == 429:
            go_on.set()

    codes: list[int] = []
    threads = [threading.Thread(target=give, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(codes) == [401, 401, 401, 429] and len(checked) == 3


def test_a_new_password_that_is_none_is_no_wrong_one(studio: Studio, app: FastAPI) -> None:
    client = sign_in(app, studio, "rate")
    for _ in range(5):
        answer = client.put("/api/account/password", json={"old": PASSWORD, "new": "short"})
        assert answer.status_code == 400 and "has 5 characters" in answer.text
    answer = client.put("/api/account/password", json={"old": PASSWORD, "new": "another horse battery"})
    assert answer.status_code == 200


def test_who_has_come_in_stays_in_where_the_disk_is_full(
    studio: Studio, app: FastAPI, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, accounts = sign_in(app, studio, "make"), accounts_of(studio)
    account = next(account for account in accounts.all() if account.name == "make")
    _, token = accounts.make_token(account.id, "program", "make")
    clock.now += 100

    def full(database: object) -> NoReturn:
        raise DiskFull

    monkeypatch.setattr(Database, "check_writable", full)
    assert client.get("/api/account").json()["name"] == "make"
    program = TestClient(app, base_url=BASE, headers={"authorization": f"Bearer {token}"})
    assert program.get("/api/account").status_code == 200


def test_a_name_that_is_not_known_takes_as_much_work(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    accounts, verified = accounts_of(studio), []
    monkeypatch.setattr(
        type(accounts), "_fits", lambda self, stored, password: verified.append(stored.split("$")[3]) or False
    )
    assert accounts.check("look", "x") is None and accounts.check("nobody", "x") is None
    assert verified[0] == verified[1], "with the same parameters"


def test_changes_have_a_limit_for_each_account(tmp_path: Path) -> None:
    library = Library(tmp_path / "library")
    limits = Limits(changes=0.001, burst=5)
    made = Studio(library, Catalog(tmp_path), Keys(accounts=make_accounts(library.folder)), limits)
    made.worker.close()
    app = application(made)
    client = sign_in(app, made, "rate")
    codes = [client.post("/api/redo") for _ in range(6)]
    assert [answer.status_code for answer in codes] == [200] * 5 + [429] and codes[-1].headers["retry-after"]
    elsewhere = TestClient(app, base_url=BASE, client=("10.0.0.9", 1), cookies=client.cookies, headers=client.headers)
    assert elsewhere.post("/api/redo").status_code == 429, "an account is one, wherever it comes from"
    made.close()


def test_the_log_says_who_did_what(studio: Studio, app: FastAPI) -> None:
    client, administrator = sign_in(app, studio, "rate"), sign_in(app, studio, "administer")
    client.patch("/api/clips/2", json={"stars": 4, "notes": "=SUM(A1)"})
    client.post("/api/clips/bin", json={"ids": [1]})
    TestClient(app, base_url=BASE).post("/api/session", json={"name": "look", "password": "wrong password"})
    TestClient(app, base_url=BASE).post("/api/session", json={"name": "look", "password": PASSWORD})
    entries = administrator.get("/api/log").json()
    step = studio.library.history(1)[0].id
    said = [(e["actor"], e["method"], e["route"], e["object"], e["status"]) for e in reversed(entries)]
    assert said == [
        ("rate", "PATCH", "/api/clips/{clip}", f"/api/clips/2, step {step}", 200),
        ("rate", "POST", "/api/clips/bin", "", 403),
        ("", "POST", "/api/session", "", 401),
        ("look", "POST", "/api/session", "", 200),
    ]
    assert {entry["address"] for entry in entries} == {"testclient"}
    only = administrator.get("/api/log", params={"actor": "rate", "limit": 1, "before": entries[2]["id"]}).json()
    assert [entry["id"] for entry in only] == [entries[3]["id"]]
    rows = list(csv.DictReader(io.StringIO(administrator.get("/api/log.csv").text)))
    assert len(rows) == 4 and rows[0]["actor"] == "look" and rows[0]["utc"].startswith("1970-01-12T")
    page = administrator.get("/log", headers={"accept": "text/html"}).text
    assert "/api/clips/{clip}" in page and "testclient" in page
    shown = administrator.get("/activity", headers={"accept": "text/html"}).text
    assert "<small>rate</small>" in shown


def test_the_log_is_bounded_and_strangers_cannot_drive_it_out(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accounts_module, "LOGGED", 30)
    monkeypatch.setattr(accounts_module, "STRANGERS", 4)
    accounts = accounts_of(studio)
    accounts.record(Visitor(Role.make, "make"), "POST", "/api/undo", [], 200, "here")
    for number in range(40):
        accounts.record(Visitor(Role.anyone), "POST", "/api/session", [str(number)], 401, "there")
    assert [entry.object for entry in accounts.log() if not entry.actor] == ["39", "38", "37", "36"]
    assert [entry.actor for entry in accounts.log()].count("make") == 1
    for _ in range(40):
        accounts.record(Visitor(Role.make, "make"), "POST", "/api/undo", [], 200, "here")
    assert [bool(entry.actor) for entry in accounts.log(limit=1000)] == [True] * 30 + [False] * 4


HTML = {"accept": "text/html"}


def test_pages_show_what_the_role_may_do(studio: Studio, app: FastAPI) -> None:
    looks = sign_in(app, studio, "look", **HTML)
    page = looks.get("/").text
    assert 'data-role="look"' in page and 'href="/generate"' not in page.split("</nav>")[0]
    assert 'href="/people"' not in page and 'href="/account"' in page
    assert "readonly" in looks.get("/clip/1").text and "contenteditable" not in looks.get("/clip/1").text
    refused = looks.get("/people")
    assert refused.status_code == 403 and "<!doctype html>" in refused.text and "administrator" in refused.text
    administrator = sign_in(app, studio, "administer", **HTML)
    assert 'href="/people"' in administrator.get("/").text and "contenteditable" in administrator.get("/clip/1").text
    assert "data-account" in administrator.get("/people").text
    assert "sessions" in administrator.get("/account").text.lower()


def test_without_accounts_nothing_is_asked_and_nothing_is_shown(tmp_path: Path) -> None:
    made = Studio(Library(tmp_path / "library"), Catalog(tmp_path), Keys())
    made.worker.close()
    client = TestClient(application(made), base_url=BASE, headers={"x-csrf-token": made.keys.csrf})
    page = client.get("/").text
    assert 'data-role="administer"' in page and 'href="/account"' not in page and 'href="/people"' not in page
    for name in ("account", "people", "log", "join"):
        assert client.get(f"/{name}", headers=HTML).status_code == 404
    assert client.get("/api/people").json()["remedy"] == "start it with --accounts"
    assert client.post("/api/jobs/verify").json()["actor"] == "" and not list(tmp_path.rglob("accounts*"))
    made.close()


def test_what_lacks_a_role_or_a_name_is_refused(tmp_path: Path) -> None:
    accounts = Accounts(tmp_path, hasher=QUICK)
    assert not accounts.administered
    with pytest.raises(ConfigError, match="no role"):
        accounts.invite("king")
    _, first = accounts.invite("administer")
    _, second = accounts.invite("administer")
    assert accounts.join(first, "ann", PASSWORD) is None, "of the server's own the last one alone"
    assert accounts.join(second, "ann", PASSWORD) is not None and accounts.administered
    accounts.close()
    again = Accounts(tmp_path, hasher=QUICK)
    assert again.check("Ann", PASSWORD) is not None and again.visitor("") is None
    again.close()


def test_the_first_starts_print_a_link_for_the_administrator(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def serve(**given: object) -> str:
        """Start and end a studio; return the secret of the link that is printed, empty where there is none."""
        play.serve(library=tmp_path / "library", models=tmp_path, port=0, accounts=True, **given)  # type: ignore[arg-type]
        return capsys.readouterr().out.replace("\n", "").partition("/join#")[2].partition(" ")[0]

    def run(server: Server) -> None:
        server._socket.close()
        server.studio.close()

    monkeypatch.setattr(Server, "run", run)
    first, second = serve(), serve(quiet=True)
    accounts = Accounts(tmp_path / "library", hasher=QUICK)
    assert first != second and accounts.join(first, "ann", PASSWORD) is None
    assert accounts.join(second, "ann", PASSWORD) is not None
    assert serve() == "" and accounts.join(serve(invite=True), "bob", PASSWORD) is not None
    accounts.close()
    for given in ({"invite": True}, {"key": tmp_path / "key.pem"}):
        with pytest.raises(ConfigError, match="is given without"):
            play.serve(library=tmp_path / "library", models=tmp_path, port=0, **given)  # type: ignore[arg-type]


# HTTPS


def save_certificate(folder: Path, days: float = 90, name: str = "one") -> tuple[Path, Path]:
    """Write a certificate for this machine that ends in so many days, and its key."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.datetime.now(datetime.UTC)
    about = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(about)
        .issuer_name(about)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=9))
        .not_valid_after(now + datetime.timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem, plain = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    paths = folder / f"{name}.pem", folder / f"{name}.key"
    paths[0].write_bytes(certificate.public_bytes(pem))
    paths[1].write_bytes(key.private_bytes(pem, plain, serialization.NoEncryption()))
    locked = key.private_bytes(pem, plain, serialization.BestAvailableEncryption(b"secret"))
    (folder / f"{name}.locked").write_bytes(locked)
    return paths


def test_certificates_are_looked_at_before_they_are_shown(tmp_path: Path) -> None:
    certificate, key = save_certificate(tmp_path)
    assert Encryption(certificate, key).warning() is None
    both = tmp_path / "both.pem"
    both.write_bytes(certificate.read_bytes() + key.read_bytes())
    assert Encryption(both).warning() is None
    ended, its_key = save_certificate(tmp_path, -1, "ended")
    assert "has ended" in str(Encryption(ended, its_key).warning())
    soon, its_key = save_certificate(tmp_path, 5, "soon")
    assert "ends in 5 days" in str(Encryption(soon, its_key).warning())
    for problem, files in {
        "no file": (tmp_path / "none.pem", key),
        "does not fit": (soon, key),
        "no certificate and key": (key, certificate),
        "is locked": (certificate, tmp_path / "one.locked"),
    }.items():
        with pytest.raises(ConfigError, match=problem):
            Encryption(*files)


def test_a_studio_speaks_https(tmp_path: Path) -> None:
    import httpx

    certificate, key = save_certificate(tmp_path)
    encryption = Encryption(certificate, key)
    address = Address("localhost", 0, ("studio.example",), accounts=True, encryption=encryption)
    server = Server(tmp_path / "library", tmp_path, address)
    try:
        link = server.invite_administrator()
        assert server.address.startswith("https://localhost:") and not server.administered and server.token is None
        server.start()
        trusted = ssl.create_default_context(cafile=certificate)
        with httpx.Client(verify=trusted, base_url=server.address) as client:
            asked = {"invitation": link.partition("#")[2], "name": "ann", "password": PASSWORD}
            answer = client.post("api/join", json=asked)
            assert answer.status_code == 200 and "; secure" in answer.headers["set-cookie"].lower()
            assert server.administered and client.get("api/clips").status_code == 200
            assert "strict-transport-security" not in answer.headers, "other servers of this machine have that name"
            named = client.get("api/clips", headers={"host": "studio.example"})
            assert "max-age" in named.headers["strict-transport-security"]
    finally:
        server.stop()


# In a browser

OFFERED = """() => [...document.querySelectorAll('main a[href], main [data-post]')].filter(e => e.checkVisibility())
    .map(e => e.dataset.post ? ['POST', e.dataset.post] : ['GET', e.pathname])"""
"""What can be asked for on a page."""


@pytest.mark.nightly
def test_somebody_is_invited_comes_in_and_sees_what_the_role_may_do(tmp_path: Path, browser: Browser) -> None:
    with Library(tmp_path / "library") as library:
        library.add(write(tmp_path / "one.mp4", moving(8)))
        for error in (None, "too large"):
            library.jobs.submit("ingest", {"to": "data/moving", "title": "moving"})
            job = library.jobs.claim("worker")
            assert job is not None
            library.jobs.finish(job.id, None if error else {"dataset": "data/moving"}, error=error)
        make_accounts(library.folder).close()
    ingest([tmp_path / "one.mp4"], tmp_path / "data" / "moving", height=32, width=32, min_frames=8, workers=0)
    server = Server(tmp_path / "library", tmp_path, Address(port=0, accounts=True))
    server.studio.worker.close()
    server.start()
    contexts = [browser.new_context(base_url=server.address, locale="en-GB") for _ in range(2)]
    page, guest = (context.new_page() for context in contexts)
    try:
        for context in contexts:
            context.set_default_timeout(60_000)
        page.goto("/")
        page.fill("[name=name]", "administer")
        page.fill("[name=password]", "wrong password")
        page.click("#enter button")
        page.wait_for_function("document.getElementById('problem')?.textContent.includes('wrong')")
        page.fill("[name=password]", PASSWORD)
        page.click("#enter button")
        page.wait_for_url(server.address)
        page.click("nav a[href='/people']")
        page.wait_for_url("**/people")
        page.check("[name=role][value=look]")
        page.click("form[data-asks] button")
        page.wait_for_function("document.querySelector('#once input')?.value")
        link = page.input_value("#once input")
        page.click("[data-done]")
        page.wait_for_selector("[data-asks^='DELETE /api/invitations']")

        guest.goto(link)
        guest.wait_for_url(lambda address: link.partition("#")[2] not in address)  # it does not stay in sight
        guest.fill("[name=name]", "Ann")
        guest.fill("[name=password]", PASSWORD)
        guest.click("#join button")
        guest.wait_for_url(server.address)
        guest.goto("/clip/1")
        expect(guest.locator("a[download]").first).to_be_visible()
        assert guest.get_attribute("#tags", "readonly") is not None
        assert not guest.is_visible("button.star") and not guest.is_visible("button[data-bin]")
        assert not guest.locator("nav a[href='/generate']").count()
        least = LeastRoles(all_routes())
        for address in ("/data", "/data/audit?name=data/moving", "/activity", "/training", "/models", "/reports"):
            guest.goto(address)
            guest.wait_for_function(LOADED)
            for method, path in guest.evaluate(OFFERED):
                assert least.find(method, path.partition("?")[0])[1] <= Role.look, (address, method, path)

        page.reload()
        page.select_option("[data-account='5'] select", "rate")
        expect(page.locator(".toast")).to_have_text("Saved")
        guest.goto("/clip/1")
        guest.locator("button.star").nth(3).click()
        guest.wait_for_selector("button.star[aria-pressed=true]")
        assert server.studio.library.history(1)[0].actor == "Ann"
        guest.goto("/account")
        guest.click("[data-asks='DELETE /api/session']")
        guest.wait_for_url("**/enter")
    finally:
        for context in contexts:
            context.close()
        server.stop()
