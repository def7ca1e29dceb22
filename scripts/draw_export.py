"""Draw `images/page_browser.png`: an exported page on a phone's screen, used in a real browser.

    python scripts/draw_export.py [FOLDER]

The student is the embedded one as it is shipped; its answer in the picture is the one that it gave.
The network is refused. Needs Chromium, a Chinese font, and npm or a filled cache.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from draw_page import COLOURS, TEXT
from PIL import Image
from playwright.sync_api import sync_playwright

from miniluotuo_utils.export import to_browser
from miniluotuo_utils.export.trying import ALONE, chromium, hosted
from miniluotuo_utils.runtime import repository
from miniluotuo_utils.students import load_student

PHONE = {"width": 390, "height": 772}


def drawn(page: Path, target: Path) -> None:
    """Open a page, extract, and keep a picture of it."""
    if chromium() is None:
        raise SystemExit("没有浏览器。 No browser here: install chromium")
    with hosted(page) as (address, _), sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium(), args=ALONE)
        tab = browser.new_page(viewport=PHONE, device_scale_factor=2)
        tab.set_default_timeout(300_000)
        tab.goto(address)
        tab.wait_for_selector("#extract:not([disabled])")
        tab.fill("#text", TEXT)
        tab.click("#extract")
        tab.wait_for_selector("#extract:not([disabled])")
        tab.screenshot(path=target)
        browser.close()
    with Image.open(target) as picture:
        picture.convert("RGB").quantize(COLOURS).save(target, optimize=True)


def main(folder: Path) -> None:
    """Export the embedded student, use its page, keep the picture."""
    with tempfile.TemporaryDirectory() as place:
        page = to_browser(load_student("tiny"), Path(place) / "page")
        drawn(page, folder / "page_browser.png")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else repository() / "images")
