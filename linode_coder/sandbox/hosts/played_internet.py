"""The few places of the internet that a docker host needs, played by the sandbox under their real names.

A host trusts the sandbox's own certificate authority and finds these names at an address of its own loopback; so roles
use real addresses with TLS, and nothing a host does depends on the world outside.
"""

from __future__ import annotations

import datetime
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path

from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from .registry import Registry

ADDRESS = "192.0.2.80"  # a documentation address, on the hosts' loopback
REGISTRIES = ("registry-1.docker.io", "ghcr.io")
NAMES = (*REGISTRIES, "developer.download.nvidia.com", "nvidia.github.io")
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
_YEARS = datetime.timedelta(days=3650)


def internet_app(repositories: Path, registry: Registry) -> web.Application:
    """Files of `repositories`/NAME/PATH for https://NAME/PATH, and the registry."""

    @web.middleware
    async def only_known_names(request: web.Request, handler: Handler) -> web.StreamResponse:
        name = request.host.partition(":")[0]
        if name not in NAMES or (name in REGISTRIES) != request.path.startswith("/v2/"):
            raise web.HTTPNotFound(text="Not found in the sandbox\n")
        return await handler(request)

    async def file(request: web.Request) -> web.StreamResponse:
        path = (repositories / request.host.partition(":")[0] / request.match_info["path"]).resolve()
        if repositories.resolve() not in path.parents or not path.is_file():
            raise web.HTTPNotFound(text="Not found in the sandbox\n")
        return web.FileResponse(path)

    app = web.Application(middlewares=[only_known_names])
    registry.routes(app)
    app.router.add_get("/{path:.*}", file)
    return app


def certificate(directory: Path) -> tuple[ssl.SSLContext, bytes]:
    """TLS for these names, and the authority that hosts have to trust (PEM); both stay the same in `directory`."""
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    authority, chain = directory / "authority.pem", directory / "chain.pem"
    if not (authority.exists() and chain.exists()):
        _make(authority, chain)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain)
    return context, authority.read_bytes()


def _make(authority: Path, chain: Path) -> None:
    now = datetime.datetime.now(datetime.UTC)
    issuer_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "linode-coder sandbox")])

    def builder(subject: x509.Name, public: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .issuer_name(issuer)
            .subject_name(subject)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + _YEARS)
        )

    def usage(*, signs_certificates: bool) -> x509.KeyUsage:
        others = dict.fromkeys(
            (
                "content_commitment",
                "key_encipherment",
                "data_encipherment",
                "key_agreement",
                "encipher_only",
                "decipher_only",
            ),
            False,
        )
        return x509.KeyUsage(
            digital_signature=not signs_certificates,
            key_cert_sign=signs_certificates,
            crl_sign=signs_certificates,
            **others,
        )

    root = (
        builder(issuer, issuer_key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage(signs_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(issuer_key.public_key()), critical=False)
        .sign(issuer_key, hashes.SHA256())
    )
    leaf = (
        builder(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, NAMES[0])]), key.public_key())
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name) for name in NAMES]), critical=False)
        .add_extension(usage(signs_certificates=False), critical=True)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(issuer_key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    authority.write_bytes(root.public_bytes(pem))
    chain.touch(mode=0o600)
    chain.write_bytes(private + leaf.public_bytes(pem))
