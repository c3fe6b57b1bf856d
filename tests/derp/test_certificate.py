"""certificate: made once, kept, pinned; files that cannot be used are refused."""

import datetime
import hashlib
import ipaddress
import ssl
import stat
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from derp import certificate
from derp.certificate import CertificateError, ensure_self_signed

HOSTS = ("relay.example", "192.0.2.1", "2001:db8::1")


@pytest.fixture
def paths(tmp_path: Path) -> tuple[Path, Path]:
    return tmp_path / "tls" / "relay.crt", tmp_path / "tls" / "relay.key"


def test_made_once_and_kept(paths: tuple[Path, Path]) -> None:
    pin = ensure_self_signed(*paths, HOSTS)
    assert ensure_self_signed(*paths, ("other.example",)) == pin
    der = ssl.PEM_cert_to_DER_cert(paths[0].read_text())
    assert hashlib.sha256(der).hexdigest() == pin
    assert stat.S_IMODE(paths[1].stat().st_mode) == 0o600
    assert len(list(paths[0].parent.iterdir())) == 2


def test_what_is_in_it(paths: tuple[Path, Path]) -> None:
    ensure_self_signed(*paths, HOSTS)
    (made,) = x509.load_pem_x509_certificates(paths[0].read_bytes())
    names = made.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["relay.example"]
    assert names.get_values_for_type(x509.IPAddress) == [ipaddress.ip_address(host) for host in HOSTS[1:]]
    now = datetime.datetime.now(datetime.UTC)
    assert made.not_valid_before_utc < now - datetime.timedelta(days=1)
    assert made.not_valid_after_utc > now + datetime.timedelta(days=3000)
    # Clients take such a name for the promise of fast start.
    assert "derpkey" not in made.subject.rfc4514_string()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*paths)


def test_a_lost_certificate_is_made_again_with_its_key(paths: tuple[Path, Path]) -> None:
    pin = ensure_self_signed(*paths, HOSTS)
    key = paths[1].read_bytes()
    paths[0].unlink()
    assert ensure_self_signed(*paths, HOSTS) != pin
    assert paths[1].read_bytes() == key


def test_an_expired_certificate_is_made_again(
    paths: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(certificate, "_VALIDITY", datetime.timedelta(seconds=-1))
    pin = ensure_self_signed(*paths, HOSTS)
    monkeypatch.undo()
    renewed = ensure_self_signed(*paths, HOSTS)
    assert renewed != pin
    assert ensure_self_signed(*paths, HOSTS) == renewed


def test_a_certificate_without_its_key_is_refused(paths: tuple[Path, Path]) -> None:
    ensure_self_signed(*paths, HOSTS)
    paths[1].unlink()
    with pytest.raises(CertificateError, match="is not"):
        ensure_self_signed(*paths, HOSTS)


def test_the_key_of_another_is_refused(paths: tuple[Path, Path], tmp_path: Path) -> None:
    ensure_self_signed(*paths, HOSTS)
    ensure_self_signed(tmp_path / "a.crt", tmp_path / "a.key", HOSTS)
    with pytest.raises(CertificateError, match="not the key of"):
        ensure_self_signed(paths[0], tmp_path / "a.key", HOSTS)


def test_a_chain_is_refused(paths: tuple[Path, Path]) -> None:
    ensure_self_signed(*paths, HOSTS)
    paths[0].write_bytes(paths[0].read_bytes() * 2)
    with pytest.raises(CertificateError, match="2 certificates"):
        ensure_self_signed(*paths, HOSTS)


@pytest.mark.parametrize("broken", [0, 1])
def test_unreadable_files_are_refused_and_kept(paths: tuple[Path, Path], broken: int) -> None:
    ensure_self_signed(*paths, HOSTS)
    paths[broken].write_text("not PEM")
    with pytest.raises(CertificateError):
        ensure_self_signed(*paths, HOSTS)
    assert paths[broken].read_text() == "not PEM"


def test_keys_of_another_kind_are_refused(paths: tuple[Path, Path]) -> None:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    paths[1].parent.mkdir()
    paths[1].write_bytes(
        Ed25519PrivateKey.generate().private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    with pytest.raises(CertificateError, match="ECDSA"):
        ensure_self_signed(*paths, HOSTS)


@pytest.mark.parametrize("hosts", [(), ("bücher.example",)])
def test_hosts_that_cannot_be_in_it(paths: tuple[Path, Path], hosts: tuple[str, ...]) -> None:
    with pytest.raises(CertificateError):
        ensure_self_signed(*paths, hosts)
