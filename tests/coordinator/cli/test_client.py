"""Talking to the server."""

from __future__ import annotations

import socket
import threading
from pathlib import Path

import pytest

from coordinator.cli.client import call, find_user, segment
from coordinator.cli.output import CONTEXT, CommandError


def test_a_segment_cannot_leave_its_place() -> None:
    assert segment("../x?y#z") == "..%2Fx%3Fy%23z"


def test_a_wrong_configuration_is_shown_whole(tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text("log: {level: x}\nnonsense: 1\n")
    CONTEXT.config = str(config)
    try:
        with pytest.raises(CommandError) as caught:
            call("GET", "/")
    finally:
        CONTEXT.config = None
    assert "log.level" in str(caught.value)
    assert "nonsense" in str(caught.value)


USERS = [
    {"id": "1", "name": "alice", "email": ""},
    {"id": "2", "name": "1", "email": "b@c.d"},
]


def test_users_are_found_by_what_was_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("coordinator.cli.client.call", lambda method, path: {"users": USERS})
    assert find_user("1")["name"] == "alice"
    assert find_user("1", by=("name",))["id"] == "2"
    assert find_user("b@c.d")["id"] == "2"
    with pytest.raises(CommandError, match="does not exist"):
        find_user("alice", by=("id",))


def test_an_empty_user_is_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """As from an unset variable of a script; users without an e-mail have the empty one."""
    monkeypatch.setattr("coordinator.cli.client.call", lambda method, path: {"users": USERS})
    with pytest.raises(CommandError, match="is empty"):
        find_user("")


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"HTTP/1.1 500 X\r\nContent-Length: 2\r\n\r\n[]", "status 500"),
        (b"HTTP/1.1 502 X\r\nContent-Length: 5\r\n\r\n<htm>", "not JSON"),
        (b'HTTP/1.1 409 X\r\nContent-Length: 19\r\n\r\n{"message":"taken"}', "taken"),
        (b"nonsense\r\n\r\n", "the server on"),
        (b"", "the server on"),
    ],
)
def test_whatever_a_server_answers_is_an_error_with_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: bytes, words: str
) -> None:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(tmp_path / "s"))
    listener.listen()

    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(65536)
            connection.sendall(answer)

    thread = threading.Thread(target=serve)
    thread.start()
    monkeypatch.setattr("coordinator.cli.client._where", lambda: (tmp_path / "s", 5.0))
    with pytest.raises(CommandError, match=words):
        call("GET", "/")
    thread.join()
    listener.close()
