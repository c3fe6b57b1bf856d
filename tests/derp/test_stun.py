"""stun: the bytes of real requests and answers, and no answer to anything else."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from derp import stun

TRANSACTION = bytes(range(12))
REQUEST = bytes.fromhex("000100142112a442000102030405060708090a0b802200087461696c6e6f6465802800048aabad90")


def test_request() -> None:
    assert stun.binding_request(TRANSACTION) == REQUEST
    assert stun.parse_binding_request(REQUEST) == TRANSACTION


@pytest.mark.parametrize("address", ["192.0.2.7", "::ffff:192.0.2.7"])
def test_answer_over_ipv4(address: str) -> None:
    answer = stun.binding_response(TRANSACTION, address, 41641)
    assert answer.hex() == "0101000c2112a442000102030405060708090a0b00200008000183bbe112a645"
    assert stun.parse_binding_response(answer, TRANSACTION) == ("192.0.2.7", 41641)


@pytest.mark.parametrize("address", ["2001:db8::1", "2001:db8::1%eth0"])
def test_answer_over_ipv6(address: str) -> None:
    answer = stun.binding_response(TRANSACTION, address, 41641)
    # 20010db8 00000000 00000000 00000001 masked with cookie and transaction id
    masked = "0113a9fa" + "00010203" + "04050607" + "08090a0a"
    assert answer.hex() == "010100182112a442" + TRANSACTION.hex() + "00200014000283bb" + masked
    assert stun.parse_binding_response(answer, TRANSACTION) == ("2001:db8::1", 41641)


@pytest.mark.parametrize("position", range(stun.REQUEST_LENGTH))
def test_one_changed_byte_gets_no_answer(position: int) -> None:
    damaged = bytearray(REQUEST)
    damaged[position] ^= 0x01
    assert stun.parse_binding_request(bytes(damaged)) is None


@settings(max_examples=200)
@given(st.one_of(st.binary(max_size=80), st.binary(max_size=20).map(lambda tail: REQUEST[:20] + tail)))
def test_noise_gets_no_answer(datagram: bytes) -> None:
    assert stun.parse_binding_request(datagram) is None


@settings(max_examples=100)
@given(st.ip_addresses(), st.integers(0, 65_535), st.binary(min_size=12, max_size=12))
def test_answers_round_trip(address: object, port: int, transaction: bytes) -> None:
    answer = stun.binding_response(transaction, str(address), port)
    found = stun.parse_binding_response(answer, transaction)
    assert found is not None
    assert found[1] == port
    assert stun.binding_response(transaction, *found) == answer


@settings(max_examples=100)
@given(st.binary(max_size=50), st.integers(0, 43), st.integers(1, 255))
def test_answers_to_others_are_not_taken(noise: bytes, position: int, change: int) -> None:
    assert stun.parse_binding_response(noise, TRANSACTION) is None
    damaged = bytearray(stun.binding_response(TRANSACTION, "2001:db8::1", 1))
    damaged[position] ^= change
    found = stun.parse_binding_response(bytes(damaged), TRANSACTION)
    # Byte 24 is reserved; from 26 on it is the address itself, which nothing protects.
    assert found is None or position == 24 or position >= 26
