"""A self-signed TLS certificate for a relay without a public name.

Clients pin it by the SHA-256 of the certificate itself, so it is made once and kept; the pin wants exactly
one certificate, no chain. Called by `standalone` and by whoever mounts a relay.
"""

import datetime
import hashlib
import ipaddress
import os
import secrets
from collections.abc import Sequence
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

__all__ = ["CertificateError", "ensure_self_signed"]

_VALIDITY = datetime.timedelta(days=3650)
"""Ten years: renewing changes the pin, and a client that is away then cannot be told beforehand."""
_CLOCK_SKEW = datetime.timedelta(days=2)
_COMMON_NAME = "derp relay"
"""Must not begin with `derpkey`: clients would take that for the promise of fast start."""


class CertificateError(Exception):
    """The files hold something that cannot be used, and replacing it is the operator's decision."""


def ensure_self_signed(cert_path: Path, key_path: Path, hosts: Sequence[str]) -> str:
    """Use the certificate that is there, or make one (ECDSA P-256, ten years, key file mode 0600).

    An existing certificate is kept even when `hosts` has changed, as clients hold its pin; it is replaced
    only when it is self-signed and no longer valid. A key without certificate is used for the new one.

    Args:
        hosts: names and IP addresses for the certificate, at least one.
    Returns:
        SHA-256 of the certificate's DER form in lower-case hex: the pin.
    Raises:
        CertificateError: unreadable files, a certificate without its key, or several certificates in the
        file. OSError: a file cannot be read or written.
    """
    now = datetime.datetime.now(datetime.UTC)
    if cert_path.exists():
        certificate = _load_certificate(cert_path)
        if not key_path.exists():
            raise CertificateError(f"{cert_path} is there, but its key {key_path} is not")
        key = _load_key(key_path)
        if certificate.public_key() != key.public_key():
            raise CertificateError(f"{key_path} is not the key of {cert_path}")
        if certificate.not_valid_before_utc <= now < certificate.not_valid_after_utc:
            return _pin(certificate)
        if certificate.issuer != certificate.subject:
            raise CertificateError(
                f"{cert_path} is not valid now, and not self-signed: renew it where it came from"
            )
    elif key_path.exists():
        key = _load_key(key_path)
    else:
        key = ec.generate_private_key(ec.SECP256R1())
        _write(key_path, _key_text(key), mode=0o600)
    certificate = _issue(key, hosts, now)
    _write(cert_path, certificate.public_bytes(serialization.Encoding.PEM), mode=0o644)
    return _pin(certificate)


def _issue(key: ec.EllipticCurvePrivateKey, hosts: Sequence[str], now: datetime.datetime) -> x509.Certificate:
    if not hosts:
        raise CertificateError("a certificate needs at least one host name or address")
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, _COMMON_NAME)])
    usage = x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _CLOCK_SKEW)
        .not_valid_after(now + _VALIDITY)
        .add_extension(
            x509.SubjectAlternativeName([_alternative_name(host) for host in hosts]), critical=False
        )
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(key, hashes.SHA256())
    )


def _alternative_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        try:
            return x509.DNSName(host)
        except ValueError:
            raise CertificateError(f"{host!r} is neither an address nor an ASCII host name") from None


def _load_certificate(path: Path) -> x509.Certificate:
    try:
        certificates = x509.load_pem_x509_certificates(path.read_bytes())
    except ValueError as error:
        raise CertificateError(f"{path} holds no certificate: {error}") from None
    if len(certificates) != 1:
        raise CertificateError(
            f"{path} holds {len(certificates)} certificates; a pinned relay shows exactly one"
        )
    return certificates[0]


def _load_key(path: Path) -> ec.EllipticCurvePrivateKey:
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    except (ValueError, TypeError) as error:
        raise CertificateError(f"{path} holds no usable private key: {error}") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise CertificateError(f"{path} does not hold an ECDSA key")
    return key


def _key_text(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _pin(certificate: x509.Certificate) -> str:
    return hashlib.sha256(certificate.public_bytes(serialization.Encoding.DER)).hexdigest()


def _write(path: Path, content: bytes, *, mode: int) -> None:
    """Write whole or not at all; the mode is right from the first byte on."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
            file.write(content)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
