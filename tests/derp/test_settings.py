"""settings: a command line becomes values, or a list of everything that is wrong."""

from pathlib import Path

import pytest

from derp.settings import Endpoint, SettingsError, parse

BASE = ["--listen", ":3340", "--key-file", "relay.key"]
KEY = "nodekey:" + "ab" * 32


def test_least() -> None:
    settings = parse([*BASE, "--allow-all"])
    assert settings.listen == Endpoint(host="", port=3340)
    assert settings.stun == Endpoint(host="", port=3478)
    assert settings.allow_all
    assert settings.cert_path is settings.metrics is settings.verify_url is None


def test_all() -> None:
    settings = parse(
        [
            *("--listen", "[::1]:443", "--key-file", "relay.key", "--stun", "192.0.2.1:3478"),
            *("--tls-cert", "a.crt", "--tls-key", "a.key", "--self-signed", "--hostname", "relay.example"),
            *("--metrics", "127.0.0.1:9090", "--allow-key", KEY, "--bootstrap-name", "control.example"),
        ]
    )
    assert (settings.listen.host, settings.listen.port) == ("::1", 443)
    assert str(settings.listen) == "[::1]:443"
    assert str(settings.stun) == "192.0.2.1:3478"
    assert (settings.cert_path, settings.tls_key_path) == (Path("a.crt"), Path("a.key"))
    assert settings.hostnames == ("relay.example",)
    assert settings.allow_keys == {bytes.fromhex("ab" * 32)}
    assert settings.bootstrap_names == ("control.example",)


def test_a_self_signed_certificate_lives_beside_the_key() -> None:
    settings = parse([*BASE, "--allow-all", "--self-signed", "--stun", "off"])
    assert settings.cert_path == Path("relay.key.crt")
    assert settings.tls_key_path == Path("relay.key.crt.key")
    assert settings.hostnames == ("localhost",)
    assert settings.stun is None


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ([], "give one of"),
        (["--allow-all", "--allow-key", KEY], "give one of"),
        (["--allow-all", "--tls-cert", "x"], "belong together"),
        (["--verify-url", "file:///etc/passwd"], "--verify-url"),
        (["--allow-key", "nodekey:zz"], "--allow-key"),
        (["--allow-all", "--stun", "3478"], "--stun"),
        (["--allow-all", "--stun", ":65536"], "--stun"),
        (["--allow-all", "--stun", "::1:3478"], "--stun"),
        (["--allow-all", "--metrics", ":x"], "--metrics"),
    ],
)
def test_what_cannot_be_used(arguments: list[str], problem: str) -> None:
    with pytest.raises(SettingsError) as caught:
        parse([*BASE, *arguments])
    assert len(caught.value.problems) == 1
    assert problem in caught.value.problems[0]


def test_all_problems_at_once() -> None:
    with pytest.raises(SettingsError) as caught:
        parse(["--listen", "x", "--key-file", "k", "--stun", "y", "--tls-key", "z"])
    assert len(caught.value.problems) == 4
