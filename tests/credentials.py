"""Files with Content Credentials (C2PA), signed with certificates made on the spot that nobody else trusts."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from PIL import Image

TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/"
PERSON = "Jane Q. Doe"
"""Stands in the title, as author and in the certificate of every file signed here."""
MADE = {"action": "c2pa.created", "softwareAgent": "Paint 3", "digitalSourceType": f"{TYPE}trainedAlgorithmicMedia"}


class Signer(NamedTuple):
    """A key with its certificates, and the root to be trusted; all PEM."""

    chain: bytes
    key: bytes
    root: str


def signer(ocsp: str = "") -> Signer:
    """A new root and a certificate below it, for now and a year; `ocsp` is where its status could be asked."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import AuthorityInformationAccessOID, ExtendedKeyUsageOID, NameOID

    keys = [ec.generate_private_key(ec.SECP256R1()) for _ in range(2)]
    names = [
        x509.Name(
            [
                x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Rolecall Tests"),
                x509.NameAttribute(NameOID.COMMON_NAME, common),
            ]
        )
        for common in ("root", PERSON)
    ]
    now = datetime.now(UTC)

    def certificate(place: int) -> x509.CertificateBuilder:
        builder = x509.CertificateBuilder().subject_name(names[place]).issuer_name(names[0])
        builder = builder.public_key(keys[place].public_key()).serial_number(x509.random_serial_number())
        return builder.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=365))

    def usage(*, root: bool) -> x509.KeyUsage:
        return x509.KeyUsage(
            digital_signature=not root, content_commitment=False, key_encipherment=False, data_encipherment=False,
            key_agreement=False, key_cert_sign=root, crl_sign=root, encipher_only=False, decipher_only=False,
        )  # fmt: skip

    public = keys[0].public_key()
    root = certificate(0).add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    root = root.add_extension(usage(root=True), critical=True)
    root = root.add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
    leaf = certificate(1).add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    leaf = leaf.add_extension(usage(root=False), critical=True)
    leaf = leaf.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), critical=False)
    leaf = leaf.add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(public), critical=False)
    if ocsp:
        place = x509.AccessDescription(AuthorityInformationAccessOID.OCSP, x509.UniformResourceIdentifier(ocsp))
        leaf = leaf.add_extension(x509.AuthorityInformationAccess([place]), critical=False)
    pem = [each.sign(keys[0], hashes.SHA256()).public_bytes(serialization.Encoding.PEM) for each in (leaf, root)]
    key = keys[1].private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return Signer(b"".join(pem), key, pem[1].decode())


def drawn(kind: str = "png", colour: str = "red") -> bytes:
    """A small picture as a file."""
    file = io.BytesIO()
    Image.new("RGB", (32, 24), colour).save(file, kind.upper())
    return file.getvalue()


def signed(by: Signer, kind: str = "png", *, data: bytes | None = None, remote: str = "", **manifest: Any) -> bytes:
    """A small picture with a signed manifest. With `remote` the manifest lies at this address only, not in the file."""
    import c2pa

    author = {
        "@context": "https://schema.org",
        "@type": "CreativeWork",
        "author": [{"@type": "Person", "name": PERSON}],
    }
    given = {
        "claim_generator_info": [{"name": "Test Maker", "version": "1.2"}],
        "title": f"{PERSON}.{kind}",
        "assertions": [
            {"label": "c2pa.actions", "data": {"actions": [MADE]}},
            {"label": "stds.schema-org.CreativeWork", "data": author},
        ],
        **manifest,
    }
    info = c2pa.C2paSignerInfo(b"es256", by.chain, by.key, None)
    file = io.BytesIO()
    builder = c2pa.Builder(json.dumps(given), c2pa.Context())
    if remote:
        builder.set_no_embed()
        builder.set_remote_url(remote)
    with c2pa.Signer.from_info(info) as key:
        builder.sign(key, f"image/{kind}", io.BytesIO(data or drawn(kind)), file)
    return file.getvalue()
