"""The pictures of the studio in the documentation, of the present pages.

python .ci/pictures.py VIDEOS RUN [--here FOLDER] [--to docs/pictures] [--only library clip]

VIDEOS are a few real videos (bikes, bottle-detection and car-detection of sample-videos, CC BY 4.0, in those that are
there), RUN a training run, whose data set stands in `data` beside `runs`. A library is made of them and of clips of the
models that come with footage; then Chromium opens the pages. What is made stays in FOLDER, and is not made again.
"""

from __future__ import annotations

import argparse
import io
import random
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from footage.library.library import Library
from footage.library.timelines import PartTransition, Timeline, TimelineMusic, TimelinePart
from footage.studio.app import Address, Server

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

GENERATED = {"stream-shapes": 6, "stream-digits": 5, "stream-signs": 8}
"""Models that come with footage, and how many clips of each the library has."""
PLACES = {"bikes": "street", "bottle-detection": "table", "car-detection": "traffic"}
CAMPAIGN = "spring"
TITLE = "By the road\nSummer 2026"
WIDE, HIGH = 1280, 800
PHONE = {"width": 360, "height": 740}
DRAFT = "() => [...document.querySelectorAll('.draft video')].some(video => !video.hidden && video.currentTime > 0.3)"
"""Whether a timeline's draft plays."""
GAP, AROUND = 16, (120, 112, 120)
"""Between pictures that stand side by side: pixels and colour."""


def footage(*words: str | Path) -> None:
    subprocess.run([sys.executable, "-m", "footage", *map(str, words)], check=True)


def make_library(folder: Path, videos: Path) -> None:
    """Fill a library: real videos, generated clips, judgements, a blind comparison, a timeline."""
    for model, count in GENERATED.items():
        clips_folder = folder.parent / "made" / model
        footage("generate", model, "--to", clips_folder, "--count", str(count), "--seconds", "1.5", "--library", folder)
    for path in sorted(videos.iterdir()):
        if label := PLACES.get(path.stem):
            named = folder.parent / "videos" / label / path.name
            named.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, named)
    footage("library", "add", folder, folder.parent / "videos")
    with Library(folder) as library:
        clips = library.query(sort="oldest").entries
        real = [clip for clip in clips if clip.origin == "imported"]
        signs = [clip for clip in clips if clip.model == "stream-signs"]
        for clip, stars in zip(real, (3, 4, 5), strict=False):
            library.update(clip.id, stars=stars)
        library.bulk([clip.id for clip in (*signs[:3], *real[-1:])], {"verdict": "keep"})
        library.bulk([signs[-1].id], {"verdict": "reject"})
        rng = random.Random(0)  # somebody who takes the sharper one in three of four
        for question in ("fidelity", "motion"):
            for _ in range(60):
                one, other = rng.choice(signs).id, rng.choice(real).id
                library.ratings.add(CAMPAIGN, question, one, other, "b" if rng.random() < 0.75 else "a")
        parts = [TimelinePart(title=TITLE, seconds=3)]
        fade = PartTransition("fade", 0.5)
        parts += [TimelinePart(clip=clip.id, last=round(4 * clip.fps), transition=fade) for clip in real]
        parts += [TimelinePart(clip=clip.id, transition=fade) for clip in signs[:2]]
        library.timelines.save("Summer", Timeline(tuple(parts), music=TimelineMusic(tune="procession")))


def taken(page: Page) -> Image.Image:
    return Image.open(io.BytesIO(page.screenshot())).convert("RGB")


def beside(*pictures: Image.Image) -> Image.Image:
    """Lay pictures side by side."""
    width = sum(picture.width for picture in pictures) + GAP * (len(pictures) - 1)
    whole, place = Image.new("RGB", (width, max(picture.height for picture in pictures)), AROUND), 0
    for picture in pictures:
        whole.paste(picture, (place, 0))
        place += picture.width + GAP
    return whole


class Pictures:
    """Takes one picture after the other of a studio that is served."""

    def __init__(self, browser: Browser, server: Server, run: str) -> None:
        self.browser, self.server, self.run = browser, server, run
        clips = server.studio.library.query(sort="oldest").entries
        self.sign = next(clip.id for clip in clips if clip.model == "stream-signs" and clip.seed == 3)
        self.real = next(clip.id for clip in clips if clip.label == "table")

    def page(
        self, address: str, *, light: bool = False, chinese: bool = False, tour: bool = False, **more: Any
    ) -> Page:
        """Open a page, and wait until all of its pictures are there."""
        context = self.browser.new_context(
            **{"viewport": {"width": WIDE, "height": HIGH}} | more,
            base_url=self.server.address,
            locale="zh-CN" if chinese else "en-GB",
            color_scheme="light" if light else "dark",
        )
        if not tour:
            context.add_init_script("try { localStorage.setItem('tour', 'seen') } catch { /* not a page of it */ }")
        page = context.new_page()
        page.goto(address)
        page.wait_for_load_state("networkidle")
        return page

    def library(self) -> Image.Image:
        return self.grid()

    def library_zh(self) -> Image.Image:
        return self.grid(chinese=True)

    def grid(self, **how: Any) -> Image.Image:
        page = self.page("/", **how)
        page.wait_for_selector("#grid.placed .card")
        page.wait_for_selector("#facets fieldset")
        page.wait_for_timeout(1000)
        return taken(page)

    def clip(self) -> Image.Image:
        page = self.page(f"/clip/{self.sign}")
        page.wait_for_timeout(1500)
        return taken(page)

    def effects(self) -> Image.Image:
        page = self.page(f"/clip/{self.real}", light=True)
        panel = page.locator("#effects")
        panel.scroll_into_view_if_needed()
        for kind in ("stabilise", "reframe"):
            panel.locator("[data-choose]").select_option(kind)
            panel.locator("[data-add]").click()
        panel.locator("[data-preview]").click()
        page.wait_for_function("() => document.querySelector('#effects video')?.currentTime > 4", timeout=120_000)
        page.mouse.move(0, 0)
        page.wait_for_timeout(3500)  # until the controls are gone
        return Image.open(io.BytesIO(panel.screenshot())).convert("RGB")

    def generate(self) -> Image.Image:
        page = self.page("/generate")
        page.locator("[name=model]").first.select_option("stream-shapes")
        page.wait_for_timeout(20_000)  # clips of the preview
        return taken(page)

    def data(self) -> Image.Image:
        return taken(self.page("/data", light=True))

    def audit(self) -> Image.Image:
        return taken(self.page("/data/audit?name=data/signs", light=True))

    def results(self) -> Image.Image:
        return taken(self.page(f"/rate/{CAMPAIGN}/results", viewport={"width": WIDE, "height": 560}))

    def run_page(self) -> Image.Image:
        page = self.page(f"/training/run?name={self.run}", light=True, viewport={"width": WIDE, "height": 900})
        page.wait_for_timeout(2000)
        return taken(page)

    def timeline(self) -> Image.Image:
        pictures = []
        for width, height in ((WIDE, HIGH), (PHONE["width"], HIGH)):
            page = self.page("/timeline?name=Summer", light=True, viewport={"width": width, "height": height})
            page.locator("[data-part='2']").click()
            page.locator("[data-play]").click()
            page.wait_for_function(DRAFT, timeout=120_000)
            page.locator("[data-play]").click()
            page.wait_for_timeout(500)
            pictures.append(taken(page))
        return beside(*pictures)

    def phone(self) -> Image.Image:
        page = self.page("/", viewport=PHONE, has_touch=True)
        page.wait_for_selector("#grid.placed .card")
        page.wait_for_timeout(1000)
        pictures = [taken(page)]
        page.locator("#grid .card [data-enlarge]").first.dispatch_event("click")
        page.wait_for_selector("#loupe[open]")
        page.wait_for_timeout(1500)
        pictures.append(taken(page))
        page = self.page("/", viewport=PHONE, has_touch=True, light=True, tour=True)
        for _ in range(2):
            page.get_by_role("button", name="Next").click()
        page.wait_for_timeout(500)
        return beside(*pictures, taken(page))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("videos", type=Path)
    parser.add_argument("run", type=Path)
    parser.add_argument("--here", type=Path, default=Path("studio-pictures"))
    parser.add_argument("--to", type=Path, default=Path("docs/pictures"))
    parser.add_argument("--only", nargs="*", default=[])
    asked = parser.parse_args()
    library = asked.here / "library"
    if not (asked.here / "videos").exists():
        make_library(library, asked.videos)
    from playwright.sync_api import sync_playwright

    models = asked.run.parent.parent
    server = Server(library, models, Address(port=0), sources=[asked.videos])
    server.start()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        pictures = Pictures(browser, server, str(asked.run.relative_to(models)))
        takes: dict[str, Callable[[], Image.Image]] = {
            "library": pictures.library,
            "library-zh": pictures.library_zh,
            "clip": pictures.clip,
            "effects": pictures.effects,
            "generate": pictures.generate,
            "data": pictures.data,
            "audit": pictures.audit,
            "results": pictures.results,
            "run": pictures.run_page,
            "timeline": pictures.timeline,
            "phone": pictures.phone,
        }
        for name in asked.only or takes:
            picture = takes[name]()
            to = asked.to / f"studio-{name}.png"
            picture.quantize(256, dither=Image.Dither.NONE).save(to, optimize=True)
            print(f"{to}: {picture.width}×{picture.height}, {to.stat().st_size // 1024} KiB")
    server.stop()


if __name__ == "__main__":
    main()
