"""handshake: introductions that hold, and everything else refused."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from derp import handshake
from derp.box import Box
from derp.frames import MAGIC, RemoteProtocolError
from derp.handshake import ClientInfo, ServerInfo
from derp.keys import clamp, public_key_of

RELAY, CLIENT = clamp(bytes(range(32))), clamp(bytes(range(50, 82)))
NODE_KEY = public_key_of(CLIENT)
NONCE = bytes(range(24))
BOX = Box(private_key=CLIENT, public_key=public_key_of(RELAY))


def sealed(text: bytes) -> bytes:
    return NODE_KEY + NONCE + BOX.seal(text, NONCE)


def test_introduction() -> None:
    info = ClientInfo(version=2, can_ack_pings=True)
    payload = handshake.seal_client_info(info, node_key=NODE_KEY, box=BOX, nonce=NONCE)
    hello = handshake.open_client_info(payload, private_key=RELAY)
    assert (hello.node_key, hello.info) == (NODE_KEY, info)
    answer = handshake.seal_server_info(hello.box, NONCE)
    assert handshake.open_server_info(answer, BOX) == ServerInfo(version=2)


def test_the_json_of_stock_clients() -> None:
    text = b'{"version":2,"CanAckPings":true,"IsProber":true,"meshKey":"","AppName":"x","new":[{}]}'
    hello = handshake.open_client_info(sealed(text), private_key=RELAY)
    assert hello.info == ClientInfo(version=2, can_ack_pings=True, is_prober=True)


def test_the_json_we_write() -> None:
    answer = handshake.seal_server_info(BOX, NONCE)
    assert json.loads(BOX.open(answer[24:], answer[:24])) == {"version": 2}


def test_a_key_that_is_not_ones_own_proves_nothing() -> None:
    other = public_key_of(clamp(bytes(range(90, 122))))
    payload = other + sealed(b'{"version":2}')[32:]
    with pytest.raises(RemoteProtocolError, match="does not open"):
        handshake.open_client_info(payload, private_key=RELAY)


@pytest.mark.parametrize(
    "text",
    [b"", b"null", b"[]", b'{"version":"2"}', b'{"version":2', b'{"meshKey":"\xff"}', b'{"x":' + b"[" * 5000],
)
def test_other_json_is_refused(text: bytes) -> None:
    with pytest.raises(RemoteProtocolError, match="not the JSON expected"):
        handshake.open_client_info(sealed(text), private_key=RELAY)


@settings(max_examples=100)
@given(st.binary(max_size=200))
def test_any_sealed_text_is_an_introduction_or_refused(text: bytes) -> None:
    try:
        assert handshake.open_client_info(sealed(text), private_key=RELAY).node_key == NODE_KEY
    except RemoteProtocolError as error:
        assert "JSON" in str(error)


@settings(max_examples=100)
@given(st.binary(max_size=200))
def test_noise_is_refused(payload: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        handshake.open_client_info(payload, private_key=RELAY)


def test_server_key() -> None:
    key = bytes(range(32))
    assert handshake.parse_server_key(MAGIC + key) == key
    assert handshake.parse_server_key(MAGIC + key + b"for newer clients") == key
    for payload in (b"", MAGIC + key[:-1], b"DERP" + bytes(40)):
        with pytest.raises(RemoteProtocolError):
            handshake.parse_server_key(payload)


@settings(max_examples=50)
@given(st.binary(max_size=80))
def test_any_server_info_is_read_or_refused(payload: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        handshake.open_server_info(payload, BOX)
