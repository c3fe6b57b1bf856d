"""One name for each thing in the log."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from coordinator.telemetry.fields import FIELDS

PACKAGE = Path(__file__).resolve().parents[3] / "coordinator"
LEVELS = {"debug", "info", "warning", "error", "exception", "critical"}
# Understood by structlog itself.
OWN = {"exc_info", "stack_info"}


def logged() -> Iterator[tuple[str, str]]:
    """(place, name) of every field given to `log.<level>(…)` in the package."""
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
                continue
            on_log = isinstance(node.func.value, ast.Name) and node.func.value.id == "log"
            if node.func.attr in LEVELS and on_log:
                for keyword in node.keywords:
                    yield f"{path.relative_to(PACKAGE.parent)}:{node.lineno}", str(keyword.arg)


def test_names_have_one_form() -> None:
    assert [name for name in FIELDS if not re.fullmatch(r"[a-z]+(_[a-z]+)*", name)] == []
    assert list(FIELDS) == sorted(FIELDS)


def test_every_field_in_the_code_is_in_the_table() -> None:
    found = list(logged())
    assert len(found) > 30, "the search itself must work"
    unknown = [f"{place}: {name}" for place, name in found if name not in FIELDS and name not in OWN]
    assert unknown == [], "add the field to coordinator/telemetry/fields.py, or use a name that is there"
