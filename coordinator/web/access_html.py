"""Pieces of the pages on access: tables, buttons, and the head every such page has."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta

from aiohttp import web

from coordinator.tailnet.errors import CoordinatorError
from coordinator.web.errors import STATUS
from coordinator.web.public import page

_HEADERS = {
    "Cache-Control": "no-store",
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "X-Robots-Tag": "noindex",
}
_CELL = "text-align:left;vertical-align:top;padding:.2rem 1rem .2rem 0"


def private_page(status: int, title: str, body: str) -> web.Response:
    """A page that nobody keeps, frames, or passes the address of on; `title` and `body` are HTML."""
    response = page(status, title, body)
    response.headers.update(_HEADERS)
    return response


def error_page(error: CoordinatorError, title: str = "That did not work", more: str = "") -> web.Response:
    """What went wrong, for a person; `more` is HTML below it."""
    status = STATUS.get(error.code, 500)
    return private_page(status, title, f"<p>{html.escape(error.message)}</p>{more}")


def facts_table(facts: Iterable[tuple[str, str]]) -> str:
    """Label and text, a row each; both are escaped here."""
    rows = "".join(
        f'<tr><th style="{_CELL}">{html.escape(name)}</th><td style="{_CELL}">{html.escape(value)}</td></tr>'
        for name, value in facts
    )
    return f"<table>{rows}</table>"


def rows_table(headers: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Cells are HTML: escaped texts, or buttons."""
    head = "".join(f'<th style="{_CELL}">{html.escape(each)}</th>' for each in headers)
    body = "".join(
        "<tr>" + "".join(f'<td style="{_CELL}">{cell}</td>' for cell in row) + "</tr>" for row in rows
    )
    return f"<table><tr>{head}</tr>{body}</table>"


def button(action: str, label: str, csrf: str = "", element_id: str = "") -> str:
    """A form of one button."""
    hidden = f'<input type="hidden" name="csrf" value="{html.escape(csrf)}">' if csrf else ""
    named = f' id="{html.escape(element_id)}"' if element_id else ""
    return (
        f'<form method="post" action="{html.escape(action)}" style="display:inline">{hidden}'
        f"<button{named}>{html.escape(label)}</button></form>"
    )


def moment_text(moment: datetime | None) -> str:
    """A time for people."""
    return "-" if moment is None else moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")


def duration_text(duration: timedelta) -> str:
    """Such as `1h 30m`."""
    minutes, seconds = divmod(int(duration.total_seconds()), 60)
    hours, minutes = divmod(minutes, 60)
    parts = [f"{amount}{unit}" for amount, unit in ((hours, "h"), (minutes, "m"), (seconds, "s")) if amount]
    return " ".join(parts) or "0s"
