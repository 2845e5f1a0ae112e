"""Certificates for tests, made by the openssl program: an authority, and servers that it vouches for, or does not."""

import ssl
import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Authority:
    """An authority; `certificate` is the file to trust."""

    directory: Path

    @property
    def certificate(self) -> Path:
        return self.directory / "authority.pem"

    def server(self, host: str, *, days: int = 30, is_vouched: bool = True) -> ssl.SSLContext:
        """A server's side for a certificate of `host`, a DNS name or an address; `days` below 0 is one that is over."""
        name = f"server-{len(list(self.directory.iterdir()))}"
        key, request, made = (self.directory / f"{name}.{kind}" for kind in ("key", "csr", "pem"))
        kind = "IP" if host.replace(".", "").isdigit() else "DNS"
        subject = ("-subj", f"/CN={host}", "-addext", f"subjectAltName={kind}:{host}")
        _openssl("req", "-newkey", "rsa:2048", "-nodes", "-keyout", str(key), "-out", str(request), *subject)
        signer = ("-CA", str(self.certificate), "-CAkey", str(self.directory / "authority.key"))
        by = signer if is_vouched else ("-key", str(key))
        files = ("-in", str(request), "-out", str(made), "-copy_extensions", "copyall")
        _openssl("x509", "-req", *files, *by, *_lasting(days))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(made, key)
        return context


def authority(directory: Path) -> Authority:
    """A new authority in an empty directory."""
    made = Authority(directory)
    key = str(directory / "authority.key")
    subject = ("-subj", "/CN=Test Authority", "-addext", "basicConstraints=critical,CA:TRUE")
    _openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", str(made.certificate), *subject)
    return made


def _lasting(days: int) -> tuple[str, ...]:
    """Options for so many days; OpenSSL 3.5 takes no negative number, and 3.0 no dates."""
    said = subprocess.run(["openssl", "x509", "-help"], check=True, capture_output=True, text=True)
    if days >= 0 or "-not_after" not in said.stdout + said.stderr:
        return ("-days", str(days))
    return ("-not_before", "20200101000000Z", "-not_after", "20200201000000Z")


def _openssl(*words: str) -> None:
    subprocess.run(["openssl", *words], check=True, capture_output=True)
