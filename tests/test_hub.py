"""Models are put to the Hub and fetched from it, with a server on this machine in its place."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import socket
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from footage.commands.hub import pull, push
from footage.errors import ConfigError, ModelError, RemoteError
from footage.files import locked
from footage.generation.publication import PublishedFigure, model_card, pull_model, read_origin
from footage.models.card import read_info
from footage.trust import locks
from tests.models import save_tiny_model

hub = pytest.importorskip("huggingface_hub")
yaml = pytest.importorskip("yaml")
TOKEN = "hf_of_this_test"
SAID = {"licence": "apache-2.0", "data": "Noise of our own.", "quiet": True}


@dataclass
class FakeHub:
    """Repositories, their commits, and what was asked."""

    address: str = ""
    private: dict[str, bool] = field(default_factory=dict)
    commits: dict[str, list[tuple[str, dict[str, bytes]]]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def at(self, repository: str, revision: str) -> tuple[str, dict[str, bytes]]:
        commits = self.commits[repository] or [("0" * 40, {})]
        return commits[-1] if revision == "main" else next(c for c in commits if c[0] == revision)

    def commit(self, repository: str, changes: dict[str, bytes]) -> str:
        files = dict(self.commits[repository][-1][1] if self.commits[repository] else {}) | changes
        digest = hashlib.sha1(repr((len(self.commits[repository]), sorted(files))).encode()).hexdigest()
        self.commits[repository].append((digest, files))
        return digest


class Handler(BaseHTTPRequestHandler):
    """The few addresses that the Hub's library asks for."""

    fake: FakeHub

    def log_message(self, *_: object) -> None: ...

    def answer(self, status: int, content: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in ({"Content-Length": str(len(content))} | headers).items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def say(self, value: object) -> None:
        self.answer(200, json.dumps(value).encode(), Content_Type="application/json")

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        parts = self.path.partition("?")[0].strip("/").split("/")
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            self.answer(403)
        elif parts[:3] == ["api", "repos", "create"]:
            about = json.loads(body)
            name = f"{about['organization']}/{about['name']}" if about.get("organization") else about["name"]
            if name in self.fake.commits:
                self.answer(409, json.dumps({"url": f"{self.fake.address}/{name}", "id": name}).encode())
                return
            self.fake.private[name], self.fake.commits[name] = bool(about.get("private")), []
            self.fake.private[name] = self.fake.private[name] or about.get("visibility") == "private"
            self.say({"url": f"{self.fake.address}/{name}", "id": name})
        elif parts[-1] == "validate-yaml":
            self.say({"errors": [], "warnings": []})
        elif parts[-2] == "preupload":
            names = [one["path"] for one in json.loads(body)["files"]]
            self.say({"files": [{"path": n, "uploadMode": "regular", "shouldIgnore": False} for n in names]})
        else:
            name, lines = "/".join(parts[2:4]), [json.loads(line) for line in body.splitlines()]
            added = [line["value"] for line in lines if line["key"] == "file"]
            digest = self.fake.commit(name, {one["path"]: base64.b64decode(one["content"]) for one in added})
            self.say({"commitUrl": f"{self.fake.address}/{name}/commit/{digest}", "commitOid": digest, "success": True})

    def do_PUT(self) -> None:
        parts = self.path.partition("?")[0].strip("/").split("/")  # api models OWNER NAME settings
        about = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.fake.private["/".join(parts[2:4])] = about.get("private", about.get("visibility") == "private")
        self.say(about)

    def do_GET(self) -> None:
        parts = self.path.partition("?")[0].strip("/").split("/")
        self.fake.asked.append(self.path)
        if parts[:2] == ["api", "models"]:
            name = "/".join(parts[2:4])
            if name not in self.fake.commits:
                self.answer(404, X_Error_Code="RepoNotFound")
                return
            try:
                digest, files = self.fake.at(name, parts[5] if len(parts) > 5 else "main")
            except StopIteration:
                self.answer(404, X_Error_Code="RevisionNotFound")
                return
            about = {"id": name, "sha": digest, "private": self.fake.private[name], "tags": [], "downloads": 0}
            self.say(about | {"siblings": [{"rfilename": file} for file in files]})
            return
        digest, files = self.fake.at("/".join(parts[:2]), parts[3])
        if parts[4] not in files:
            self.answer(404, X_Error_Code="EntryNotFound", X_Repo_Commit=digest)
            return
        content = files[parts[4]]
        etag = hashlib.sha1(content).hexdigest()
        self.answer(200, content, ETag=f'"{etag}"', X_Repo_Commit=digest)

    do_HEAD = do_GET


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    fake = FakeHub()
    handler = type("HandlerOfThis", (Handler,), {"fake": fake})
    httpd = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    fake.address = f"http://127.0.0.1:{httpd.server_address[1]}"
    monkeypatch.setenv("HF_ENDPOINT", fake.address)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    thread = threading.Thread(target=httpd.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield fake
    httpd.shutdown()
    httpd.server_close()


def test_a_model_goes_there_and_comes_back(server: FakeHub, tmp_path: Path) -> None:
    save_tiny_model(tmp_path / "run" / "model")
    (tmp_path / "run" / "model" / "secret.pt").write_bytes(b"of the owner's")
    there = push(str(tmp_path / "run"), "me/tiny", **SAID)
    info = read_info(tmp_path / "run" / "model")
    assert there.private is True and server.private == {"me/tiny": True}
    assert set(server.at("me/tiny", "main")[1]) == {"model.json", "README.md", info.weights}
    server.commit("me/tiny", {"weights.pkl": b"never fetched"})
    newest = server.at("me/tiny", "main")[0]
    found = pull("me/tiny", to=tmp_path / "here", quiet=True)
    assert found.revision == newest != there.revision and found == read_origin(tmp_path / "here")
    assert {path.name for path in (tmp_path / "here").iterdir()} == {
        "model.json",
        "README.md",
        "hub.json",
        info.weights,
    }
    assert read_info(tmp_path / "here") == info
    assert not any("pkl" in path for path in server.asked)


def test_a_folder_stays_at_its_commit(server: FakeHub, tmp_path: Path) -> None:
    save_tiny_model(tmp_path / "a")
    first = push(str(tmp_path / "a"), "me/tiny", **SAID)
    assert pull("me/tiny", to=tmp_path / "here", quiet=True).revision == first.revision
    save_tiny_model(tmp_path / "b", seed=1)
    second = push(str(tmp_path / "b"), "me/tiny", **SAID)
    assert pull("me/tiny", to=tmp_path / "here", quiet=True).revision == first.revision
    assert pull("me/tiny", to=tmp_path / "here", revision="main", quiet=True).revision == second.revision
    assert read_info(tmp_path / "here").weights_sha256 == second.weights_sha256
    assert len(list((tmp_path / "here").glob("*.safetensors"))) == 1
    old = pull("me/tiny", to=tmp_path / "old", revision=first.revision, quiet=True)
    assert old.weights_sha256 == first.weights_sha256
    with pytest.raises(ConfigError, match="holds me/tiny: give a new or empty folder"):
        pull("me/other", to=tmp_path / "here", quiet=True)
    with pytest.raises(ConfigError, match="holds something else"):
        pull("me/tiny", to=tmp_path, quiet=True)
    with pytest.raises(RemoteError, match="has no such revision"):
        pull("me/tiny", to=tmp_path / "new", revision="nothing", quiet=True)


@pytest.mark.parametrize("name", ["hub.json", "weights", "README.md", "model.json"])
def test_stopped_while_it_is_put_there_it_goes_on(
    server: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    here, replace = tmp_path / "here", os.replace

    def stop(source: Path, to: Path) -> None:
        if Path(to).parent == here and Path(to).name.startswith(name):
            raise KeyboardInterrupt
        replace(source, to)

    for seed in (0, 1):
        save_tiny_model(tmp_path / str(seed), seed=seed)
        there = push(str(tmp_path / str(seed)), "me/tiny", **SAID)
        with monkeypatch.context() as stopped, pytest.raises(KeyboardInterrupt):
            stopped.setattr(os, "replace", stop)
            pull_model("me/tiny", here, "main")
        found = pull_model("me/tiny", here)
        assert found == read_origin(here) and found.weights_sha256 == read_info(here).weights_sha256
        assert found.revision == there.revision or name == "hub.json"  # nothing had changed then


def test_nothing_plain_is_put_into_a_locked_folder(
    server: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(locked.SCRYPT, "n", 2**4)
    monkeypatch.setenv(locked.PASSPHRASE, "correct horse battery")
    save_tiny_model(tmp_path / "m")
    there = push(str(tmp_path / "m"), "me/tiny", **SAID)
    pull_model("me/tiny", tmp_path / "here")
    locks.lock_folder(tmp_path / "here", "passphrase")
    before = {path: path.read_bytes() for path in (tmp_path / "here").iterdir()}
    server.commit("me/tiny", {"other": b"x"})
    for revision in (None, "main", there.revision):
        with pytest.raises(ModelError, match="is locked, and what is fetched is not"):
            pull_model("me/tiny", tmp_path / "here", revision)
    assert before == {path: path.read_bytes() for path in (tmp_path / "here").iterdir()}


def test_a_network_that_goes_away_is_named(server: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def cut_off(*_: object, **__: object) -> None:
        raise hub.errors.LocalEntryNotFoundError("neither there nor here")

    save_tiny_model(tmp_path / "m")
    push(str(tmp_path / "m"), "me/tiny", **SAID)
    monkeypatch.setattr(hub, "hf_hub_download", cut_off)
    with pytest.raises(RemoteError, match="the Hub cannot be reached"):
        pull_model("me/tiny", tmp_path / "here")


def test_what_was_changed_there_is_refused(server: FakeHub, tmp_path: Path) -> None:
    save_tiny_model(tmp_path / "m")
    push(str(tmp_path / "m"), "me/tiny", **SAID)
    weights = read_info(tmp_path / "m").weights
    server.commit("me/tiny", {weights: b"\0" * 100})
    with pytest.raises(ModelError, match="SHA-256 differs"):
        pull("me/tiny", to=tmp_path / "here", quiet=True)
    assert not (tmp_path / "here").exists()
    server.commit("me/tiny", {"model.json": b"{}"})
    with pytest.raises(ModelError, match="does not describe a model"):
        pull("me/tiny", to=tmp_path / "here", quiet=True)
    server.commits["me/empty"], server.private["me/empty"] = [], True
    server.commit("me/empty", {"config.json": b"{}"})
    with pytest.raises(RemoteError, match="holds no model of footage"):
        pull("me/empty", to=tmp_path / "here", quiet=True)


def test_what_is_public_is_asked_for(server: FakeHub, tmp_path: Path) -> None:
    save_tiny_model(tmp_path / "m")
    server.commits["me/open"], server.private["me/open"] = [], False
    with pytest.raises(RemoteError, match="me/open is there and public: give --public"):
        push(str(tmp_path / "m"), "me/open", **SAID)
    assert not server.commits["me/open"]
    assert push(str(tmp_path / "m"), "me/open", public=True, **SAID).private is False
    assert push(str(tmp_path / "m"), "me/shut", **SAID).private is True
    assert push(str(tmp_path / "m"), "me/shut", public=True, **SAID).private is False
    assert server.private["me/shut"] is False


@pytest.mark.parametrize(
    ("repository", "changed", "text"),
    [
        ("tiny", {}, "give OWNER/NAME"),
        ("me/tiny", {"licence": ""}, "give --licence with the Hub's word"),
        ("me/tiny", {"data": " "}, "nothing says what the model was trained on"),
    ],
)
def test_what_is_not_said_is_asked_for(tmp_path: Path, repository: str, changed: dict[str, str], text: str) -> None:
    save_tiny_model(tmp_path / "m")
    with pytest.raises(ConfigError, match=text):
        push(str(tmp_path / "m"), repository, **(SAID | changed))


def test_a_card_has_a_head_that_the_hub_reads(tmp_path: Path) -> None:
    info = save_tiny_model(tmp_path / "m")
    figures = [PublishedFigure("RFD-rand", 12.5, "noise", "real clips: 3.2; 256 clips, tier C")]
    text = model_card(info, "me/tiny", "cc-by-4.0", 'Clips "of mine": all rights.', figures)
    card = hub.ModelCard(text)
    assert card.data.library_name == "footage" and card.data.license == "cc-by-4.0"
    assert "video-generation" in card.data.tags
    (result,) = card.data.eval_results
    assert (result.metric_value, result.dataset_name) == (12.5, "noise")
    assert yaml.safe_load(text.split("---")[1])["model-index"][0]["name"] == "tiny"
    assert 'Clips "of mine": all rights.' in text and "footage pull me/tiny --to FOLDER" in text
    assert "| RFD-rand | 12.5 | noise | real clips: 3.2; 256 clips, tier C |" in text


def test_nobody_is_there(monkeypatch: pytest.MonkeyPatch, server: FakeHub, tmp_path: Path) -> None:
    with pytest.raises(RemoteError, match=r"there is no me/nothing, or you may not see it: .* hf auth login"):
        pull_model("me/nothing", tmp_path / "here")
    save_tiny_model(tmp_path / "m")
    monkeypatch.setenv("HF_TOKEN", "hf_another")
    with pytest.raises(RemoteError, match=r"may not be written to \(403\): log in"):
        push(str(tmp_path / "m"), "me/tiny", **SAID)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{free.getsockname()[1]}")
    with pytest.raises(RemoteError, match="the Hub cannot be reached"):
        pull_model("me/tiny", tmp_path / "here")
    monkeypatch.setattr(hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(RemoteError, match="HF_HUB_OFFLINE is set"):
        pull_model("me/tiny", tmp_path / "here")


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(ConfigError, match=r"is not installed: pip install 'footage\[hub\]'"):
        pull_model("me/tiny", tmp_path / "here")
