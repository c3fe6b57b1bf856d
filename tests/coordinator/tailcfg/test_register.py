"""RegisterRequest and RegisterResponse."""

from __future__ import annotations

import json

from coordinator.tailcfg.codec import decode, encode
from coordinator.tailcfg.register import RegisterRequest, RegisterResponse


def test_a_request_as_clients_send_it() -> None:
    text = b"""{"Version":142,"NodeKey":"nodekey:00","OldNodeKey":"nodekey:00","NLKey":"nlpub:00",
      "Auth":{"Oauth2Token":null,"AuthKey":"hskey-auth-x"},"Expiry":"0001-01-01T00:00:00Z","Followup":"",
      "Hostinfo":{"Hostname":"a"},"Ephemeral":true,"NodeKeySignature":null,"Tailnet":"x"}"""
    request = decode(text, RegisterRequest)
    assert request.auth is not None
    assert request.auth.auth_key == "hskey-auth-x"
    assert request.ephemeral
    assert request.hostinfo == {"Hostname": "a"}


def test_a_success_has_no_error_member() -> None:
    response = RegisterResponse(user={"ID": 1}, login={"ID": 1, "LoginName": "a"}, machine_authorized=True)
    document = json.loads(encode(response))
    assert "Error" not in document
    assert document["AuthURL"] == ""
    assert document["Login"]["LoginName"] == "a"
