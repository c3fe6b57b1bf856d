"""The inventory as CSV (RFC 4180) that a spreadsheet opens without running anything in it.

Host names and descriptions are what strangers wrote. A spreadsheet takes a cell that begins with one of
`=+-@` for a formula, quoted or not, and so the apostrophe that marks text is put before it. Programs that
want every character as it was stored read the JSON form.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping
from typing import Any

COLUMNS = (
    "kind", "id", "name", "key", "ownerKind", "owner", "reason", "access", "addresses", "state", "online",
    "since", "keySince", "keySinceExact", "keyAgeDays", "rotationAsked", "until", "lastSeen", "findings",
)  # fmt: skip
"""The fields of a row in JSON, in the order of the columns."""
_FORMULA = ("=", "+", "-", "@", "＝", "＋", "－", "＠")
"""The last four are the full-width forms, which some spreadsheets take for the same."""


def inventory_csv(rows: Iterable[Mapping[str, Any]]) -> str:
    """Rows as JSON has them to CSV text with a line of headings; lists are joined by `; `, null is empty."""
    text = io.StringIO()
    writer = csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    for row in rows:
        writer.writerow([_cell(row.get(column)) for column in COLUMNS])
    return text.getvalue()


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)
    text = "; ".join(value) if isinstance(value, list) else str(value)
    # A control character could hide the sign that follows it, and belongs into no cell.
    text = "".join(character if character.isprintable() else " " for character in text)
    return f"'{text}" if text.lstrip().startswith(_FORMULA) else text
