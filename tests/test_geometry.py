from __future__ import annotations

import pytest

from footage.errors import ConfigError, MediaError
from footage.media.geometry import Size, parse_size, plan_enlargement

SHOWN = Size(180, 320)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        (None, Size(720, 1280)),
        ("1280x720", Size(720, 1280)),
        ("640×360", Size(360, 640)),
        ("720p", Size(720, 1280)),
        (" 1080P ", Size(1080, 1920)),
        ("2x", Size(360, 640)),
        ("1.5x", Size(270, 480)),
    ],
)
def test_sizes_as_people_write_them(text: str | None, size: Size) -> None:
    assert parse_size(text, SHOWN, 4) == size


@pytest.mark.parametrize(
    ("text", "said"), [("big", 'size is "big": give a size such as'), ("4x4", "give sides of 16"), ("900x", "16384")]
)
def test_what_is_no_size(text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        parse_size(text, SHOWN, 4)


def test_a_height_gives_an_even_width() -> None:
    assert parse_size("720p", Size(101, 99), 4) == Size(720, 706)


def test_one_enlargement_loses_nothing_before() -> None:
    way = plan_enlargement(Size(360, 640), Size(360, 640), Size(720, 1280), 4, "letterbox")
    assert way.shrinks == (Size(360, 640),) and way.picture == way.frame == Size(720, 1280)


def test_several_enlargements_end_at_the_size() -> None:
    way = plan_enlargement(Size(64, 64), Size(64, 64), Size(720, 1280), 4, "letterbox")
    assert way.shrinks == (Size(64, 64), Size(180, 180)) and way.picture == Size(720, 720)
    crop = plan_enlargement(Size(64, 64), Size(64, 64), Size(720, 1280), 4, "crop")
    assert crop.shrinks == (Size(64, 64), Size(256, 256)) and crop.picture == Size(1280, 1280)
    assert plan_enlargement(Size(64, 64), Size(64, 64), Size(720, 1280), 4, "stretch").picture == Size(720, 1280)
    twice = plan_enlargement(Size(45, 80), Size(45, 80), Size(720, 1280), 4, "letterbox")
    assert twice.passes == 2 and twice.shrinks[-1] == Size(180, 320)


def test_pixels_that_are_not_square_become_so() -> None:
    way = plan_enlargement(Size(576, 720), Size(576, 1024), Size(1152, 2048), 2, "letterbox")
    assert way.picture == Size(1152, 2048) and way.passes == 1, "what is left is the bicubic kernel's"


def test_what_is_large_already_is_refused() -> None:
    for frame in (Size(180, 320), Size(90, 160)):
        with pytest.raises(MediaError, match=r"the clip is 320×180 already, and .* was asked for"):
            plan_enlargement(SHOWN, SHOWN, frame, 4, "letterbox")
    with pytest.raises(MediaError, match="120 times as large, 3 enlargements make 96 times"):
        plan_enlargement(Size(16, 16), Size(16, 16), Size(1920, 1920), 4, "letterbox")
