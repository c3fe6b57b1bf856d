"""Signatures, and the gate that lets each answer through once."""

from __future__ import annotations

import hashlib
import hmac
from datetime import timedelta

import pytest

from coordinator.tailnet.errors import UnauthenticatedError
from coordinator.webhooks import signatures
from coordinator.webhooks.signatures import AnswerGate, coordinator_signature, slack_signature
from tests.support.builders import NOW

STAMP = str(int(NOW.timestamp()))


def test_the_signatures_computed_by_hand() -> None:
    by_hand = hmac.new(b"s3cret", b"123.{}", hashlib.sha256).hexdigest()
    assert coordinator_signature("s3cret", "123", b"{}") == f"sha256={by_hand}"
    by_hand = hmac.new(b"s3cret", b"v0:123:payload=x", hashlib.sha256).hexdigest()
    assert slack_signature("s3cret", "123", b"payload=x") == f"v0={by_hand}"


def test_once_and_fresh() -> None:
    gate = AnswerGate()
    gate.require(given="a", expected="a", timestamp=STAMP, now=NOW)
    with pytest.raises(UnauthenticatedError, match="come before"):
        gate.require(given="a", expected="a", timestamp=STAMP, now=NOW + timedelta(minutes=4))
    with pytest.raises(UnauthenticatedError, match="does not fit"):
        gate.require(given="b", expected="c", timestamp=STAMP, now=NOW)
    with pytest.raises(UnauthenticatedError, match="does not fit"):
        gate.require(given="ü\udcff", expected="c", timestamp=STAMP, now=NOW)
    assert slack_signature("s", "\udcff", b"") != coordinator_signature("s", "\udcff", b"")


@pytest.mark.parametrize("seconds", [-301, 301])
def test_stale_and_future(seconds: int) -> None:
    with pytest.raises(UnauthenticatedError, match="clocks"):
        AnswerGate().require(given="a", expected="a", timestamp=STAMP, now=NOW + timedelta(seconds=seconds))


@pytest.mark.parametrize("stamp", ["", "x", "-5", "9" * 20, "١٢٣"])
def test_no_timestamp(stamp: str) -> None:
    with pytest.raises(UnauthenticatedError, match="clocks"):
        AnswerGate().require(given="a", expected="a", timestamp=stamp, now=NOW)


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signatures, "MOST_SEEN", 3)
    gate = AnswerGate()
    for text in "abcde":
        gate.require(given=text, expected=text, timestamp=STAMP, now=NOW)
    assert len(gate._seen) == 3
    later = NOW + timedelta(hours=1)
    gate.require(given="z", expected="z", timestamp=str(int(later.timestamp())), now=later)
    assert list(gate._seen) == ["z"]
