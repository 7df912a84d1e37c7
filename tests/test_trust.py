"""Signed provenance: what was made says so, and whatever happens to it afterwards is seen."""

from __future__ import annotations

import json
import os
import re
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from footage.commands.main import main
from footage.commands.trust import verify
from footage.errors import ConfigError, ProvenanceError
from footage.generation.clip import Clip
from footage.library.library import Library
from footage.media.cuts import Cut, write_cuts
from footage.media.encode import read_metadata, write_clip
from footage.studio.catalog import Catalog
from footage.studio.security import Keys
from footage.studio.state import Studio
from footage.trust.provenance import (
    CERTIFICATE,
    EXPIRED,
    FOLDER,
    KEY,
    NAME,
    SIGNED,
    SWITCH,
    UNTRUSTED,
    Statement,
    examine,
    identity,
    seal,
    unsigned,
)
from tests.clips import moving, write
from tests.streams import save_tiny_stream
from tests.studios import client_of
from tests.test_cli import run

MADE = {"made_with": "footage 0", "model": "tiny", "weights_sha256": "ab" * 32, "seed": 7, "label": "走"}


@pytest.fixture(autouse=True)
def signing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SWITCH, "on")
    monkeypatch.setenv(FOLDER, str(tmp_path / "keys"))
    for name in (CERTIFICATE, KEY):
        monkeypatch.delenv(name, raising=False)


def clip(path: Path, metadata: dict[str, Any] = MADE) -> Path:
    write_clip(path, [np.stack(moving(6, (32, 32), 1))], fps=12, metadata=metadata)
    return path


@pytest.mark.parametrize("kind", [".mp4", ".mov", ".gif"])
def test_what_footage_made_says_so_and_a_changed_byte_is_seen(tmp_path: Path, kind: str) -> None:
    path = clip(tmp_path / f"clip{kind}")
    told = examine(path, read_metadata(path))
    assert (told.state, told.digital_source, told.title) == ("trusted", "trainedAlgorithmicMedia", path.name)
    assert told.request == MADE and told.ingredients == () and told.findings == ()
    content = bytearray(path.read_bytes())
    content[-40] ^= 1
    path.write_bytes(content)
    changed = examine(path, {})
    assert changed.state == "changed" and changed.findings


def test_a_picture_is_signed(tmp_path: Path) -> None:
    path = Clip(lambda: iter([np.zeros((1, 16, 16, 3), np.uint8)]), 1, 12, MADE).save(tmp_path / "still.png")
    assert examine(path, {}).request == MADE


def test_only_what_footage_made_is_signed_and_only_where_it_is_wanted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert examine(write(tmp_path / "camera.mp4", moving(6, (32, 32), 1)), {}).state == "unsigned"
    with unsigned():
        path = clip(tmp_path / "elsewhere.mp4")
    assert examine(path, read_metadata(path)).state == "stripped"
    monkeypatch.setenv(SWITCH, "off")
    assert examine(clip(tmp_path / "off.mp4"), MADE).state == "stripped"


def test_a_platform_that_encodes_anew_strips_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = clip(tmp_path / "clip.mp4")
    again = tmp_path / "again.mp4"
    monkeypatch.setenv(SWITCH, "off")
    write_clip(again, [np.stack(moving(6, (32, 32), 1))], fps=12, metadata=read_metadata(path))
    assert examine(again, read_metadata(again)).state == "stripped"


def test_parts_of_what_was_made_name_it_and_parts_of_what_was_filmed_are_not_signed(tmp_path: Path) -> None:
    made, filmed = clip(tmp_path / "made.mp4"), write(tmp_path / "filmed.mp4", moving(6, (32, 32), 2))
    write_cuts([Cut(made), Cut(filmed)], tmp_path / "both.mp4", metadata={})
    told = examine(tmp_path / "both.mp4", {})
    assert told.state == "trusted" and told.digital_source == "compositeWithTrainedAlgorithmicMedia"
    assert told.ingredients == ("made.mp4", "filmed.mp4")
    write_cuts([Cut(filmed), Cut(filmed)], tmp_path / "film.mp4", metadata={})
    assert examine(tmp_path / "film.mp4", {}).state == "unsigned"


def test_sources_that_hold_no_manifest_are_named(tmp_path: Path) -> None:
    """As they are in a container that C2PA does not know, damaged, in a folder of frames, gone."""
    made = clip(tmp_path / "made.mp4")
    write(tmp_path / "filmed.mkv", moving(6, (32, 32), 2))
    (tmp_path / "cut-off.mp4").write_bytes(made.read_bytes()[:900])
    (tmp_path / "frames").mkdir()
    names = ("filmed.mkv", "made.mp4", "cut-off.mp4", "frames", "gone.mov")
    path = tmp_path / "of-all.mp4"
    with unsigned():
        write_clip(path, [np.stack(moving(6, (32, 32), 1))], fps=12, metadata=MADE)
    assert seal(path, MADE, path.name, [tmp_path / name for name in names])
    told = examine(path, {})
    assert (told.state, told.ingredients, told.findings) == ("trusted", names, ())


def test_the_key_is_made_once_and_for_its_owner_alone(tmp_path: Path) -> None:
    first = identity()
    path = tmp_path / "keys" / "identity.pem"
    assert identity() == first and path.stat().st_mode & 0o777 == 0o600 and len(list(path.parent.iterdir())) == 1
    assert b"PRIVATE" in first.key and first.chain.count(b"BEGIN CERTIFICATE") == 2 and b"PRIVATE" not in first.chain


def test_a_key_that_others_may_read_is_not_used_and_the_clip_is_there(tmp_path: Path) -> None:
    identity()
    (tmp_path / "keys" / "identity.pem").chmod(0o644)
    with pytest.warns(UserWarning, match=r"others may read the key .*chmod 600"):
        path = clip(tmp_path / "clip.mp4")
    assert read_metadata(path) == MADE and examine(path, MADE).state == "stripped"


def test_own_certificates_are_used_and_half_of_them_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    identity()
    (tmp_path / "keys" / "identity.pem").rename(tmp_path / "mine.pem")
    monkeypatch.setenv(KEY, str(tmp_path / "mine.pem"))
    with pytest.raises(ProvenanceError, match=r"one of .* is set"):
        identity()
    monkeypatch.setenv(CERTIFICATE, str(tmp_path / "mine.pem"))
    path = clip(tmp_path / "clip.mp4")
    assert examine(path, {}).state == "trusted" and not (tmp_path / "keys" / "identity.pem").exists()
    anchors = (tmp_path / "mine.pem").read_text()
    for name in (CERTIFICATE, KEY):
        monkeypatch.delenv(name)
    assert examine(path, {}).state == "valid", "another machine does not know the signer"
    assert examine(path, {}, anchors).state == "trusted"
    (tmp_path / "empty.pem").touch(0o600)
    monkeypatch.setenv(CERTIFICATE, str(tmp_path / "empty.pem"))
    monkeypatch.setenv(KEY, str(tmp_path / "empty.pem"))
    with pytest.raises(ProvenanceError, match="holds no certificate"):
        identity()


def test_without_the_extra_clips_are_made_and_verify_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "c2pa", None)
    with pytest.warns(UserWarning, match=r"not signed: the extra provenance is missing: .*footage\[provenance\]"):
        path = clip(tmp_path / "clip.mp4")
    with warnings.catch_warnings(action="error"):  # nobody would sign what footage did not make
        assert read_metadata(path) == MADE and not seal(path, {}, "clip", [path])
    with pytest.raises(ProvenanceError, match=r"footage\[provenance\]"):
        verify((path,))
    told = capsys.readouterr().out
    assert "unread" in told and "none found" in told  # the mark was looked for


@pytest.mark.parametrize("flag", ["", "--json", "--quiet"])
def test_a_command_says_once_that_nothing_is_signed_without_the_extra(
    flag: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "c2pa", None)
    save_tiny_stream(tmp_path / "model")
    main(["generate", str(tmp_path / "model"), "--to", str(tmp_path / "out"), "--count", "2", *filter(None, [flag])])
    told = capsys.readouterr()
    line = "warning: what is made is not signed: the extra provenance is missing: pip install 'footage[provenance]'\n"
    assert told.err == ("" if flag == "--quiet" else line)
    assert flag != "--json" or len(json.loads(told.out)) == 2


@pytest.mark.parametrize("kind", [".mp4", ".mov", ".gif"])
def test_what_is_signed_may_be_read_by_whom_the_umask_says(tmp_path: Path, kind: str) -> None:
    before = os.umask(0o027)
    try:
        assert clip(tmp_path / f"clip{kind}").stat().st_mode & 0o777 == 0o640
    finally:
        os.umask(before)


def test_verify_says_what_it_finds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    good, webm = clip(tmp_path / "good.mp4"), clip(tmp_path / "clip.webm")
    assert ".webm" not in SIGNED and verify((good,)).exit_status == 0
    assert verify((good, webm)).exit_status == 4 and "stripped" in capsys.readouterr().out
    bad = tmp_path / "bad.mp4"
    content = bytearray(good.read_bytes())
    content[-40] ^= 1
    bad.write_bytes(content)
    capsys.readouterr()
    assert verify((webm, bad), json=True).exit_status == 3
    lines = json.loads(capsys.readouterr().out)
    assert [line["state"] for line in lines] == ["stripped", "changed"] and lines[1]["request"]["seed"] == 7
    with pytest.raises(ConfigError, match="no file"):
        verify((tmp_path / "nothing.mp4",))
    with pytest.raises(ConfigError, match="trust is"):
        verify((good,), trust=(bad,))


def test_a_certificate_that_is_out_of_date_is_no_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    sound = ["claimSignature.validated", "assertion.hashedURI.match", "assertion.bmffHash.match"]

    def told(failures: list[str], sound: list[str]) -> Statement:
        results = {"failure": [{"code": code} for code in failures], "success": [{"code": code} for code in sound]}
        return Statement.of({"validation_results": {"activeManifest": results}}, "Invalid")

    assert told([UNTRUSTED, EXPIRED], sound).state == told([EXPIRED], sound).state == "expired"
    assert told([EXPIRED], sound[:2]).state == told([EXPIRED], sound[2:]).state == "changed"
    for other in ("assertion.bmffHash.mismatch", "signingCredential.revoked"):
        assert told([EXPIRED, other], sound).state == "changed"
    assert told([UNTRUSTED], sound).state == "changed"
    expired = told([EXPIRED], sound)
    monkeypatch.setattr("footage.commands.trust.examine", lambda *_: expired)
    assert verify((clip(tmp_path / "clip.mp4"),)).exit_status == 0 and "expired" in capsys.readouterr().out


@pytest.mark.nightly
def test_a_signature_outlives_its_certificate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("footage.trust.provenance.YEARS", (1 + 30 / 86400) / 365)  # thirty seconds from now
    path = clip(tmp_path / "clip.mp4")
    assert examine(path, {}).state == "trusted"
    time.sleep(31)
    assert examine(path, {}).state == "expired"
    content = bytearray(path.read_bytes())
    content[-40] ^= 1
    path.write_bytes(content)
    assert examine(path, {}).state == "changed"


def test_the_commands_generate_and_verify(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_tiny_stream(tmp_path / "model")
    assert run("generate", str(tmp_path / "model"), "--to", str(tmp_path / "out"), "--count", "2") == 0
    paths = sorted(map(str, (tmp_path / "out").glob("*.mp4")))
    capsys.readouterr()
    assert run("verify", *paths, "--json") == 0 and len(paths) == 2
    lines = json.loads(capsys.readouterr().out)
    assert [line["request"]["seed"] for line in lines] == [0, 1]
    assert all(len(line["request"]["dataset_hash"]) == 64 for line in lines)
    Path(paths[0]).write_bytes(Path(paths[0]).read_bytes()[:-30] + bytes(30))
    assert run("verify", *paths) == 3


def test_the_studio_shows_what_a_signature_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    (tmp_path / "models").mkdir()
    studio = Studio(Library(tmp_path / "library"), Catalog(tmp_path / "models"), Keys())
    studio.library.add(clip(tmp_path / "clip.mp4", MADE | {"dataset_hash": "cd" * 32}))
    client = client_of(studio)
    told = client.get("/api/clips/1/signature").json()
    assert (told["state"], told["request"]["seed"], told["signer"]) == ("trusted", 7, NAME)
    assert "<dt>Data set, hash</dt>" in client.get("/clip/1").text, "not as the comment in the file calls it"
    page = client.get("/parts/signature?clip=1").text
    assert 'class="seal trusted"' in page and NAME in page and "AI-generated" in page
    content = bytearray(studio.library.path(1).read_bytes())
    content[-40] ^= 1
    studio.library.path(1).write_bytes(content)
    assert client.get("/api/clips/1/signature").json()["state"] == "changed"
    studio.close()


def test_the_threats_name_tests_that_there_are() -> None:
    root = Path(__file__).parent.parent
    named = re.findall(r"`(tests/\w+\.py)::(\w+)`", (root / "SECURITY.md").read_text())
    assert len(named) > 12
    for path, name in named:
        assert re.search(rf"^def {name}\(", (root / path).read_text(), re.MULTILINE), name
