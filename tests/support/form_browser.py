"""A browser without a screen: follows redirects, keeps cookies, fills the first form of a page."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from html.parser import HTMLParser
from urllib.parse import urljoin

import aiohttp


@dataclass
class Form:
    """The form a page begins with."""

    action: str = ""
    fields: dict[str, str] = field(default_factory=dict)


class _FormReader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.form: Form | None = None
        self._inside = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        known = dict(attrs)
        if tag == "form" and self.form is None:
            self.form, self._inside = Form(known.get("action") or ""), True
        elif tag == "input" and self._inside and self.form is not None and known.get("name"):
            self.form.fields[str(known["name"])] = known.get("value") or ""

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._inside = False


@dataclass
class Page:
    """What the browser shows."""

    status: int
    url: str
    text: str
    headers: dict[str, str]

    def form(self) -> Form:
        """Its first form."""
        reader = _FormReader()
        reader.feed(self.text)
        assert reader.form is not None, self.text
        return reader.form


class FormBrowser:
    """One browser with its cookies."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self.session = session

    async def get(self, url: str, *, follow: bool = True) -> Page:
        """Open a page."""
        async with self.session.get(url, allow_redirects=follow) as answer:
            return Page(answer.status, str(answer.url), await answer.text(), dict(answer.headers))

    async def submit(self, page: Page, *, follow: bool = True, **fields: str) -> Page:
        """Send the first form of a page."""
        form = page.form()
        url = urljoin(page.url, form.action)
        async with self.session.post(url, data=form.fields | fields, allow_redirects=follow) as answer:
            return Page(answer.status, str(answer.url), await answer.text(), dict(answer.headers))

    async def log_in(self, url: str, subject: str) -> Page:
        """From a link of ours through the provider's login and consent pages, back to ours."""
        page = await self.get(url)
        for _ in range(3):
            if "/interaction/" not in page.url:
                break
            page = await self.submit(
                page, **({"login": subject, "password": "x"} if "password" in page.text else {})
            )
        return page


@asynccontextmanager
async def form_browser() -> AsyncIterator[FormBrowser]:
    """A browser that has been nowhere yet."""
    jar = aiohttp.CookieJar(unsafe=True)  # or addresses would get no cookies
    async with aiohttp.ClientSession(cookie_jar=jar) as session:
        yield FormBrowser(session)
