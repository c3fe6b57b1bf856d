"""Go-flavoured JSON."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coordinator.tailcfg.codec import decode, encode, go_time, parse_go_time
from coordinator.tailcfg.errors import WireError
from coordinator.tailcfg.map_request import MapRequest
from coordinator.tailcfg.register import RegisterRequest


def test_times_are_written_in_utc() -> None:
    moment = datetime(2026, 1, 2, 5, 4, 5, tzinfo=timezone(timedelta(hours=2)))
    assert go_time(moment) == "2026-01-02T03:04:05Z"


def test_the_zero_time_is_no_wish() -> None:
    assert parse_go_time("0001-01-01T00:00:00Z") is None


def test_the_logout_time_is_read() -> None:
    assert parse_go_time("1970-01-01T00:02:03Z") == datetime(1970, 1, 1, 0, 2, 3, tzinfo=UTC)


@given(st.text(max_size=40))
def test_times_parse_or_are_refused(text: str) -> None:
    try:
        parse_go_time(text)
    except WireError:
        return


@pytest.mark.parametrize("kind", [RegisterRequest, MapRequest])
@given(data=st.binary(max_size=200))
def test_documents_decode_or_are_refused(kind: type, data: bytes) -> None:
    try:
        decode(data, kind)
    except WireError:
        return


def test_unknown_fields_of_newer_clients_are_ignored() -> None:
    assert decode(b'{"Version":150,"Wormhole":{"a":[1]}}', MapRequest).version == 150


def test_errors_name_the_place_and_not_the_value() -> None:
    with pytest.raises(WireError, match=r"\$\.Stream") as caught:
        decode(b'{"Stream":"secret"}', MapRequest)
    assert "secret" not in str(caught.value)


def test_deep_nesting_is_refused() -> None:
    with pytest.raises(WireError):
        decode(b'{"Hostinfo":' + b'{"a":' * 100_000 + b"1" + b"}" * 100_001, MapRequest)


def test_absent_null_and_empty_differ() -> None:
    assert encode({"a": None, "b": []}) == b'{"a":null,"b":[]}'
