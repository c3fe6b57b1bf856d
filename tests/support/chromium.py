"""Debian's Chromium without a screen, driven through its own chromedriver."""

import shutil
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

PATIENCE = 20
DISTINCT_ROWS = 20
"""A line of text alone makes about as many different rows of pixels."""
_PNG = b"\x89PNG\r\n\x1a\n"
_CHANNELS = {2: 3, 6: 4}


def missing_for_chromium() -> list[str]:
    """Reasons why no browser can be driven here; empty when one can."""
    return [f"no `{name}` command" for name in ("chromium", "chromedriver") if shutil.which(name) is None]


@contextmanager
def chromium(profile: Path, *addresses: str) -> Iterator[Chrome]:
    """A browser with a profile of its own that finds nothing but these addresses."""
    options = ChromeOptions()
    options.binary_location = shutil.which("chromium") or ""
    rules = ", ".join(["MAP * ~NOTFOUND", *(f"EXCLUDE {address}" for address in addresses)])
    for argument in (
        "--headless=new",
        "--no-sandbox",  # the tests are root, for whom there is none
        "--disable-dev-shm-usage",
        "--disable-gpu",
        "--no-proxy-server",
        "--window-size=1000,800",
        f"--user-data-dir={profile}",
        f"--host-resolver-rules={rules}",
    ):
        options.add_argument(argument)
    browser = Chrome(options=options, service=Service(shutil.which("chromedriver")))
    browser.set_page_load_timeout(PATIENCE)
    try:
        yield browser
    finally:
        browser.quit()


def wait_for_text(browser: Chrome, text: str) -> str:
    """Wait until the page shows a text; returns all it shows."""

    def shown(driver: Chrome) -> str | None:
        body = driver.find_elements(By.TAG_NAME, "body")
        return body[0].text if body and text in body[0].text else None

    seen = WebDriverWait(browser, PATIENCE, ignored_exceptions=[Exception]).until(
        shown, f"`{text}` did not come up"
    )
    return str(seen)


def take_screenshot(browser: Chrome, path: Path) -> None:
    """Save what the browser shows, and make sure that it shows something."""
    assert browser.save_screenshot(str(path))
    rows = distinct_rows(path.read_bytes())
    assert rows >= DISTINCT_ROWS, f"{path} is blank: {rows} different rows of pixels"


def distinct_rows(png: bytes) -> int:
    """How many different rows of (filtered) pixels a picture of 8 bits a channel has."""
    assert png.startswith(_PNG)
    width, depth, kind = int.from_bytes(png[16:20], "big"), png[24], png[25]
    assert depth == 8 and kind in _CHANNELS, "another kind of picture than the browser makes"
    packed, at = b"", len(_PNG)
    while at < len(png):
        length = int.from_bytes(png[at : at + 4], "big")
        if png[at + 4 : at + 8] == b"IDAT":
            packed += png[at + 8 : at + 8 + length]
        at += length + 12
    pixels, stride = zlib.decompress(packed), 1 + width * _CHANNELS[kind]
    return len({pixels[start : start + stride] for start in range(0, len(pixels), stride)})
