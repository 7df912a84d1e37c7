"""Clips inside archives: tar and zip files, and TFRecord files, whose members are read where they lie.

An archive is looked through once, for where its members begin; each clip is then read by itself, into a temporary
folder for as long as it is decoded, sealed where the data set is locked.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import posixpath
import re
import struct
import tarfile
import zipfile
import zlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import IO, Literal, Self

import numpy as np
import numpy.typing as npt

from footage import files
from footage.data.ingest.labels import SIDES, caption_lines, listed_captions, side_of
from footage.data.store import Split
from footage.files import locked
from footage.media.kinds import PICTURE_SUFFIXES, VIDEO_SUFFIXES, natural_key, suffix_of
from footage.media.probe import UnusableMedia

RECORDS = ("tfrecord", "tfrecords")
"""Endings of TFRecord files."""
ARCHIVES = {"tar": "WebDataset", "zip": "zip of clips", **dict.fromkeys(RECORDS, "TFRecord")}
"""Endings of the archives that are read, and what they are in the field."""
CHUNK = 2**16
"""Bytes that are read at once; DEFLATE makes 1,032 times as many of them, at most."""
MOST_SAID = 2**20
"""Bytes of a text beside a clip, at most; what is longer says nothing."""
RATIO = 200
"""How many times its packed bytes a clip may unpack to."""
SMALL = 2**24
"""Bytes that a clip may unpack to, however few it was packed into: black pictures pack well."""
EXTENDED = (
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
)
"""Types of what a tar file says of its next member, which `tarfile` reads whole."""
BESIDE = ("json", "txt", "cls")
"""Endings of what a WebDataset says of a clip, in the member of the same key."""
VIEW = "image_aux1"
"""Of several cameras, the one that is taken: the one that is used of BAIR's robots (Ebert et al. 2017)."""
COLUMNS = 512
"""Bytes that a CRC goes along at once, in as many rows as there are."""


@dataclass(frozen=True)
class Member:
    """A file inside an archive, or a record."""

    name: str
    offset: int
    """Where its bytes begin in the archive."""
    size: int
    """How many there are."""
    deflated: int | None = None
    """How many bytes it has unpacked, of one that is packed."""
    crc: int | None = None
    """CRC-32 of these, where the archive says."""


@dataclass(frozen=True)
class ArchivedClip:
    """A clip inside an archive."""

    kind: Literal["video", "pictures"]
    name: str
    """Its path in the archive, or the number of its record."""
    members: tuple[Member, ...]
    """The video, the pictures in order, or the record."""
    label: str | None = None
    caption: str | None = None
    split: Split | None = None


class CheckedTarInfo(tarfile.TarInfo):
    """A header of a tar file, refused where it would have the rest of the file read at once."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        info = super().frombuf(buf, encoding, errors)
        if info.type in EXTENDED and not 0 <= info.size <= MOST_SAID:
            raise tarfile.ReadError(f"a name of {info.size:,} bytes")
        return info


def find_members(path: Path) -> Iterator[Member]:
    """Yield the files inside an archive, in order, or its records.

    Raises:
        UnusableMedia: it is damaged, or ends early; those before that are yielded.
    """
    find = {"tar": tar_members, "zip": zip_members}.get(suffix_of(path), record_members)
    yield from find(path)


def tar_members(path: Path) -> Iterator[Member]:
    """Yield the files of a tar archive; it has to end with its mark, a block of zeros (POSIX.1-1988, 10.1.1)."""
    size = path.stat().st_size
    try:
        with (
            tarfile.open(path, "r:", encoding="utf-8", errors="backslashreplace", tarinfo=CheckedTarInfo) as archive,
            open(path, "rb") as handle,
        ):
            for info in archive:
                if info.size < 0:
                    raise tarfile.ReadError(f"a member of {info.size:,} bytes")
                if info.isreg() and info.sparse is None:
                    if info.offset_data + info.size > size:
                        raise UnusableMedia("truncated", f'it ends within "{info.name}": fetch it again')
                    yield Member(info.name, info.offset_data, info.size)
                archive.members.clear()  # type: ignore[attr-defined]
            handle.seek(archive.offset)
            if not (end := handle.read(tarfile.BLOCKSIZE)) or any(end):
                raise UnusableMedia("truncated", "it has no end, so that members may be missing: fetch it again")
    except (tarfile.TarError, ValueError, OverflowError) as error:
        raise UnusableMedia("damaged", f"no sound tar file ({error}): fetch it again") from None


def zip_members(path: Path) -> Iterator[Member]:
    """Yield the files of a zip archive."""
    try:
        with zipfile.ZipFile(path) as archive, open(path, "rb") as handle:
            for info in archive.infolist():
                if info.is_dir():
                    continue
                if info.flag_bits & 1 or info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                    how = "encrypted" if info.flag_bits & 1 else f"packed by method {info.compress_type}"
                    raise UnusableMedia("unreadable", f'"{info.filename}" is {how}: pack it anew without that')
                handle.seek(info.header_offset)
                names = struct.unpack("<26xHH", handle.read(30))  # a local header has names of its own length
                offset = info.header_offset + 30 + sum(names)
                packed = info.file_size if info.compress_type == zipfile.ZIP_DEFLATED else None
                yield Member(info.filename, offset, info.compress_size, packed, info.CRC)
    except (zipfile.BadZipFile, NotImplementedError, struct.error, ValueError, OverflowError) as error:
        raise UnusableMedia("damaged", f"no sound zip file ({error}): fetch it again") from None


def clips_in(path: Path, members: Iterable[Member]) -> tuple[list[ArchivedClip], list[Member]]:
    """Return the clips of an archive's members, which are videos, folders of numbered pictures, or records.

    Labels, captions and sides are what stands beside a video under the same key (`.cls`, `.txt`, `.json`: WebDataset),
    and in `dataset.json` (StyleGAN). A folder that all of them lie in is left out of their names; one that is named as
    a side is the side of all. Hidden members are passed over, and what macOS adds.

    Returns:
        the clips, and the members that say nothing of a clip that is there.
    """
    if suffix_of(path) in RECORDS:
        return [ArchivedClip("pictures", member.name, (member,)) for member in members], []
    clips, beside, tables, unused = list[ArchivedClip](), dict[str, list[Member]](), list[Member](), list[Member]()
    pictures = defaultdict[tuple[str, str, str], list[Member]](list)
    for member in members:
        place, suffix = PurePosixPath(member.name), suffix_of(member.name)
        if any(part == "__MACOSX" or (part.startswith(".") and part not in (".", "..")) for part in place.parts):
            continue
        if suffix in VIDEO_SUFFIXES:
            clips.append(ArchivedClip("video", member.name, (member,)))
        elif suffix in PICTURE_SUFFIXES and re.search(r"\d", place.stem):
            prefix = re.sub(r"\d+(?=\D*$)", "#", place.stem)  # the last number counts the frames
            pictures[str(place.parent), prefix, suffix].append(member)
        elif place.name == "dataset.json":
            tables.append(member)
        elif suffix in BESIDE:
            beside.setdefault(key_of(member.name), []).append(member)
        else:
            unused.append(member)
    in_folder = Counter(folder for (folder, _, _), group in pictures.items() if len(group) > 1)
    for (folder, prefix, suffix), group in pictures.items():
        if len(group) > 1:
            name = folder if in_folder[folder] == 1 and folder != "." else f"{folder}/{prefix}.{suffix}"
            frames = sorted(group, key=lambda member: natural_key(member.name))
            clips.append(ArchivedClip("pictures", name.removeprefix("./"), tuple(frames)))
        else:
            unused += group
    tops = {clip.name.partition("/")[0] if "/" in clip.name else "" for clip in clips}
    shared = f"{min(tops)}/" if len(tops) == 1 else ""
    with open(path, "rb") as handle:
        labels = frame_labels(handle, tables)
        told = [said_beside(handle, beside.get(key_of(clip.name), ()), clip) for clip in clips]
    unused += [member for key in beside.keys() - {key_of(clip.name) for clip in clips} for member in beside[key]]
    for number, clip in enumerate(told):
        label = clip.label or labels.get(clip.name) or labels.get(clip.members[0].name)
        split = clip.split or SIDES.get(shared[:-1].casefold())
        told[number] = replace(clip, name=clip.name.removeprefix(shared), label=label, split=split)
    return told, unused


def key_of(name: str) -> str:
    """Return what members that belong together have in common: the path up to the first dot of its last part."""
    folder, slash, last = name.rpartition("/")
    return folder + slash + last.split(".")[0]


def said_beside(handle: IO[bytes], members: Iterable[Member], clip: ArchivedClip) -> ArchivedClip:
    """Return a clip with the label, the caption and the side that the members beside it say."""
    label = caption = split = None
    for member in members:
        text, suffix = read_text(handle, member), suffix_of(member.name)
        if suffix == "txt":
            caption = caption_lines(text) or caption
        elif suffix == "cls":
            label = label or text.strip() or None  # a number often, whose name may stand in the .json
        else:
            with contextlib.suppress(ValueError, RecursionError):
                if isinstance(value := json.loads(text or "{}"), dict):
                    cells = {str(key).casefold(): listed_captions(cell) for key, cell in value.items()}
                    said = {key: str(cell) for key, cell in cells.items() if isinstance(cell, str | int)}
                    label = next((said[key] for key in ("label", "class") if key in said), label)
                    texts = (said[key] for key in ("caption", "text", "prompt") if key in said)
                    caption, split = caption or caption_lines(next(texts, "")), side_of(said.get("split", ""))
    return replace(clip, label=label, caption=caption, split=split)


def frame_labels(handle: IO[bytes], tables: Iterable[Member]) -> dict[str, str]:
    """Return the labels of each `dataset.json`, by the name of a frame or of its folder, which begins in its own."""
    labels: dict[str, str] = {}
    for table in tables:
        folder = table.name.rpartition("/")[0]
        with contextlib.suppress(ValueError, TypeError, AttributeError, RecursionError):
            pairs = dict(json.loads(read_text(handle, table)).get("labels") or ())
            said = {str(name): str(label) for name, label in pairs.items() if isinstance(label, str | int)}
            labels |= {posixpath.join(folder, name): label for name, label in said.items()}
    return labels


def read_text(handle: IO[bytes], member: Member) -> str:
    """Return a text inside an archive, or nothing where it is too long, or damaged."""
    if max(member.size, member.deflated or 0) <= MOST_SAID:
        with contextlib.suppress(UnusableMedia):
            return b"".join(member_content(handle, member)).decode("utf-8", "replace")
    return ""


def member_content(handle: IO[bytes], member: Member) -> Iterator[bytes]:
    """Yield what a member holds, unpacked, in pieces.

    Raises:
        UnusableMedia: it is not what the archive says.
    """
    handle.seek(member.offset)
    left, made, crc = member.size, 0, 0
    inflate = None if member.deflated is None else zlib.decompressobj(-zlib.MAX_WBITS)
    most = member.size if member.deflated is None else member.deflated
    while left:
        content = handle.read(min(left, CHUNK))
        if not content:
            raise UnusableMedia("truncated", f'the archive ends within "{member.name}": fetch it again')
        left -= len(content)
        try:
            content = content if inflate is None else inflate.decompress(content)
        except zlib.error as error:
            raise UnusableMedia("damaged", f'"{member.name}" in its archive: {error}; fetch it again') from None
        made, crc = made + len(content), zlib.crc32(content, crc)
        if made > most:
            break
        yield content
    if made != most or member.crc not in (None, crc):
        raise UnusableMedia("damaged", f'"{member.name}" is not what its archive says (CRC-32): fetch it again')


def member_digests(path: Path, members: Sequence[Member]) -> list[str]:
    """Return the SHA-256 of what each member holds, unpacked: that of the same file outside of an archive.

    What is wrong with a member counts as content, so that a sound one never has the digest of a damaged one. Of what
    unpacks to too much, the bytes count as they lie in the archive.
    """
    digests, packed = [], unpacks_to_too_much(path, members)
    with open(path, "rb") as handle:
        for member in members:
            digest = hashlib.sha256()
            try:
                for content in member_content(handle, replace(member, deflated=None, crc=None) if packed else member):
                    digest.update(content)
            except UnusableMedia as error:
                digest.update(str(error).encode())
            digests.append(digest.hexdigest())
    return digests


def unpacks_to_too_much(path: Path, members: Sequence[Member]) -> bool:
    """Whether members claim more than `RATIO` times the bytes that they have in their archive, and more than `SMALL`.

    Members that lie over each other have no more bytes than all of the archive.
    """
    claimed = sum(member.size if member.deflated is None else member.deflated for member in members)
    return claimed > max(SMALL, RATIO * min(sum(member.size for member in members), path.stat().st_size))


@contextlib.contextmanager
def unpacked(path: Path, members: Sequence[Member]) -> Iterator[list[Path]]:
    """Give files with what members of an archive hold, or the frames of a record, while the block runs.

    They are sealed within `files.sealing`.

    Raises:
        UnusableMedia: they are damaged, or unpack to too much, or a record holds no frames.
    """
    if unpacks_to_too_much(path, members):
        raise UnusableMedia("damaged", f"it unpacks to more than {RATIO} times its size")
    with files.scratch_folder() as folder, open(path, "rb") as handle:
        contents: Iterable[tuple[str, Iterable[bytes]]]
        if suffix_of(path) in RECORDS:
            contents = ((suffix, [frame]) for suffix, frame in record_frames(read_record(handle, members[0])))
        else:
            contents = ((suffix_of(member.name), member_content(handle, member)) for member in members)
        places = []
        for number, (suffix, content) in enumerate(contents):
            places.append(folder / f"{number:08d}.{suffix}")
            with locked.create(places[-1], places[-1]) as to:
                to.writelines(content)
        yield places


def record_members(path: Path) -> Iterator[Member]:
    """Yield the records of a TFRecord file: length (8 bytes), its masked CRC, content, the masked CRC of that."""
    size, number = path.stat().st_size, 0
    with open(path, "rb") as handle:
        while head := handle.read(12):
            length, crc = struct.unpack("<QI", head) if len(head) == 12 else (size, 0)
            if len(head) == 12 and masked_crc(head[:8]) != crc:
                problem = f"record {number} has a length of another CRC-32C, no sound TFRecord file: fetch it again"
                raise UnusableMedia("damaged", problem)
            if handle.tell() + length + 4 > size:
                raise UnusableMedia("truncated", f"it ends within record {number}: fetch it again")
            yield Member(str(number), handle.tell(), length)
            handle.seek(length + 4, 1)
            number += 1


def read_record(handle: IO[bytes], member: Member) -> bytes:
    """Return the content of a record.

    Raises:
        UnusableMedia: its CRC is another.
    """
    handle.seek(member.offset)
    content = handle.read(member.size)
    stated = int.from_bytes(handle.read(4), "little")
    if (crc := masked_crc(content)) != stated:
        problem = f"record {member.name} has the CRC-32C {crc:08x}, and its file says {stated:08x}: fetch it again"
        raise UnusableMedia("damaged", problem)
    return content


def record_frames(content: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield the frames of a record, a `tf.train.Example`, with the ending of each: JPEG and PNG as they are, else PPM.

    Frames are features `0/VIEW/encoded`, `1/VIEW/encoded`, …, as of BAIR's robots, or one with the bytes of several.
    Raw bytes are of the size that the features `height` and `width` say, or squares.

    Raises:
        UnusableMedia: it holds no such frames.
    """
    features = read_example(content)
    views = defaultdict[str, dict[int, bytes]](dict)
    for name, values in features.items():
        numbered = re.fullmatch(r"(\d+)/(.*image.*)/encoded", name)
        if numbered and values and isinstance(values[0], bytes):
            views[numbered[2]][int(numbered[1])] = values[0]
        elif len(values) > 1 and "image" in name and isinstance(values[0], bytes):
            views[name] = {number: value for number, value in enumerate(values) if isinstance(value, bytes)}
    if not views:
        names = ", ".join(sorted(features)[:4]) or "none"
        raise UnusableMedia("not clips", f"a record has the features {names}, and no frames such as 0/{VIEW}/encoded")
    frames = views[VIEW] if VIEW in views else views[min(views)]
    for _, frame in sorted(frames.items()):
        is_jpeg = frame.startswith(b"\xff\xd8\xff") and frame.rstrip(b"\0").endswith(b"\xff\xd9")
        if is_jpeg or frame.startswith(b"\x89PNG\r\n\x1a\n"):
            yield "jpg" if is_jpeg else "png", frame
            continue
        sides = [features.get(side) for side in ("height", "width")]
        height, width = (side[0] if side and isinstance(side[0], int) else 0 for side in sides)
        height, width = (height, width) if height and width else (math.isqrt(len(frame) // 3),) * 2
        if not len(frame) or height * width * 3 != len(frame):
            raise UnusableMedia("not clips", f"a frame has {len(frame):,} bytes, which is no square in RGB")
        yield "ppm", b"P6 %d %d 255\n" % (width, height) + frame


def read_example(content: bytes) -> dict[str, list[bytes | int]]:
    """Return the features of a `tf.train.Example`, those of bytes and of whole numbers, by name.

    Raises:
        UnusableMedia: it is none.
    """
    features: dict[str, list[bytes | int]] = {}
    try:
        for _, listed in wire_fields(content):
            for _, entry in wire_fields(listed):
                parts = dict(wire_fields(entry))  # 1: the name, 2: the feature
                for kind, values in wire_fields(parts.get(2, b"")):
                    found = list[bytes | int]()
                    for _, value in wire_fields(values) if kind in (1, 3) else ():  # bytes_list, int64_list
                        found += [value] if kind == 1 else list(varints(value))
                    features[bytes(parts[1]).decode()] = found
    except (IndexError, KeyError, ValueError) as error:
        raise UnusableMedia("not clips", f"a record is no tf.train.Example ({error})") from None
    return features


def wire_fields(message: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield the fields of a message of Protocol Buffers, number and bytes; of a varint, the bytes that it has."""
    at = 0
    while at < len(message):
        key, at = varint(message, at)
        size = {1: 8, 5: 4}.get(key & 7, 0)
        if key & 7 == 2:
            size, at = varint(message, at)
        elif not size:
            size = varint(message, at)[1] - at
        if at + size > len(message):
            raise ValueError("it ends within a field")
        yield key >> 3, message[at : at + size]
        at += size


def varints(packed: bytes) -> Iterator[int]:
    """Yield whole numbers of 7 bits a byte."""
    at = 0
    while at < len(packed):
        value, at = varint(packed, at)
        yield value


def varint(message: bytes, at: int) -> tuple[int, int]:
    """Return the number that begins at a place, and where it ends."""
    value = shift = 0
    while message[at] & 128:
        value, shift, at = value | (message[at] & 127) << shift, shift + 7, at + 1
    return value | message[at] << shift, at + 1


def masked_crc(content: bytes) -> int:
    """Return the CRC-32C of some bytes as TFRecord has it: turned by 15 bits, and with a constant added."""
    crc = crc32c(content)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def crc32c(content: bytes) -> int:
    """Return the CRC-32C (Castagnoli; RFC 3720, appendix B.4) of some bytes.

    Rows of `COLUMNS` bytes are divided side by side, as if each began with zeros. A CRC is linear, so that what goes
    before a row counts as its own remainder, carried over as many zeros, which is looked up for each of its bytes.
    """
    table: npt.NDArray[np.uint32] = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        table = (table >> 1 ^ (table & 1) * np.uint32(0x82F63B78)).astype(np.uint32)
    data = np.frombuffer(content, np.uint8)
    columns = min(COLUMNS, max(4, len(data)))
    rows = -(-max(1, len(data)) // columns)
    padded = np.zeros(rows * columns, np.uint8)  # zeros in front change nothing
    first = len(padded) - len(data)
    padded[first:] = data
    padded[first : first + 4] ^= 255  # as good as a register of ones to begin with
    left = 0xFFFFFFFF >> 8 * min(4, len(data))  # what is left of it after fewer bytes than it has
    single = np.arange(256, dtype=np.uint32)
    registers = np.concatenate([np.zeros(rows, np.uint32), *(single << 8 * place for place in range(4))])
    for column in padded.reshape(rows, columns).T:  # (rows, columns) → columns × (rows,)
        registers[:rows] ^= column
        registers = table[registers & 255] ^ registers >> 8
    carried, crc = registers[rows:].reshape(4, 256).tolist(), 0
    for remainder in registers[:rows].tolist():
        low, high = carried[0][crc & 255] ^ carried[1][crc >> 8 & 255], carried[2][crc >> 16 & 255]
        crc = remainder ^ low ^ high ^ carried[3][crc >> 24]
    return crc ^ left ^ 0xFFFFFFFF
