"""A certificate authority of a test's own, and what it signs."""

from __future__ import annotations

import datetime
import ipaddress
import ssl
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

if TYPE_CHECKING:
    from pathlib import Path

_DAY = datetime.timedelta(days=1)
_SIGNS = x509.KeyUsage(
    key_cert_sign=True,
    crl_sign=True,
    digital_signature=False,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    encipher_only=False,
    decipher_only=False,
)


class OwnCa:
    """Nobody trusts it who was not given its ``root``."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _name("a CA of its own")
        as_authority = x509.BasicConstraints(ca=True, path_length=None)
        self.root = self._signed(self._name, self._key, (as_authority, True), (_SIGNS, True)).decode()

    def shown_by(self, file: Path, *names: x509.GeneralName) -> Path:
        """Writes there what a server of these names shows who it is by, with its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = self._signed(_name("a server"), key, (x509.SubjectAlternativeName(names), False))
        file.write_bytes(certificate + key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        return file

    def context(self, directory: Path) -> ssl.SSLContext:
        """Of a server at 127.0.0.1."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        here = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
        context.load_cert_chain(self.shown_by(directory / "server.pem", here))
        return context

    def _signed(
        self, whose: x509.Name, key: ec.EllipticCurvePrivateKey, *extensions: tuple[x509.ExtensionType, bool]
    ) -> bytes:
        now = datetime.datetime.now(datetime.timezone.utc)
        certificate = x509.CertificateBuilder(
            issuer_name=self._name,
            subject_name=whose,
            public_key=key.public_key(),
            serial_number=x509.random_serial_number(),
            not_valid_before=now - _DAY,
            not_valid_after=now + _DAY,
        )
        # From Python 3.13 on OpenSSL wants these two: https://docs.python.org/3/library/ssl.html#ssl.VERIFY_X509_STRICT
        authority = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        subject = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
        for extension, critical in ((authority, False), (subject, False), *extensions):
            certificate = certificate.add_extension(extension, critical=critical)
        return certificate.sign(self._key, hashes.SHA256()).public_bytes(Encoding.PEM)


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])
