"""Data sets in the layouts of the field are read as they are: labels, captions and sides are theirs."""

from __future__ import annotations

import hashlib
import io
import json
import struct
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from footage.data.audit import Audit
from footage.data.clip_folder import ClipFolder
from footage.data.ingest.archives import crc32c, find_members, masked_crc, record_frames
from footage.data.ingest.sources import SourceScan, scan
from footage.errors import ConfigError
from footage.media.probe import UnusableMedia
from tests.clips import moving, write
from tests.ingesting import ingest

SMALL = {"height": 32, "width": 32, "min_frames": 8, "workers": 0, "keep_duplicates": True}


def touch(root: Path, *names: str, content: str = "x") -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(content)
    return root


def table(found: SourceScan) -> dict[str, tuple[str | None, str | None]]:
    return {source.name.split("/", 1)[1]: (source.label, source.split) for source in found.sources}


def videos(folder: Path, count: int = 3) -> list[bytes]:
    """The bytes of small videos that differ."""
    return [write(folder / f"{n}.mp4", moving(10, (32, 32), n)).read_bytes() for n in range(count)]


def png(seed: int) -> bytes:
    content = io.BytesIO()
    Image.fromarray(moving(1, (32, 32), seed)[0]).save(content, "png")
    return content.getvalue()


def add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    archive.addfile(info, io.BytesIO(content))


def shards(root: Path, clips: list[bytes]) -> Path:
    """WebDataset: two shards, captions and labels beside the clips."""
    root.mkdir(parents=True, exist_ok=True)
    for shard, some in enumerate((clips[:2], clips[2:])):
        with tarfile.open(root / f"{shard:06d}.tar", "w") as archive:
            for number, clip in enumerate(some):
                key = f"{2 * shard + number:06d}"
                add(archive, f"{key}.mp4", clip)
                add(archive, f"{key}.txt", b"a disc moves\none more caption\n")
                add(archive, f"{key}.cls", str(number).encode())
                add(archive, f"{key}.json", json.dumps({"width": 32} | {"label": "by json"} if number else {}).encode())
    return root


def test_a_video_folder_has_captions_labels_and_sides(tmp_path: Path) -> None:
    root = touch(tmp_path / "v", "a.mp4", "deep/b.mp4", "c.mp4", "notes.txt")
    rows = [
        {"file_name": "a.mp4", "text": "a dog", "label": "dog", "split": "train"},
        {"file_name": "./deep/b.mp4", "text": "a cat", "split": "test"},
        {"file_name": "gone.mp4", "text": "nothing"},
    ]
    touch(root, "metadata.jsonl", content="\n".join(map(json.dumps, rows)))
    found = scan([root])
    assert table(found) == {
        "a.mp4": ("dog", "train"),
        "c.mp4": (None, None),
        "deep/b.mp4": ("deep", "heldout"),  # its folder, where the table has no label
    }
    assert [source.caption for source in found.sources] == ["a dog", None, "a cat"]
    assert found.layouts == ["VideoFolder: captions, labels, split by metadata.jsonl"]
    assert found.ignored == {".txt": 1}
    (missing,) = found.rejections
    assert (
        missing.source == "metadata.jsonl"
        and "1 of the files that it names is not here, such as v/gone.mp4" in missing.detail
    )
    assert {source.label for source in scan([root], "none").sources} == {None}
    touch(root, "metadata.jsonl", content='{"file_name": "x.mp4", "text": "none of them"}')
    with pytest.raises(ConfigError, match=r"no row of .*fits what was found, 3 files"):
        scan([root])


def test_tables_of_each_side_and_any_one_table_of_lines(tmp_path: Path) -> None:
    root = touch(tmp_path / "h", "train/dog/a.mp4", "test/dog/b.mp4")
    touch(root, "train/metadata.csv", content="file_name,caption\ndog/a.mp4,it barks\n")
    found = scan([root])
    assert table(found) == {"train/dog/a.mp4": ("dog", "train"), "test/dog/b.mp4": ("dog", "heldout")}
    assert {source.caption for source in found.sources} == {"it barks", None}
    lone = touch(tmp_path / "l", "a.mp4")
    touch(lone, "captions.jsonl", content='{"file": "a.mp4", "caption": "one"}')
    assert scan([lone]).sources[0].caption == "one"
    stranger = touch(tmp_path / "s", "a.mp4")
    touch(stranger, "seen.jsonl", content='{"file": "b.mp4", "caption": "of another"}')
    assert scan([stranger]).layouts == []
    other = touch(tmp_path / "o", "a.mp4")
    touch(other, "log.jsonl", content='{"step": 1}')
    assert scan([other]).layouts == [] and scan([other]).ignored == {".jsonl": 1}


def test_ucf101_has_lists_or_groups(tmp_path: Path) -> None:
    names = [f"v_{name}_g{g:02d}_c01.avi" for name in ("Archery", "Biking") for g in (1, 8)]
    clips = [f"{name.split('_')[1]}/{name}" for name in names]
    root = touch(tmp_path / "ucf", *(f"UCF-101/{clip}" for clip in clips))
    bare = scan([root])
    assert bare.layouts == ["UCF-101: labels by folder, clips of a group on one side"]
    assert [(s.label, s.group) for s in bare.sources] == [
        ("Archery", "Archery/01"),
        ("Archery", "Archery/08"),
        ("Biking", "Biking/01"),
        ("Biking", "Biking/08"),
    ]
    for number in ("01", "02"):
        touch(
            root, f"ucfTrainTestlist/trainlist{number}.txt", content=f"{clips[1]} 1\n{clips[3]} 2\nBiking/v_x.avi 2\n"
        )
        touch(root, f"ucfTrainTestlist/testlist{number}.txt", content=f"{clips[0]}\n{clips[2]}\n")
    touch(root, "ucfTrainTestlist/classInd.txt", content="1 Archery\n2 Biking\n3 Bowling\n")
    found = scan([root])
    assert [split for _, split in table(found).values()] == ["heldout", "train", "heldout", "train"]
    assert found.layouts == ["UCF-101: labels by folder, split by testlist01.txt, trainlist01.txt"]
    assert not found.ignored
    assert sorted(r.detail for r in found.rejections) == [
        "1 of its classes has no folder, such as Bowling: unpack them, or do without",
        "1 of the files that it names is not here, such as Biking/v_x.avi: fetch them, or not",
    ]


def test_groups_stay_on_one_side(tmp_path: Path) -> None:
    clips = videos(tmp_path / "made", 6)
    for number, clip in enumerate(clips):
        path = tmp_path / "ucf" / "Archery" / f"v_Archery_g{number // 2:02d}_c0{number % 2}.avi"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(clip)
    dataset = ingest([tmp_path / "ucf"], tmp_path / "d", heldout=0.5, **SMALL).dataset
    sides = {row.source: row.split for row in dataset.rows}
    assert all(sides[name] == sides[name.replace("_c00", "_c01")] for name in sides) and len(sides) == 6
    # A list of one side is no split, and its groups stay together; what no list names is on the side of its group.
    names = [f"Archery/v_Archery_g{group:02d}_c00.avi" for group in range(3)]
    touch(tmp_path / "ucf", "trainlist01.txt", content="".join(f"{name} 1\n" for name in names))
    assert [s.group for s in scan([tmp_path / "ucf"]).sources] == [f"Archery/0{n // 2}" for n in range(6)]
    for first in (0, 2):
        touch(tmp_path / "ucf", "trainlist01.txt", content=f"{names[first]} 1\n{names[1]} 1\n")
        touch(tmp_path / "ucf", "testlist01.txt", content=f"{names[2 - first]}\n")
        rows = ingest([tmp_path / "ucf"], tmp_path / f"d{first}", heldout=0.5, **SMALL).dataset.rows
        assert [row.split == "heldout" for row in rows] == [n // 2 == 2 - first for n in range(6)]


def test_kinetics_has_a_table_of_times(tmp_path: Path) -> None:
    root = touch(tmp_path / "k", "abc_000010_000020.mp4", "x/-d_e_000000_000010.mp4")
    rows = ["label,youtube_id,time_start,time_end,split", "juggling,abc,10,20,train", "diving,-d_e,0,10,validate"]
    touch(root, "kinetics.csv", content="\n".join([*rows, "diving,gone,3,13,test"]))
    found = scan([root])
    assert sorted(table(found).values()) == [("diving", "heldout"), ("juggling", "train")]
    assert found.layouts == ["Kinetics: labels and split by kinetics.csv"]
    assert "such as gone_000003_000013" in found.rejections[0].detail
    for time in ("soon", "inf"):
        touch(root, "kinetics.csv", content="\n".join([*rows, f"diving,gone,{time},13,test"]))
        with pytest.raises(ConfigError, match=r"row 3 of .* has no times in seconds"):
            scan([root])


def test_folders_of_frames_of_the_field(tmp_path: Path) -> None:
    frames = ("f_0001.jpg", "f_0002.jpg")
    sky = tmp_path / "sky"
    for place in ("sky_train/AbC/AbC_1", "sky_train/AbC/AbC_2", "sky_test/x-9/x-9_1"):
        touch(sky, *(f"{place}/{frame}" for frame in frames))
    found = scan([sky])
    assert [(s.label, s.split, s.group) for s in found.sources] == [
        (None, "heldout", "x-9"),
        (None, "train", "AbC"),
        (None, "train", "AbC"),
    ]
    (line,) = scan([sky / "sky_train"]).layouts
    assert line == "Sky Timelapse: split by sky_train and sky_test; of one side, so that some are held out as usual"
    assert {source.split for source in scan([sky / "sky_train"]).sources} == {None}
    robots = tmp_path / "bair"
    for side in ("train", "test"):
        touch(robots, *(f"processed_data/{side}/traj_0_to_255/0/{t}.png" for t in range(3)))
    assert set(table(scan([robots])).values()) == {(None, "train"), (None, "heldout")}
    sides = touch(tmp_path / "s", "data/val/walk/a.mp4", "data/train/walk/b.mp4", "data/train/run/c.mp4")
    assert sorted(table(scan([sides])).values()) == [("run", "train"), ("walk", "heldout"), ("walk", "train")]
    labels = touch(tmp_path / "labels", "train/a.mp4", "ship/b.mp4")  # a train is a label here
    assert scan([labels]).layouts == [] and sorted(table(scan([labels]))) == ["ship/b.mp4", "train/a.mp4"]


def test_face_forensics_keeps_pairs_together(tmp_path: Path) -> None:
    real, fake = "original_sequences/youtube/c23/videos", "manipulated_sequences/Deepfakes/c23/videos"
    root = touch(tmp_path / "ff", *(f"{real}/{n}.mp4" for n in ("000", "003", "100", "101")))
    touch(root, *(f"{fake}/{n}.mp4" for n in ("000_003", "003_000", "100_101", "101_100")))
    bare = scan([root])
    groups = {source.name.rpartition("/")[2][:3]: source.group for source in bare.sources}
    assert groups == {"000": "000", "003": "000", "100": "100", "101": "100"}
    assert {source.label for source in bare.sources} == {"youtube", "Deepfakes"}
    lone = touch(tmp_path / "one", f"{real}/000.mp4", f"{real}/003.mp4", f"{fake}/000_003.mp4")
    assert {source.group for source in scan([lone]).sources} == {"000"}  # the face of 003 is in 000_003
    touch(root, "splits/train.json", content='[["000", "003"]]')
    assert [(s.group, s.split) for s in scan([root]).sources] == [(s.group, None) for s in bare.sources]
    touch(root, "splits/test.json", content='[["100", "101"]]')
    assert {source.name[-11:-4]: source.split for source in scan([root]).sources if "_0" in source.name[-11:]} == {
        "000_003": "train",
        "003_000": "train",
    }
    touch(root, "splits/test.json", content="7")
    with pytest.raises(ConfigError, match="holds no pairs of people"):
        scan([root])


def test_shards_of_a_web_dataset(tmp_path: Path) -> None:
    clips = videos(tmp_path / "made")
    result = ingest([shards(tmp_path / "w", clips)], tmp_path / "d", **SMALL)
    assert result.layouts == ("WebDataset: 3 clips in 2 .tar files, 3 with captions, 3 with labels",)
    rows = result.dataset.rows
    assert [(row.source, row.label) for row in rows] == [
        ("w/000000.tar/000000.mp4", "0"),
        ("w/000000.tar/000001.mp4", "by json"),
        ("w/000001.tar/000002.mp4", "0"),
    ]
    assert {row.caption for row in rows} == {"a disc moves\none more caption"}
    plain = ingest([tmp_path / "made"], tmp_path / "p", **SMALL).dataset
    assert [row.digest for row in plain.rows] == [row.digest for row in rows]  # the same pixels
    assert ingest([tmp_path / "w"], tmp_path / "d", **SMALL).reused == 3
    assert ("read as", result.layouts[0]) in Audit(result.dataset).summary
    folder = ClipFolder(tmp_path / "w")
    assert folder.layouts == result.layouts
    assert folder.read(1, 0, 8).shape == (8, 32, 32, 3) and folder.labels == ("0", "by json")


def test_a_tar_that_is_cut_short(tmp_path: Path) -> None:
    root = shards(tmp_path / "w", videos(tmp_path / "made"))
    whole = (root / "000000.tar").read_bytes()
    (root / "000000.tar").write_bytes(whole[: len(whole) - 10_240])  # the end, and some before it
    (root / "000001.tar").write_bytes(b"nothing like a tar" * 100)
    found = scan([root])
    assert [r.reason for r in found.rejections] == ["truncated", "damaged"]
    assert all("fetch it again" in r.detail for r in found.rejections) and found.sources
    (root / "000001.tar").unlink()
    second = whole.index(b"ftyp", whole.index(b"000001.mp4"))
    (root / "000000.tar").write_bytes(whole[: second + 100])  # within the second clip
    (fault,) = scan([root]).rejections
    assert fault.detail == 'it ends within "000001.mp4": fetch it again'


def test_a_zip_of_frames(tmp_path: Path) -> None:
    labels = {"labels": [["one/000000.png", 3], ["two/000000.png", 5]]}
    with zipfile.ZipFile(tmp_path / "sg.zip", "w") as archive:
        for number, name in enumerate(("one", "two")):
            for t, frame in enumerate(moving(9, (32, 32), number)):
                content = io.BytesIO()
                Image.fromarray(frame).save(content, "png")
                how = zipfile.ZIP_DEFLATED if number else zipfile.ZIP_STORED
                archive.writestr(f"{name}/{t:06d}.png", content.getvalue(), how)
        archive.writestr("dataset.json", json.dumps(labels))
    result = ingest([tmp_path / "sg.zip"], tmp_path / "d", **SMALL)
    assert [(row.source, row.label, row.frames) for row in result.dataset.rows] == [
        ("sg.zip/one", "3", 9),
        ("sg.zip/two", "5", 9),
    ]
    assert np.array_equal(result.dataset.read(result.dataset.rows[1], 8, 1)[0], moving(9, (32, 32), 1)[8])
    assert scan([tmp_path / "sg.zip"]).sources[0].displayed().width == 32  # type: ignore[union-attr]


def test_sides_inside_a_zip(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "v.zip", "w") as archive:
        for name in ("v/train/walk/a.mp4", "v/train/run/b.mp4", "v/val/walk/c.mp4"):
            archive.writestr(name, b"x")
    assert table(scan([tmp_path / "v.zip"])) == {
        "train/walk/a.mp4": ("walk", "train"),
        "train/run/b.mp4": ("run", "train"),
        "val/walk/c.mp4": ("walk", "heldout"),
    }
    (tmp_path / "all").mkdir()
    (tmp_path / "v.zip").rename(tmp_path / "all" / "v.zip")
    assert {split for _, split in table(scan([tmp_path / "all"])).values()} == {"train", "heldout"}


def test_a_zip_whose_frames_are_damaged(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "f.zip", "w") as archive:
        for t in range(9):
            archive.writestr(f"a/{t}.png", png(t))
            archive.writestr(f"b/{t}.png", png(9 + t))
    content = bytearray((tmp_path / "f.zip").read_bytes())
    content[content.index(png(3)) + 60] ^= 255
    (tmp_path / "f.zip").write_bytes(content)
    result = ingest([tmp_path / "f.zip"], tmp_path / "d", keep_static=True, cuts=False, **SMALL)
    (fault,) = [r for r in result.rejections if r.source == "f.zip/a"]
    assert fault.detail == '"a/3.png" is not what its archive says (CRC-32): fetch it again'
    (tmp_path / "g.zip").write_bytes(content[:500])
    assert "no sound zip file" in scan([tmp_path / "g.zip"]).rejections[0].detail


def test_a_zip_whose_names_are_not_utf8(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "n.zip", "w") as archive:
        archive.writestr("é.mp4", b"x")
    content = (tmp_path / "n.zip").read_bytes()
    (tmp_path / "n.zip").write_bytes(content.replace("é".encode(), b"\xff\xfe"))
    (fault,) = scan([tmp_path / "n.zip"]).rejections
    assert fault.reason == "damaged" and fault.detail.startswith("no sound zip file ('utf-8' codec")


@pytest.mark.parametrize(("kind", "size"), [(b"0", -512), (b"D", -512), (b"L", -512), (b"x", 2**30)])
def test_a_tar_with_sizes_that_cannot_be(tmp_path: Path, kind: bytes, size: int) -> None:
    info = tarfile.TarInfo("a.mp4")
    info.type = kind
    header = bytearray(info.tobuf())
    header[124:136] = size.to_bytes(12, "big", signed=True) if size < 0 else b"\x80" + size.to_bytes(11, "big")
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    with tarfile.open(tmp_path / "s.tar", "w") as archive:
        add(archive, "b.mp4", b"x")
    (tmp_path / "s.tar").write_bytes((tmp_path / "s.tar").read_bytes()[:1024] + header + bytes(10_240))
    found = scan([tmp_path / "s.tar"])
    assert [source.name for source in found.sources] == ["s.tar/b.mp4"]
    (fault,) = found.rejections
    assert fault.reason == "damaged" and f"{size:,}" in fault.detail


def test_what_a_tar_says_in_other_bytes_and_deeply(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "t.tar", "w", format=tarfile.GNU_FORMAT) as archive:
        add(archive, "caf\udce9.json", b"[" * 100_000)
        add(archive, "caf\udce9.mp4", b"x" * 2_000)
    whole = (tmp_path / "t.tar").read_bytes()
    assert [source.name for source in scan([tmp_path / "t.tar"]).sources] == ["t.tar/caf\\xe9.mp4"]
    (tmp_path / "t.tar").write_bytes(whole[: whole.index(b"x" * 2_000) + 100])
    assert scan([tmp_path / "t.tar"]).rejections[0].detail == 'it ends within "caf\\xe9.mp4": fetch it again'


def test_a_zip_that_unpacks_to_too_much(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "b.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for t in range(5):
            archive.writestr(f"black/{t}.bmp", bytes(2**22))
        archive.writestr("small/0.bmp", bytes(2**22))
        archive.writestr("small/1.bmp", bytes(2**22))
    black, small = scan([tmp_path / "b.zip"]).sources
    with pytest.raises(UnusableMedia, match="it unpacks to more than 200 times its size"), black.unpacked():
        pass
    with small.unpacked() as whole:
        assert [path.stat().st_size for path in whole.picture_paths] == [2**22, 2**22]


def test_members_have_the_digests_of_their_files(tmp_path: Path) -> None:
    content = b"much of the same " * 10_000
    with zipfile.ZipFile(tmp_path / "z.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.mp4", content)
    (source,) = scan([tmp_path / "z.zip"]).sources
    sound = source.digests()
    assert sound == [hashlib.sha256(content).hexdigest()]
    (member,) = find_members(tmp_path / "z.zip")
    damaged = bytearray((tmp_path / "z.zip").read_bytes())
    damaged[member.offset + member.size // 2] ^= 255
    (tmp_path / "z.zip").write_bytes(damaged)
    assert len(source.digests()) == 1 and source.digests() != sound


def wire(number: int, content: bytes) -> bytes:
    """A field of a message of Protocol Buffers."""
    size, head = len(content), bytes([number << 3 | 2])
    while size > 127:
        head += bytes([size & 127 | 128])
        size >>= 7
    return head + bytes([size]) + content


def example(features: dict[str, list[bytes]]) -> bytes:
    entries = b"".join(
        wire(1, wire(1, name.encode()) + wire(2, wire(1, b"".join(wire(1, value) for value in values))))
        for name, values in features.items()
    )
    return wire(1, entries)


def records(path: Path, contents: list[bytes]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "wb") as handle:
        for content in contents:
            head = struct.pack("<Q", len(content))
            handle.write(head + struct.pack("<I", masked_crc(head)) + content + struct.pack("<I", masked_crc(content)))
    return path


def robot(seed: int) -> bytes:
    """Ten frames of two cameras, as they are in BAIR's files."""
    frames = moving(10, (32, 32), seed)
    features = {f"{t}/image_aux1/encoded": [frame.tobytes()] for t, frame in enumerate(frames)}
    return example(features | {f"{t}/image_main/encoded": [bytes(3 * 32 * 32)] for t in range(10)} | {"0/action": []})


def test_crc32c_is_that_of_the_standard() -> None:
    assert crc32c(b"123456789") == 0xE3069283
    assert crc32c(bytes(32)) == 0x8A9136AA and crc32c(b"\xff" * 32) == 0x62A8AB43  # RFC 3720, B.4
    assert crc32c(bytes(range(32))) == 0x46DD794E and crc32c(b"") == 0 and crc32c(b"a") == 0xC1D04330
    long = np.random.default_rng(0).integers(0, 256, 2_000, np.uint8).tobytes()
    register = 0xFFFFFFFF
    for byte in long:  # bit by bit
        register ^= byte
        for _ in range(8):
            register = register >> 1 ^ 0x82F63B78 * (register & 1)
    assert crc32c(long) == register ^ 0xFFFFFFFF


def test_records_of_bair(tmp_path: Path) -> None:
    for side, seeds in (("train", (0, 1)), ("test", (2,))):
        records(tmp_path / f"bair/softmotion/{side}/traj_0_to_255.tfrecords", [robot(seed) for seed in seeds])
    result = ingest([tmp_path / "bair"], tmp_path / "d", **SMALL)
    assert result.layouts == ("BAIR: split by train and test", "TFRecord: 3 clips in 2 .tfrecords files")
    sides = {row.source: row.split for row in result.dataset.rows}
    assert sides == {
        "bair/softmotion/test/traj_0_to_255.tfrecords/0": "heldout",
        "bair/softmotion/train/traj_0_to_255.tfrecords/0": "train",
        "bair/softmotion/train/traj_0_to_255.tfrecords/1": "train",
    }
    assert np.array_equal(result.dataset.read(result.dataset.rows[0], 4, 1)[0], moving(10, (32, 32), 2)[4])


def test_records_that_are_damaged(tmp_path: Path) -> None:
    path = records(tmp_path / "r.tfrecord", [robot(0), robot(1), example({"words": [b"x"]})])
    content = bytearray(path.read_bytes())
    content[2_000] ^= 1
    path.write_bytes(content)
    result = ingest([path], tmp_path / "d", **SMALL)
    reasons = {r.source: r.detail for r in result.rejections}
    assert [row.source for row in result.dataset.rows] == ["r.tfrecord/1"]
    assert "CRC-32C" in reasons["r.tfrecord/0"] and "fetch it again" in reasons["r.tfrecord/0"]
    assert "no frames such as 0/image_aux1/encoded" in reasons["r.tfrecord/2"]
    square = example({"image": [bytes(12), bytes(12)], "height": [b"tall"], "width": [b"wide"]})
    assert [content for _, content in record_frames(square)] == [b"P6 2 2 255\n" + bytes(12)] * 2
    path.write_bytes(content[:-3])
    assert scan([path]).rejections[0].detail == "it ends within record 2: fetch it again"
    path.write_bytes(b"\1" + content[1:])
    assert "length of another CRC-32C" in scan([path]).rejections[0].detail


def zipped(path: Path, *names: str, **texts: str) -> Path:
    """A zip of files with no content, and of texts, whose names have two underscores for a slash."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(name, b"x")
        for name, text in texts.items():
            archive.writestr(name.replace("__", "/").replace("_dot_", "."), text)
    return path


def test_kinetics_holds_out_what_no_row_names_and_what_has_no_label(tmp_path: Path) -> None:
    clips = ("train/run/a_000010_000020.mp4", "val/run/b_000010_000020.mp4", "test/c_000010_000020.mp4")
    root = touch(tmp_path / "k", *clips, "val/run/unnamed.mp4")
    touch(root, "train.csv", content="label,youtube_id,time_start,time_end,split\nrun,a,10,20,train\n")
    found = scan([root])
    assert table(found) == {
        clips[0]: ("run", "train"),
        clips[1]: ("run", "heldout"),
        clips[2]: (None, "heldout"),
        "val/run/unnamed.mp4": ("run", "heldout"),
    }
    flat = touch(tmp_path / "f", "a_000010_000020.mp4", "c_000010_000020.mp4")
    touch(flat, "train.csv", content="label,youtube_id,time_start,time_end\nrun,a,10,20\n")
    touch(flat, "test.csv", content="youtube_id,time_start,time_end\nc,10,20\n")
    assert table(scan([flat])) == {"a_000010_000020.mp4": ("run", "train"), "c_000010_000020.mp4": (None, "heldout")}
    other = touch(tmp_path / "o", "a.mp4")
    touch(other, "av.csv", content="youtube_id,time_start,time_end\nc,10,20\n")
    assert scan([other]).layouts == []


def test_hidden_members_are_no_clips(tmp_path: Path) -> None:
    hidden = ("__MACOSX/v/train/walk/._a.mp4", "v/train/.old/c.mp4", "v/.b.mp4")
    names = ("v/train/walk/a.mp4", "v/test/run/b.mp4")
    assert table(scan([zipped(tmp_path / "m.zip", *names, *hidden)])) == {
        "train/walk/a.mp4": ("walk", "train"),
        "test/run/b.mp4": ("run", "heldout"),
    }


def test_a_stray_file_leaves_a_layout_as_it_is(tmp_path: Path) -> None:
    frames = [f"{t}.png" for t in range(3)]
    ucf = touch(tmp_path / "ucf", "Run/v_Run_g01_c01.avi", "Run/v_Run_g02_c01.avi", "intro.mp4")
    touch(ucf, "testlist01.txt", content="Run/v_Run_g01_c01.avi\n")
    touch(ucf, "trainlist01.txt", content="Run/v_Run_g02_c01.avi 1\n")
    found = scan([ucf])
    assert found.layouts == [
        "UCF-101: labels by folder, split by testlist01.txt, trainlist01.txt; 1 of 3 clips is not of it"
    ]
    assert list(table(found).values()) == [(None, None), ("Run", "heldout"), ("Run", "train")]
    sky = tmp_path / "sky"
    touch(sky, *(f"{place}/{t}" for place in ("sky_train/a/a_1", "sky_test/b/b_1") for t in frames), "about.mp4")
    assert {s.name: s.split for s in scan([sky]).sources}["sky/sky_test/b/b_1"] == "heldout"
    bair = tmp_path / "bair"
    touch(bair, *(f"{side}/traj_0_to_255/0/{t}" for side in ("train", "test") for t in frames), "about.mp4")
    assert set(table(scan([bair])).values()) == {(None, None), (None, "train"), (None, "heldout")}
    made = "manipulated_sequences/Deepfakes"
    faces = touch(tmp_path / "ff", f"{made}/c23/videos/000_001.mp4", f"{made}/masks/videos/000_001.mp4")
    touch(faces, *(f"original_sequences/{name}.mp4" for name in ("actors/c23/videos/01__exit_room", "notes")))
    touch(faces, "splits/test.json", content='[["000", "001"]]')
    found = scan([faces])
    assert list(table(found).values()) == [
        ("Deepfakes", "heldout"),
        ("original_sequences", None),
        ("actors", None),
    ]
    assert found.ignored == {".mp4": 1}
    assert "1 mask left out; 1 of 4 clips is not of it" in found.layouts[0]


def test_folders_named_as_sides_are_never_labels(tmp_path: Path) -> None:
    three = touch(tmp_path / "t", "train/walk/a.mp4", "test/run/b.mp4", "extra/c.mp4", "d.mp4")
    found = scan([three])
    assert sorted(table(found).items()) == [
        ("d.mp4", (None, None)),
        ("extra/c.mp4", (None, None)),
        ("test/run/b.mp4", ("run", "heldout")),
        ("train/walk/a.mp4", ("walk", "train")),
    ]
    assert found.layouts == [
        "folders test, train: split by these, labels by the folders below; 2 of 4 clips are in none"
    ]
    touch(three, "metadata.jsonl", content='{"file_name": "test/run/b.mp4", "text": "one", "split": "train"}')
    assert table(scan([three])) == table(found)  # what is in "test" is held out, whatever a table says
    classes = touch(tmp_path / "c", "walk/train/a.mp4", "walk/test/b.mp4", "run/val2017/c.mp4", "jump/d.mp4")
    assert table(scan([classes])) == {
        "jump/d.mp4": ("jump", None),
        "run/val2017/c.mp4": ("run", "heldout"),
        "walk/test/b.mp4": ("walk", "heldout"),
        "walk/train/a.mp4": ("walk", "train"),
    }
    frames = touch(tmp_path / "f", *(f"{side}/{t}.png" for side in ("train", "test") for t in range(2)))
    assert table(scan([frames])) == {"test": (None, "heldout"), "train": (None, "train")}
    held = touch(tmp_path / "h", "test/a.mp4", "test/b.mp4")
    assert set(table(scan([held])).values()) == {(None, "heldout")}
    assert "all of it is held out" in scan([held]).layouts[0]
    assert {source.split for source in scan([held / "test"]).sources} == {None}


def test_an_export_of_one_side_has_no_labels_by_it(tmp_path: Path) -> None:
    row = {"file_name": "0.mp4", "text": None, "label": None, "split": "train"}
    videos_only = touch(tmp_path / "v", "train/0.mp4", "train/1.mp4")
    touch(videos_only, "train/metadata.jsonl", content=json.dumps(row))
    zipped(tmp_path / "w" / "train" / "0.zip", "0.mp4", "1.mp4", **{"0_dot_json": json.dumps(row)})
    for root in (videos_only, tmp_path / "w"):
        assert set(table(scan([root])).values()) == {(None, None)}
    touch(videos_only, "unlabelled/2.mp4")
    assert {source.label for source in scan([videos_only]).sources} == {None}  # nor beside others, where a table is


def test_a_table_of_labels_leaves_the_sides_of_a_layout(tmp_path: Path) -> None:
    root = touch(tmp_path / "u", "Run/v_Run_g01_c01.avi", "Run/v_Run_g02_c01.avi")
    touch(root, "testlist01.txt", content="Run/v_Run_g01_c01.avi\n")
    touch(root, "trainlist01.txt", content="Run/v_Run_g02_c01.avi 1\n")
    labels = touch(tmp_path, "l.csv", content="file,label\nv_Run_g01_c01.avi,fast\n") / "l.csv"
    found = scan([root], labels)
    assert [(s.label, s.split, s.group) for s in found.sources] == [
        ("fast", "heldout", "Run/01"),
        (None, "train", "Run/02"),
    ]
    touch(tmp_path, "l.csv", content="file,label,split\nv_Run_g01_c01.avi,fast,train\nv_Run_g02_c01.avi,slow,test\n")
    assert [s.split for s in scan([root], labels).sources] == ["train", "heldout"]


def test_archives_and_folders_that_are_given_have_sides(tmp_path: Path) -> None:
    shard = tmp_path / "w"
    shard.mkdir()
    for name in ("train-000000", "k400_val-000000", "more"):
        with tarfile.open(shard / f"{name}.tar", "w") as archive:
            add(archive, f"{name}.mp4", b"x")
            add(archive, f"{name}.json", b'{"split": "test", "text": ["one", "two"]}' if name == "more" else b"{}")
    assert {source.name[2:]: source.split for source in scan([shard]).sources} == {
        "k400_val-000000.tar/k400_val-000000.mp4": "heldout",
        "more.tar/more.mp4": "heldout",
        "train-000000.tar/train-000000.mp4": "train",
    }
    assert {source.caption for source in scan([shard]).sources} == {None, "one\ntwo"}
    zips = zipped(tmp_path / "z" / "a.zip", "train/a.mp4", "train/b.mp4").parent
    zipped(zips / "b.zip", "test/a.mp4", "test/b.mp4")
    assert [source.split for source in scan([zips]).sources] == ["train", "train", "heldout", "heldout"]
    two = touch(tmp_path / "two", "train/a/a.mp4", "test/a/b.mp4")
    assert list(table(scan([two / "train", two / "test"])).values()) == [("a", "train"), ("a", "heldout")]
    assert [source.split for source in scan([two / "test"]).sources] == [None]


def test_tables_in_a_zip(tmp_path: Path) -> None:
    labels = json.dumps({"labels": [[f"{name}/000000.png", number] for number, name in enumerate("ab")]})
    frames = [f"ds/{name}/{t:06d}.png" for name in "ab" for t in range(2)]
    assert table(scan([zipped(tmp_path / "s.zip", *frames, ds__dataset_dot_json=labels)])) == {
        "a": ("0", None),
        "b": ("1", None),
    }
    found = scan([zipped(tmp_path / "v.zip", "train/a.mp4", "test/b.mp4", train__metadata_dot_jsonl="{}")])
    assert found.ignored == {".jsonl": 1} and found.examples == {".jsonl": "v.zip/train/metadata.jsonl"}
    lists = touch(tmp_path / "c", "a.mp4")
    touch(lists, "metadata.jsonl", content='{"file_name": "a.mp4", "text": ["one", "two\\nlines"]}')
    assert [source.caption for source in scan([lists]).sources] == ["one\ntwo lines"]


def test_sides_that_were_assigned_stay(tmp_path: Path) -> None:
    for number, clip in enumerate(videos(tmp_path / "made", 4)):
        (tmp_path / "d").mkdir(exist_ok=True)
        (tmp_path / "d" / f"{number}.mp4").write_bytes(clip)
    before = ingest([tmp_path / "d"], tmp_path / "set", heldout=0.3, **SMALL).dataset
    sides = {row.source: row.split for row in before.rows}
    held = [name for name, side in sides.items() if side == "heldout"]
    assert held and len(held) < 4
    # A table that is found, with the other side of each, moves none of them; the user's own does.
    rows = [{"file_name": n[2:], "split": "train" if side == "heldout" else "test"} for n, side in sides.items()]
    touch(tmp_path / "d", "metadata.jsonl", content="\n".join(map(json.dumps, rows)))
    again = ingest([tmp_path / "d"], tmp_path / "set", heldout=0.3, **SMALL).dataset
    assert {row.source: row.split for row in again.rows} == sides
    labels = str(tmp_path / "d" / "metadata.jsonl")
    for config in ({"labels": labels}, {}):  # and it stays where that moved it
        moved = ingest([tmp_path / "d"], tmp_path / "set", heldout=0.3, **SMALL, **config).dataset
        assert all(row.split != sides[row.source] for row in moved.rows)


def test_clips_and_archives_of_ones_own_are_no_sides(tmp_path: Path) -> None:
    own = touch(tmp_path / "o", *(f"{name}/{t}.png" for name in ("test001", "valid_001", "dev1000") for t in range(2)))
    touch(own, "test-2024/a.mp4", "train001/b.mp4")
    assert {split for _, split in table(scan([own])).values()} == {None} and scan([own]).layouts == []
    zips = zipped(tmp_path / "z" / "f.zip", *(f"test00{n}/{t}.png" for n in "12" for t in range(2))).parent
    for name in ("train-station", "rig-test-7", "rig-test-8", "test-drive"):
        zipped(zips / f"{name}.zip", f"{name}.mp4")
    assert {split for _, split in table(scan([zips])).values()} == {None}
    for name in ("rig-train-9", "test_3", "train-00000-of-00010", "val"):
        zipped(zips / f"{name}.zip", f"{name}.mp4")
    sides = {name.partition(".")[0]: split for name, (_, split) in table(scan([zips])).items()}
    assert {name: split for name, split in sides.items() if split} == {
        **dict.fromkeys(("rig-test-7", "rig-test-8", "test_3", "val"), "heldout"),
        **dict.fromkeys(("rig-train-9", "train-00000-of-00010"), "train"),
    }


def test_train_is_a_label_where_nothing_is_held_out(tmp_path: Path) -> None:
    club = touch(tmp_path / "club", "training/2024/a.mp4", "training/2024/b.mp4", "match/c.mp4")
    assert sorted(table(scan([club])).values()) == [("match", None), ("training", None), ("training", None)]
    touch(club, "test/d.mp4")
    assert {table(scan([club]))[name] for name in ("test/d.mp4", "training/2024/a.mp4")} == {
        (None, "heldout"),
        ("2024", "train"),
    }


def test_a_set_of_before_keeps_labels_and_sides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number, clip in enumerate(videos(tmp_path / "made", 6)):
        touch(tmp_path / "d", path := f"{('run', 'test', 'walk')[number % 3]}/{number}.mp4")
        (tmp_path / "d" / path).write_bytes(clip)
    with monkeypatch.context() as older:
        older.setattr("footage.data.ingest.layouts.SIDES", {})
        before = ingest([tmp_path / "d"], tmp_path / "set", heldout=0.3, **SMALL).dataset
    assert before.info.labels == ("run", "test", "walk") and {row.split for row in before.rows} == {"train", "heldout"}
    assert ("test", "train") in {(row.label, row.split) for row in before.rows}
    again = ingest([tmp_path / "d"], tmp_path / "set", heldout=0.3, **SMALL)
    assert again.dataset.rows == before.rows
    assert "2 clips of before keep their labels" in again.layouts[-1]
    (tmp_path / "set" / "clips.jsonl").unlink()  # without the tables, sides stay
    last = ingest([tmp_path / "d"], tmp_path / "set", heldout=0.3, **SMALL).dataset
    assert [row.split for row in last.rows] == [row.split for row in before.rows]
    assert ingest([tmp_path / "d"], tmp_path / "set", heldout=0.3, labels="none", **SMALL).dataset.info.labels == ()
