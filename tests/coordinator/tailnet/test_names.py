"""Given names."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coordinator.tailnet.errors import InvalidError
from coordinator.tailnet.names import label_from_hostname, unique_label, validate_given_name


@pytest.mark.parametrize(
    ("hostname", "label"),
    [
        ("Laptop.example.com", "laptop"),
        ("Alice's MacBook", "alice-s-macbook"),
        ("--", "node"),
        ("", "node"),
        ("日本", "node"),
        ("a" * 80, "a" * 63),
    ],
)
def test_labels_from_host_names(hostname: str, label: str) -> None:
    assert label_from_hostname(hostname) == label


def test_clashes_get_a_number() -> None:
    taken = {"web", "web-1"}
    assert unique_label("web", taken.__contains__) == "web-2"


def test_a_number_never_makes_a_label_too_long() -> None:
    long = "a" * 63
    assert unique_label(long, {long}.__contains__) == "a" * 61 + "-1"


@given(st.text(max_size=100))
def test_every_host_name_gives_a_valid_label(hostname: str) -> None:
    label = label_from_hostname(hostname)
    assert validate_given_name(label) == label


@pytest.mark.parametrize("name", ["", "-a", "a-", "a.b", "a b", "ä", "a" * 64])
def test_bad_names_are_refused(name: str) -> None:
    with pytest.raises(InvalidError):
        validate_given_name(name)
