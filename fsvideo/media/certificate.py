"""The certificate that manifests are signed with: the user's own, or one made on first use and kept.

A certificate made here says nothing about who made it: anyone can make one like it. What it signs cannot be altered
unnoticed, and readers call it untrusted.
"""

from __future__ import annotations

import os
import secrets
import shutil
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from fsvideo.disk import user_folder
from fsvideo.types import FsvideoError

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

_CERTIFICATE, _KEY = "certificate.pem", "key.pem"
_NAME = "fsvideo user (self-made certificate)"
_YEARS = 20  # nobody countersigns the time of signing, so a manifest can be checked only while its certificate is valid
_HINT = "give others with --certificate and --key, or do without a manifest with --provenance metadata"


@dataclass(frozen=True)
class Certificate:
    """``chain``: certificates as PEM, the signer's first. ``key``: its private key, PKCS 8 as PEM.

    ``algorithm``: C2PA's name of the signature (es256, ps256, ...). ``name``: whom the certificate names.
    """

    chain: str
    key: str = field(repr=False)
    algorithm: str
    name: str
    until: datetime
    path: Path


def folder() -> Path:
    """Where the certificate made on first use is kept; one put there by hand is used just so."""
    try:
        return user_folder("config") / "signer"
    except OSError as error:
        raise FsvideoError(f"{error} to keep a certificate in", _HINT) from error


def kept() -> Certificate | None:
    """The certificate in ``folder()``; None where none was made yet. Raises FsvideoError for one that is no use."""
    place = folder()
    if not (place / _CERTIFICATE).exists() and not (place / _KEY).exists():
        return None
    return load(place / _CERTIFICATE, place / _KEY)


def kept_or_new() -> Certificate:
    """The certificate in ``folder()``, made now where there is none. Raises FsvideoError if it cannot be kept."""
    found = kept()
    if found is not None:
        return found
    _make(folder())
    return load(folder() / _CERTIFICATE, folder() / _KEY)


def load(certificate: Path, key: Path) -> Certificate:
    """A certificate (with its chain, the signer's first) and its private key from PEM files.

    Raises FsvideoError where they cannot be read, do not belong together, or are out of date.
    """
    from cryptography import x509
    from cryptography.hazmat.primitives import serialization

    try:
        chain = x509.load_pem_x509_certificates(_read(certificate))
    except ValueError as error:
        raise FsvideoError(f"{certificate}: holds no certificate in PEM form", _HINT) from error
    try:
        private = serialization.load_pem_private_key(_read(key), None)
    except TypeError as error:  # what cryptography raises where a password is missing
        raise FsvideoError(f"{key}: is locked with a password", "give a key without one (openssl pkey)") from error
    except (ValueError, _unsupported()) as error:
        raise FsvideoError(f"{key}: holds no private key in PEM form", _HINT) from error
    first, now = chain[0], datetime.now(UTC)
    if first.public_key() != private.public_key():
        raise FsvideoError(f"{key}: is not the key of {certificate}", "give the key that the certificate was made for")
    if now >= first.not_valid_after_utc:
        raise FsvideoError(f"{certificate}: was valid until {first.not_valid_after_utc:%Y-%m-%d}", _HINT)
    if now < first.not_valid_before_utc:
        raise FsvideoError(f"{certificate}: is valid from {first.not_valid_before_utc:%Y-%m-%d} on", _HINT)
    pem = serialization.Encoding.PEM
    plain = private.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return Certificate(
        "".join(one.public_bytes(pem).decode() for one in chain),
        plain.decode(),
        _algorithm(private, key),
        _common_name(first),
        first.not_valid_after_utc,
        certificate,
    )


def trusted(path: Path) -> str:
    """The certificates in a PEM file. Raises FsvideoError where there are none."""
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding

    try:
        return "".join(one.public_bytes(Encoding.PEM).decode() for one in x509.load_pem_x509_certificates(_read(path)))
    except ValueError as error:
        raise FsvideoError(f"{path}: holds no certificate in PEM form", "give the issuer's certificate") from error


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise FsvideoError(f"{path}: cannot be read ({error.strerror})", _HINT) from error


def _unsupported() -> type[Exception]:
    from cryptography.exceptions import UnsupportedAlgorithm

    return UnsupportedAlgorithm


def _algorithm(key: PrivateKeyTypes, path: Path) -> str:
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

    if isinstance(key, ec.EllipticCurvePrivateKey):
        name = {"secp256r1": "es256", "secp384r1": "es384", "secp521r1": "es512"}.get(key.curve.name)
        if name:
            return name
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return "ed25519"
    if isinstance(key, rsa.RSAPrivateKey) and key.key_size >= 2048:
        return "ps256"
    raise FsvideoError(
        f"{path}: C2PA does not sign with this kind of key", "use P-256, P-384, P-521, Ed25519 or RSA of 2048 bits"
    )


def _common_name(certificate: x509.Certificate) -> str:
    from cryptography.x509.oid import NameOID

    for kind in (NameOID.COMMON_NAME, NameOID.ORGANIZATION_NAME):
        for attribute in certificate.subject.get_attributes_for_oid(kind):
            return str(attribute.value)
    return certificate.subject.rfc4514_string()


def _make(place: Path) -> None:
    """Write a new certificate and its key; both appear at once, and never over those of another run."""
    part = place.with_name(f".{place.name}.{secrets.token_hex(4)}")
    try:
        place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        part.mkdir(mode=0o700)
        chain, key = _issue()
        for name, content, mode in ((_KEY, key, 0o600), (_CERTIFICATE, chain, 0o644)):
            descriptor = os.open(part / name, os.O_CREAT | os.O_EXCL | os.O_WRONLY, mode)
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                os.fsync(file.fileno())
        try:
            os.rename(part, place)
        except OSError:
            if not (place / _KEY).exists():  # else another run was quicker, and its certificate serves as well
                raise
    except OSError as error:
        raise FsvideoError(f"{place}: no certificate can be kept there ({error.strerror})", _HINT) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _issue() -> tuple[bytes, bytes]:
    """A chain of two certificates (C2PA refuses one that signs itself) and the first one's key, as PEM.

    The second one's key is thrown away. No name of a person or a machine is in them.
    """
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    root_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    issuer, subject = (
        x509.Name(
            [
                x509.NameAttribute(NameOID.ORGANIZATION_NAME, _NAME),
                x509.NameAttribute(NameOID.COMMON_NAME, f"{_NAME}{tail}"),
            ]
        )
        for tail in (": issuer", "")
    )
    begin = datetime.now(UTC).replace(microsecond=0) - timedelta(days=1)  # clocks differ

    def build(name: x509.Name, public: ec.EllipticCurvePublicKey, authority: bool) -> x509.CertificateBuilder:
        usage = x509.KeyUsage(
            digital_signature=not authority,
            key_cert_sign=authority,
            crl_sign=authority,
            content_commitment=False,
            key_encipherment=False,
            data_encipherment=False,
            key_agreement=False,
            encipher_only=False,
            decipher_only=False,
        )
        return (
            x509.CertificateBuilder(issuer, name, public, x509.random_serial_number())
            .not_valid_before(begin)
            .not_valid_after(begin + timedelta(days=365 * _YEARS))
            .add_extension(x509.BasicConstraints(ca=authority, path_length=0 if authority else None), critical=True)
            .add_extension(usage, critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(root_key.public_key()), critical=False)
        )

    purpose = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION])  # one that C2PA's readers accept
    signer = build(subject, key.public_key(), False).add_extension(purpose, critical=False)
    root = build(issuer, root_key.public_key(), True)
    pem = serialization.Encoding.PEM
    chain = b"".join(plan.sign(root_key, hashes.SHA256()).public_bytes(pem) for plan in (signer, root))
    return chain, key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
