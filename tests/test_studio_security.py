"""What the studio refuses: foreign hosts and pages, wrong tokens, paths out of the library, hostile uploads."""

from __future__ import annotations

import io
import os
import socket
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from footage.library.library import Library
from footage.studio import security
from footage.studio.app import Address, Server, application
from footage.studio.catalog import Catalog
from footage.studio.routes.clips import upload_clips
from footage.studio.security import Keys, Limits, client_address
from footage.studio.state import Studio
from footage.studio.worker import Worker
from tests.clips import moving, write

BASE = "http://127.0.0.1"


@pytest.fixture
def studio(tmp_path: Path) -> Iterator[Studio]:
    library = Library(tmp_path / "library")
    library.add(write(tmp_path / "one.mp4", moving(8)))
    (tmp_path / "models" / "run" / "samples").mkdir(parents=True)
    made = Studio(
        library, Catalog(tmp_path / "models"), Keys(), Limits(upload=3_000_000, check_seconds=20, changes=1.0, burst=80)
    )
    yield made
    made.close()


def open_client(studio: Studio, **headers: str) -> TestClient:
    client = TestClient(application(studio), base_url=BASE)
    client.headers.update({"x-csrf-token": studio.keys.csrf, **headers})
    return client


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "10.0.0.7", "", "[::1", "a:b:c", "localhost:99999"]
)
def test_other_host_names_are_not_served(studio: Studio, host: str) -> None:
    assert open_client(studio, host=host).get("/").status_code == 421


def test_names_of_this_machine_are_served(studio: Studio) -> None:
    for host in ("localhost:8000", "127.0.0.1", "[::1]:8000", "LOCALHOST."):
        assert open_client(studio, host=host).get("/api/albums").status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"x-csrf-token": ""},
        {"x-csrf-token": "wrong"},
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:81"},
        {"origin": "http://[evil"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
    ],
)
def test_changes_from_other_sites_are_refused(studio: Studio, headers: dict[str, str]) -> None:
    client = open_client(studio, **headers)
    assert client.post("/api/clips/bin", json={"ids": [1]}).status_code == 403
    assert client.patch("/api/clips/1", json={"stars": 1}).status_code == 403
    assert studio.library.get(1).stars == 0 and studio.library.get(1).deleted is None


def test_other_sites_cannot_show_or_read_what_is_here(studio: Studio) -> None:
    client = open_client(studio, **{"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors"})
    assert client.get("/api/clips/1/file").status_code == 403
    answer = open_client(studio).get("/api/clips")
    assert "access-control-allow-origin" not in answer.headers
    assert answer.headers["cross-origin-resource-policy"] == "same-origin"
    assert (
        open_client(studio, **{"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}).get("/").status_code
        == 200
    )


def test_beyond_this_machine_a_token_is_asked_for(tmp_path: Path) -> None:
    keys = Keys("the token", tries=3)
    studio = Studio(Library(tmp_path / "library"), Catalog(tmp_path), keys)
    client = TestClient(application(studio, ("studio.example",), addresses=True), base_url="http://192.168.1.5")
    try:
        assert client.get("/", headers={"accept": "text/html"}, follow_redirects=False).headers["location"] == "/enter"
        assert client.get("/enter").status_code == 200 and keys.csrf not in client.get("/enter").text
        assert client.get("/api/clips").status_code == 401 and client.get("/api/session").json()["csrf"] is None
        assert client.get("/api/openapi.json").status_code == 401
        assert client.get("/api/clips", headers={"authorization": "Bearer forged"}).status_code == 401
        assert client.get("/api/clips", headers={"cookie": "footage_session=forged"}).status_code == 401
        assert client.get("/api/clips", headers={"authorization": "Bearer the token"}).status_code == 200
        assert client.post("/api/undo", headers={"authorization": "Bearer the token"}).status_code == 200
        assert client.post("/api/session", json={"token": "wrong"}).status_code == 401
        answer = client.post("/api/session", json={"token": "the token"})
        assert "httponly" in answer.headers["set-cookie"].lower() and "strict" in answer.headers["set-cookie"].lower()
        assert client.get("/api/clips").status_code == 200
        assert client.post("/api/undo").status_code == 403, "the cookie alone does not let one change anything"
        assert client.post("/api/undo", headers={"x-csrf-token": keys.csrf}).status_code == 200
        for _ in range(3):
            code = client.post("/api/session", json={"token": "wrong"}).status_code
        assert code == 429
    finally:
        studio.close()


@pytest.mark.parametrize("way", ["session", "bearer"])
def test_wrong_tokens_are_counted_for_each_address_however_they_are_given(tmp_path: Path, way: str) -> None:
    studio = Studio(Library(tmp_path / "library"), Catalog(tmp_path), Keys("right", tries=3))
    app = application(studio)

    def code(host: str, token: str) -> int:
        client = TestClient(app, base_url=BASE, client=(host, 50_000))
        if way == "session":
            return client.post("/api/session", json={"token": token}).status_code
        return client.get("/api/albums", headers={"authorization": f"Bearer {token}"}).status_code

    try:
        assert [code("10.0.0.1", f"wrong {i}") for i in range(4)] == [401, 401, 401, 429]
        assert code("10.0.0.1", "right") == 429, "none is looked at"
        assert code("10.0.0.2", "right") == 200, "nobody else is kept out"
        assert [code(f"2001:db8::{i:x}", "wrong") for i in range(4)][-1] == 429, "one machine has all of these"
        assert code("2001:db8:0:1::1", "right") == 200
    finally:
        studio.close()


def test_addresses_that_are_none_are_taken_as_they_are() -> None:
    assert [
        client_address({"client": client}) for client in (None, ("x", 1), ("::1%lo", 1), ("::ffff:1.2.3.4", 1))
    ] == [*("?", "x", "::/64", "::ffff:1.2.3.4")]


def test_two_studios_of_one_machine_keep_a_session_each(tmp_path: Path) -> None:
    import httpx

    servers = [Server(tmp_path / name, tmp_path, Address(port=0, token=True)) for name in ("one", "two")]
    try:
        with httpx.Client(timeout=100) as browser:  # its cookies go to every port of a host, as those of browsers do
            for server in servers:
                server.start()
                assert browser.post(f"{server.address}api/session", json={"token": server.token}).status_code == 200
            assert [browser.get(f"{server.address}api/albums").status_code for server in servers] == [200, 200]
            assert len(browser.cookies) == 2
    finally:
        for server in servers:
            server.stop()


def test_a_head_that_does_not_end_in_time_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert security.HEAD_SECONDS == 10
    monkeypatch.setattr(security, "HEAD_SECONDS", 0.3)
    server = Server(tmp_path / "library", tmp_path, Address(port=0))
    server.start()
    place, ask = server._socket.getsockname(), b"GET /api/albums HTTP/1.1\r\nhost: localhost\r\n"

    def drip(connection: socket.socket) -> None:
        """Send a byte now and then until the connection is closed."""
        connection.settimeout(0.1)
        for _ in range(1000):
            try:
                connection.sendall(b"x")
                if connection.recv(1000) == b"":
                    return
            except TimeoutError:
                continue
            except OSError:
                return
        pytest.fail("the connection is still open")

    try:
        begun = time.monotonic()
        with socket.create_connection(place) as silent, socket.create_connection(place) as slow:
            slow.sendall(ask)
            drip(slow)
            assert time.monotonic() - begun > 0.2, "not at once"
            silent.settimeout(100)
            assert silent.recv(1) == b""
        monkeypatch.setattr(security, "HEAD_SECONDS", 100)
        with socket.create_connection(place) as second:  # a connection that is used again
            second.sendall(ask + b"\r\n")
            assert second.recv(20_000).startswith(b"HTTP/1.1 200")
            monkeypatch.setattr(security, "HEAD_SECONDS", 0.3)
            begun = time.monotonic()
            second.sendall(ask)
            drip(second)
            assert time.monotonic() - begun > 0.2
        monkeypatch.setattr(security, "HEAD_SECONDS", 1.0)  # time enough for the head
        with socket.create_connection(place) as body:  # what is slow behind a head that has come is waited for
            body.sendall(b"POST /api/redo HTTP/1.1\r\nhost: localhost\r\ncontent-length: 2\r\n\r\n{")
            time.sleep(1.2)
            body.sendall(b"}")
            assert body.recv(20_000).startswith(b"HTTP/1.1 403")
    finally:
        server.stop()


def test_no_path_leaves_the_library_or_the_catalog(studio: Studio, tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_text("secret")
    client = open_client(studio)
    for path in (
        "/static/../app.py",
        "/static/%2e%2e/app.py",
        "/static/..%2fapp.py",
        "/static/%00",
        "/api/clips/..%2f..%2fsecret.txt/file",
        "/api/exports/../../secret.txt",
        "/api/runs/sample?run=run&name=../../secret.txt",
        "/api/runs/sample?run=../&name=secret.txt",
        "/api/runs/figures?run=../..",
        f"/api/reports/file?name={tmp_path}/secret.txt",
        "/api/reports/file?name=../secret.txt",
        "/api/reports/picture?report=../secret.txt&name=secret.txt",
        "/reports/view?name=../secret.txt",
        "/training/run?name=../../etc",
        "/api/ratings/pairs/../../x/a",
    ):
        answer = client.get(path)
        assert answer.status_code in (400, 404, 422), (path, answer.status_code)
        assert "secret" not in answer.text.replace("secret.txt", "")


def test_links_out_of_the_library_are_not_followed(studio: Studio, tmp_path: Path) -> None:
    (tmp_path / "secret.mp4").write_bytes(b"secret")
    path = studio.library.path(1)
    path.unlink()
    os.symlink(tmp_path / "secret.mp4", path)
    assert open_client(studio).get("/api/clips/1/file").status_code == 404
    run = tmp_path / "models" / "run"
    (run / "config.json").write_text('{"config": {"preset": "p"}, "data": {"name": "d"}}')
    (run / "metrics.jsonl").write_text('{"clips": 1, "a_loss": 2}\n')
    os.symlink(tmp_path / "secret.mp4", run / "samples" / "1.mp4")
    os.symlink(tmp_path, tmp_path / "models" / "outside")
    client = open_client(studio)
    assert client.get("/api/runs").json()[0]["name"] == "run"
    assert client.get("/api/runs/sample?run=run&name=1.mp4").status_code == 404
    assert client.get("/training/run?name=run").status_code == 200


def test_reports_run_nothing(studio: Studio, tmp_path: Path) -> None:
    (tmp_path / "models" / "audit.html").write_text("<script>alert(1)</script>")
    studio.catalog._seen = (-1e9, {})
    answer = open_client(studio).get("/api/reports/file", params={"name": "audit.html"})
    assert answer.status_code == 200
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("sandbox;") and "script" not in policy


def test_uploads_are_decoded_before_they_are_taken(studio: Studio, tmp_path: Path) -> None:
    client = open_client(studio)
    good = write(tmp_path / "good.mp4", moving(8, seed=3)).read_bytes()
    said = client.post("/api/uploads?name=../../evil <b>.mp4", content=good)
    assert said.status_code == 200 and said.json()["added"]
    entry = studio.library.get(said.json()["added"][0])
    assert entry.title == "evil <b>" and studio.library.path(entry.id).is_relative_to(tmp_path / "library")
    assert client.post("/api/uploads?name=again.mp4", content=good).json()["known"] == [entry.id]
    count = studio.library.count()
    refused = {
        "x.mp4": b"no video at all",
        "y.mp4": good[:200],
        "z.mp4": b"",
        "page.html": b"<script>",
        "x.svg": b"<svg/>",
        "bad.zip": b"PK no zip",
        "noending": good,
        "picture.png": b"\x89PNG\r\n\x1a\n" + b"\0" * 64,
    }
    for name, content in refused.items():
        assert client.post(f"/api/uploads?name={name}", content=content).status_code in (415, 422), name
    assert client.post("/api/uploads?name=big.mp4", content=b"\0" * 3_000_001).status_code == 413
    chunks = (b"\0" * 500_000 for _ in range(8))  # without a length in its header
    assert client.post("/api/uploads?name=big.mp4", content=chunks).status_code == 413
    assert studio.library.count() == count
    assert not list((studio.library.folder / "partial").iterdir()), "nothing is left behind"


@pytest.mark.parametrize(
    "content",
    [
        b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{}\n#EXT-X-ENDLIST\n",
        b"ffconcat version 1.0\nfile '{}'\n",
        b"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 9 RTP/AVP 26\n",
    ],
)
def test_an_upload_cannot_name_other_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    """A list that points to files or addresses, under the ending of a video, is neither decoded nor asked for more."""
    import av

    from footage.errors import MediaError
    from footage.media.decode import decode_whole
    from footage.media.encode import read_metadata

    one = write(tmp_path / "one.mp4", moving(8))
    (tmp_path / "list.mp4").write_bytes(content.replace(b"{}", os.fsencode(one)))
    given: list[dict[str, str]] = []
    opened = av.open
    monkeypatch.setattr(av, "open", lambda *a, **b: given.append(b.get("options", {})) or opened(*a, **b))
    for read in (lambda path: decode_whole(path, 100), read_metadata):
        with pytest.raises(MediaError):
            read(tmp_path / "list.mp4")
        read(one)
    assert [options.get("protocol_whitelist") for options in given] == ["file"] * 4


def test_a_zip_file_writes_nothing_outside(studio: Studio, tmp_path: Path) -> None:
    packed = io.BytesIO()
    clip = write(tmp_path / "in.mp4", moving(8, seed=9)).read_bytes()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("../../escaped.mp4", clip)
        archive.writestr("/etc/escaped.mp4", clip[:-1])
    studio.worker.close()
    said = open_client(studio).post("/api/uploads?name=clips.zip", content=packed.getvalue()).json()
    job = Worker(studio.library, studio.catalog).do(studio.library.jobs.claim("worker"))
    assert job.id == said["job"] and job.state == "done" and job.result["added"] == 0 and job.result["refused"] == 2
    assert not list(tmp_path.rglob("escaped*")) and not Path("/etc/escaped.mp4").exists()


def test_decoding_has_limits_of_time_and_memory(
    studio: Studio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    object.__setattr__(studio.limits, "check_memory", 60_000_000)
    good = write(tmp_path / "good.mp4", moving(8, seed=3)).read_bytes()
    client = open_client(studio)
    assert client.post("/api/uploads?name=a.mp4", content=good).status_code == 422
    object.__setattr__(studio.limits, "check_memory", 3 * 2**30)
    object.__setattr__(studio.limits, "check_seconds", 0)
    assert client.post("/api/uploads?name=a.mp4", content=good).status_code == 422
    assert studio.library.count() == 1 and upload_clips.__doc__


NONSENSE = (
    *(b"", b"{", b"null", b"1e999", b"[" * 50_000, b'{"a":' * 3000 + b"1" + b"}" * 3000, b'{"\\ud800": 1}', b"\xff"),
    *(b'{"ids": [1e999]}', b'{"ids": [' + b"9" * 400 + b"]}", b'{"query": {"seed": -Infinity}}'),
    *(b'{"query": {"metric": ["a:nan:inf"]}}', b'{"model": "stream-shapes", "seconds": 1e999}'),
    *(b'{"model": "stream-shapes", "timing": {"loop": NaN, "strength": 1e999}}', b'{"model": "x", "fps": NaN}'),
    b'{"model": "stream-shapes", "label": "circle:1e999+square:nan", "sliders": {"1": NaN}}',
)


@pytest.mark.parametrize(
    "address",
    ["clips/bulk", "clips/bin", "exports", "albums", "jobs/generate", "jobs/between", "ratings/pairs", "session"],
)
def test_bodies_that_are_no_json_or_hold_no_numbers_are_refused(studio: Studio, address: str) -> None:
    client = TestClient(application(studio), base_url=BASE, raise_server_exceptions=False)
    client.headers["x-csrf-token"] = studio.keys.csrf
    for body in NONSENSE:
        answer = client.post(f"/api/{address}", content=body, headers={"content-type": "application/json"})
        assert 400 <= answer.status_code < 500, body[:80]
        assert "problem" in answer.json() or all(
            {"loc", "msg", "type"} <= field.keys() for field in answer.json()["detail"]
        )
    assert studio.library.count() == 1 and not studio.library.jobs.all()


PAGES = ("/clip/{}", "/compare?ids={}", "/parts/cards?ids={}", "/rate/{}", "/rate/{}/results", "/?text={}&sort={}")
PAGES += (
    "/?seed={}",
    "/?metric={}&tag={}",
    "/?album={}",
    "/generate?model={}&a={}&b=1&seed={}&sliders={}",
    "/live?model={}",
    "/talk?model={}&still={}&audio={}",
)
PAGES += ("/training/run?name={}", "/reports/view?name={}", "/language/{}", "/static/{}", "/{}", "/api/clips?cursor={}")


@pytest.mark.parametrize(
    "value",
    ["", "1e999", "NaN", "-1", "9" * 400, "%00", "%ff", "%ed%a0%80", "(" * 300, '"', "NEAR(", "[]", "../..", "é"],
)
def test_no_value_in_an_address_is_a_fault_of_the_server(studio: Studio, value: str) -> None:
    client = TestClient(application(studio), base_url=BASE, raise_server_exceptions=False)
    for page in PAGES:
        assert client.get(page.replace("{}", value), headers={"accept": "text/html"}).status_code < 500, page


@pytest.mark.parametrize(
    "headers",
    [
        {"referer": "http://[bad/"},
        {"range": "bytes=9-1"},
        {"range": ",".join(f"{n}-{n}" for n in range(3000))},
        {"accept-language": "zh;q=nan,en;q=1e999,;;q="},
        {"cookie": '=;=; footage_language="'},
        {"if-range": "x", "range": "bytes=0-1"},
    ],
)
def test_headers_that_make_no_sense_do_no_harm(studio: Studio, headers: dict[str, str]) -> None:
    client = TestClient(application(studio), base_url=BASE, raise_server_exceptions=False)
    for address in ("/", "/api/clips/1/file", "/language/en", "/static/app.js", "/nowhere"):
        assert client.get(address, headers=headers, follow_redirects=False).status_code < 500


def test_bodies_and_changes_have_limits(studio: Studio) -> None:
    client = open_client(studio)
    assert client.patch("/api/clips/1", json={"notes": "x" * 5_000_000}).status_code == 413
    assert (
        client.patch("/api/clips/1", content=b"{" * 100_000, headers={"content-type": "application/json"}).status_code
        == 422
    )
    assert client.patch("/api/clips/1", content=b'{"title": "\\ud800"}').status_code in (400, 422)
    codes = [client.post("/api/redo").status_code for _ in range(studio.limits.burst + 20)]
    assert codes[-1] == 429 and codes[0] == 200
