"""CSV that a spreadsheet may open."""

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coordinator.tailnet.inventory_csv import COLUMNS, inventory_csv


def read(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline="")))


def test_a_row() -> None:
    text = inventory_csv(
        [{"id": "7", "name": 'a "b", c', "addresses": ["100.64.0.1", "fd7a::1"], "online": True,
          "until": None, "keyAgeDays": 2.5, "keySinceExact": False}]
    )  # fmt: skip
    assert text.startswith('"kind","id","name"')
    assert text.endswith("\r\n")
    (row,) = read(text)
    assert tuple(row) == COLUMNS
    assert (row["name"], row["addresses"]) == ('a "b", c', "100.64.0.1; fd7a::1")
    assert (row["online"], row["until"], row["keyAgeDays"], row["keySinceExact"]) == (
        "true",
        "",
        "2.5",
        "false",
    )


@pytest.mark.parametrize(
    "text",
    [
        "=1+1",
        "+1",
        "-1",
        "@SUM(A1)",
        "\t=1",
        "\r=1",
        "  =1",
        "\n@x",
        "\0=1",
        "\u200b=1",
        "＝1",
        "=cmd|' /C calc'!A0",
    ],
)
def test_formulas_are_text(text: str) -> None:
    (row,) = read(inventory_csv([{"name": text}]))
    assert row["name"].startswith("'")


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_no_text_becomes_a_formula_or_another_cell(text: str) -> None:
    (row,) = read(inventory_csv([{"name": text, "owner": "ada"}]))
    assert row["owner"] == "ada"
    assert not row["name"].lstrip().startswith(("=", "+", "-", "@"))
    assert all(character.isprintable() for character in row["name"])
