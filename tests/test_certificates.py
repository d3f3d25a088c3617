"""Whose certificate signs an output, and what happens where none can."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa, x25519
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from provenance_fixtures import ROOT, run, swap

from fsvideo.media import certificate
from fsvideo.media.seal import Seal
from fsvideo.types import FsvideoError

PEM = serialization.Encoding.PEM


def authority(name: str = "An Issuer") -> tuple[ec.EllipticCurvePrivateKey, x509.Name]:
    return ec.generate_private_key(ec.SECP256R1()), x509.Name(
        [x509.NameAttribute(NameOID.ORGANIZATION_NAME, name), x509.NameAttribute(NameOID.COMMON_NAME, name)]
    )


def issue(folder: Path, key: Any, days: int = 30, purpose: bool = True, password: bytes | None = None) -> list[Path]:
    """A studio's certificate and key in files, with its issuer's."""
    root_key, root_name = authority()
    name = x509.Name(
        [x509.NameAttribute(NameOID.ORGANIZATION_NAME, "A Studio"), x509.NameAttribute(NameOID.COMMON_NAME, "Studio 7")]
    )
    now = datetime.now(UTC)
    begin, end = sorted((now + timedelta(days=days), now - timedelta(days=60)))

    def build(subject: x509.Name, public: Any, ca: bool) -> x509.Certificate:
        no = dict.fromkeys(
            ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "encipher_only"), False
        )
        usage = x509.KeyUsage(digital_signature=not ca, key_cert_sign=ca, crl_sign=ca, decipher_only=False, **no)
        plan = x509.CertificateBuilder(root_name, subject, public, x509.random_serial_number(), begin, end)
        plan = plan.add_extension(x509.BasicConstraints(ca, None), True).add_extension(usage, True)
        plan = plan.add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(root_key.public_key()), False)
        plan = plan.add_extension(x509.SubjectKeyIdentifier.from_public_key(public), False)
        if purpose and not ca:
            plan = plan.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), False)
        return plan.sign(root_key, hashes.SHA256())

    leaf, root = build(name, key.public_key(), False), build(root_name, root_key.public_key(), True)
    lock: Any = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    contents = {
        "studio.pem": leaf.public_bytes(PEM) + root.public_bytes(PEM),
        "studio.key": key.private_bytes(PEM, serialization.PrivateFormat.PKCS8, lock),
        "issuer.pem": root.public_bytes(PEM),
    }
    paths = [folder / name for name in contents]
    for path, content in zip(paths, contents.values(), strict=True):
        path.write_bytes(content)
    return paths


def test_an_output_is_signed_with_the_users_own_certificate(inputs: Path, tmp_path: Path) -> None:
    chain, key, issuer = issue(tmp_path, ec.generate_private_key(ec.SECP384R1()))
    output = tmp_path / "out.jpg"
    options = ("--input", inputs / "clip_jpg.jpg", "--output", output, "--model", "tiny")
    (tmp_path / "file").touch()
    swap(*options, "--certificate", chain, "--key", key, XDG_CONFIG_HOME=str(tmp_path / "file"))
    said = json.loads(run("verify", output, "--trust", issuer, "--json").stdout)
    assert said["manifest"]["trusted"] and said["manifest"]["steps"][0]["signer"] == "Studio 7"
    assert "go together" in swap(*options, "--certificate", chain, code=2).stderr


KEYS = {
    "P-521": ec.generate_private_key(ec.SECP521R1()),
    "Ed25519": ed25519.Ed25519PrivateKey.generate(),
    "RSA": rsa.generate_private_key(65537, 2048),
}


@pytest.mark.parametrize("key", KEYS.values(), ids=KEYS.keys())
def test_other_kinds_of_key_sign_too(inputs: Path, tmp_path: Path, key: Any) -> None:
    chain, private, issuer = issue(tmp_path, key)
    picture = shutil.copy(inputs / "clip_jpg.jpg", tmp_path / "out.jpg")
    Seal(certificate.load(chain, private), "1", "m", {}).apply(picture, picture, inputs / "clip_jpg.jpg")
    said = json.loads(run("verify", picture, "--trust", issuer, "--json").stdout)
    assert said["manifest"]["trusted"] and said["manifest"]["steps"][0]["signer"] == "Studio 7"


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        ("missing", "cannot be read"),
        ("no certificate", "no certificate"),
        ("no key", "no private key"),
        ("other key", "is not the key of"),
        ("password", "password"),
        ("expired", "was valid until"),
        ("future", "is valid from"),
        ("kind", "is not the key of"),
        ("purpose", "does not sign with this certificate"),
        ("authority", "does not sign with this certificate"),
    ],
)
def test_a_certificate_that_is_no_use_is_named_in_one_line(tmp_path: Path, spoil: str, says: str) -> None:
    own = ec.generate_private_key(ec.SECP256R1())
    settings: dict[str, Any] = {"password": {"password": b"x"}, "expired": {"days": -1}, "purpose": {"purpose": False}}
    chain, key, _ = issue(tmp_path, own, **settings.get(spoil, {}))
    plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    if spoil == "missing":
        chain.unlink()
    elif spoil == "no certificate":
        chain.write_text("rubbish")
    elif spoil == "no key":
        key.write_text("rubbish")
    elif spoil == "other key":
        key.write_bytes(ec.generate_private_key(ec.SECP256R1()).private_bytes(PEM, *plain))
    elif spoil == "kind":
        key.write_bytes(x25519.X25519PrivateKey.generate().private_bytes(PEM, *plain))
    elif spoil == "future":
        root_key, name = authority()
        begin = datetime.now(UTC) + timedelta(days=2)
        plan = x509.CertificateBuilder(name, name, own.public_key(), 7, begin, begin + timedelta(days=9))
        chain.write_bytes(plan.sign(root_key, hashes.SHA256()).public_bytes(PEM))
    elif spoil == "authority":
        begin = datetime.now(UTC) - timedelta(days=2)
        _, name = authority()
        plan = x509.CertificateBuilder(name, name, own.public_key(), 7, begin, begin + timedelta(days=9))
        plan = plan.add_extension(x509.BasicConstraints(True, None), True)
        chain.write_bytes(plan.sign(own, hashes.SHA256()).public_bytes(PEM))
    with pytest.raises(FsvideoError, match=says) as caught:
        Seal(certificate.load(chain, key), "1", "m", {}).try_out()
    assert "\n" not in str(caught.value) and str(tmp_path) in str(caught.value) and caught.value.hint


def test_the_certificate_made_on_first_use_is_private_and_made_once(tmp_path: Path) -> None:
    """Sixteen at once in a fresh folder."""
    code = "from fsvideo.media.certificate import kept_or_new; print(kept_or_new().chain)"
    environment = {**os.environ, "XDG_CONFIG_HOME": str(tmp_path)}
    command = [sys.executable, "-c", code]
    with ThreadPoolExecutor(4) as pool:
        runs = [pool.submit(subprocess.check_output, command, text=True, cwd=ROOT, env=environment) for _ in range(8)]
        assert len({one.result() for one in runs}) == 1
    folder = tmp_path / "fsvideo" / "signer"
    assert sorted(path.name for path in folder.iterdir()) == ["certificate.pem", "key.pem"]
    assert [path.name for path in folder.parent.iterdir()] == ["signer"]
    assert (folder / "key.pem").stat().st_mode & 0o777 == 0o600
    assert folder.stat().st_mode & 0o777 == folder.parent.stat().st_mode & 0o777 == 0o700
    text = (folder / "certificate.pem").read_text()
    names = [str(one.subject) + str(one.issuer) for one in x509.load_pem_x509_certificates(text.encode())]
    assert len(names) == 2 and not any(socket.gethostname() in name for name in names)


@pytest.mark.slow
def test_no_place_for_a_certificate_is_said_before_the_work(inputs: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "out").mkdir()
    options = ("--input", inputs / "clip_mp4.mp4", "--output", tmp_path / "out" / "x.mp4", "--model", "tiny")
    done = swap(*options, "--quiet", XDG_CONFIG_HOME=str(tmp_path / "file"), code=1)
    assert "no certificate can be kept there" in done.stderr and "--provenance metadata" in done.stderr
    assert list((tmp_path / "out").iterdir()) == []
    rows = json.loads(run("doctor", "--json", XDG_CONFIG_HOME=str(tmp_path / "new")).stdout)
    (row,) = [row for row in rows if row["name"] == "C2PA signing"]
    assert row["ok"] and "will be made in" in row["found"] and not (tmp_path / "new" / "fsvideo").exists()
