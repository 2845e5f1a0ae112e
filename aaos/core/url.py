"""The one reading of a web address: where to connect, what to ask for there, and what a capability calls it.

Invariant: what is checked is what is connected to, since both come from the same `Url`. Every address that other
programs read in different ways is refused with the form that has one meaning, never guessed at. It works on text alone:
which addresses a name stands for, and whether they may be reached, is found out later.
Source: RFC 3986, RFC 5890 to 5892 (names beyond ASCII), WHATWG URL (what browsers take a text for).
"""

import ipaddress
import re
import socket
import unicodedata
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from urllib.parse import quote as percent_encode
from urllib.parse import urljoin

import idna

from aaos.core.errors import InputError
from aaos.core.text import quoted

MAX_URL_CHARS = 8_192
MAX_HOST_CHARS = 253
PORTS = {"http": 80, "https": 443}

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):(/*)", re.ASCII)
_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", re.ASCII)
_PORT = re.compile(r"[1-9][0-9]{0,4}", re.ASCII)
_NUMBER = re.compile(r"[0-9]+|0[xX][0-9a-fA-F]*", re.ASCII)
_QUAD = re.compile(r"(0|[1-9][0-9]{0,2})(\.(0|[1-9][0-9]{0,2})){3}", re.ASCII)
_ESCAPE = re.compile(r"%([0-9A-Fa-f]{2})?")
_HIDDEN = re.compile(r"%(?:[01][0-9A-F]|7F)")  # an escaped control character
_SLASHES = re.compile(r"/{2,}|%2F|%5C")
_UNRESERVED = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_PATH_SAFE = "/%:@!$&'()*+,;=-._~"
_QUERY_SAFE = _PATH_SAFE + "?[]"


@dataclass(frozen=True, slots=True)
class Url:
    """An http or https address in its one normal form. `host` is lower-case ASCII, an IPv6 address in brackets; `path`
    begins with `/` and has no dot segments; `query` is what follows the `?`, None without one."""

    scheme: str
    host: str
    port: int
    path: str = "/"
    query: str | None = None

    @property
    def authority(self) -> str:
        """`HOST:PORT`, the port always there."""
        return f"{self.host}:{self.port}"

    @property
    def resource(self) -> str:
        """What a network capability calls it: `HOST:PORT/PATH` without query, empty names and a slash at the end."""
        names = [name for name in self.path.split("/") if name]
        return f"{self.authority}/{'/'.join(names)}"

    @property
    def everything(self) -> str:
        """The resource of everything on this host and port."""
        return f"{self.authority}/**"

    @property
    def target(self) -> str:
        """What the request line asks for: path and query."""
        return self.path if self.query is None else f"{self.path}?{self.query}"

    @property
    def origin(self) -> str:
        """The address without path and query, and without a port that the scheme implies."""
        return f"{self.scheme}://{self.host if self.port == PORTS[self.scheme] else self.authority}"

    @property
    def text(self) -> str:
        """The address as it is shown and fetched; `parse_url` gives the same `Url` for it."""
        return f"{self.origin}{self.target}"

    @property
    def address(self) -> IPv4Address | IPv6Address | None:
        """The host, when it is an address and not a name."""
        if self.host.startswith("["):
            return IPv6Address(self.host[1:-1])
        return IPv4Address(self.host) if _QUAD.fullmatch(self.host) else None


def parse_url(text: str) -> Url:
    """The address that `text` means; its fragment is dropped.

    Raises:
        InputError: no http or https address, or one that others could read differently; the remedy is what to write.
    """
    _refuse_odd_text(text)
    found = _SCHEME.match(text)
    if found is None or found[1].lower() not in PORTS:
        raise InputError(f"{quoted(text)} is not an http or https address", "write it like https://example.com/page")
    if found[2] != "//":
        raise InputError(
            f"{quoted(text)}: two slashes belong after the colon", "write it like https://example.com/page"
        )
    scheme = found[1].lower()
    rest = text[found.end() :].partition("#")[0]
    before_query, mark, query = rest.partition("?")
    authority, slash, path = before_query.partition("/")
    host, port = _split_authority(authority, whole=text)
    url = Url(
        scheme,
        _parse_host(host, whole=text),
        PORTS[scheme] if port is None else port,
        _parse_path(slash + path, whole=text),
        _encoded(query, safe=_QUERY_SAFE, whole=text) if mark else None,
    )
    _refuse_long(url.text)  # escaped, it can be nine times what was written
    return url


def resolve(base: Url, reference: str) -> Url:
    """The address that a link or a redirect's Location means on the page `base`. Raises as `parse_url`."""
    _refuse_odd_text(reference)
    try:
        return parse_url(urljoin(base.text, reference))
    except ValueError as error:
        raise InputError(
            f"{quoted(reference)} is not a reference to an address", "write the address in full"
        ) from error


def _refuse_odd_text(text: str) -> None:
    _refuse_long(text)
    for char in text:
        if char == "\\":
            raise InputError(f"{quoted(text)} has a backslash", "write / for a slash, or %5C for a backslash")
        if char <= " " or char == "\x7f" or (char > "\x7f" and unicodedata.category(char)[0] in "CZ"):
            raise InputError(f"{quoted(text)} has white space or a control character", "write %20 for a space")


def _refuse_long(text: str) -> None:
    if len(text) > MAX_URL_CHARS:
        raise InputError(f"an address of {len(text)} characters is too long", f"at most {MAX_URL_CHARS} are possible")


# --- where --------------------------------------------------------------------------------------------------------


def _split_authority(authority: str, *, whole: str) -> tuple[str, int | None]:
    if "@" in authority:
        raise InputError(f"{quoted(whole)} has a user name before '@'", "write the host alone; a login is never sent")
    if authority.startswith("["):
        host, bracket, after = authority.partition("]")
        host, port = host + bracket, after.removeprefix(":") if after else None
        if after and not after.startswith(":"):
            raise _no_host(authority, whole)
    else:
        host, colon, after = authority.partition(":")
        port = after if colon else None
    if port is not None and (not _PORT.fullmatch(port) or int(port) > 65_535):
        raise InputError(f"{quoted(whole)}: {quoted(port)} is not a port", "write a port from 1 to 65535, or none")
    return host, None if port is None else int(port)


def _parse_host(host: str, *, whole: str) -> str:
    if host.startswith("["):
        return _parse_ipv6(host, whole=whole)
    if "%" in host:
        raise InputError(f"{quoted(whole)}: the host {quoted(host)} has a '%'", "write the host without escapes")
    if host.endswith("."):
        raise InputError(f"{quoted(whole)}: the host ends with a dot", f"write it without: {host.rstrip('.')[:80]}")
    labels = [_parse_label(label, whole=whole) for label in host.split(".")]
    name = ".".join(labels)
    if _NUMBER.fullmatch(labels[-1]) and not _is_quad(name):
        raise InputError(f"{quoted(whole)}: {quoted(host)} is an odd form of an address", _quad_remedy(name))
    if len(name) > MAX_HOST_CHARS:
        raise InputError(f"{quoted(whole)}: a host of {len(name)} characters", f"at most {MAX_HOST_CHARS} are possible")
    return name


def _parse_label(label: str, *, whole: str) -> str:
    """One name between dots, in lower case; beyond ASCII in the form that the name service has (`xn--`)."""
    plain = label.lower() if label.isascii() else unicodedata.normalize("NFC", label.lower())
    if not plain.isascii() or plain.startswith("xn--"):
        try:
            plain = idna.alabel(plain).decode("ascii")
        except UnicodeError as error:
            message = f"{quoted(whole)}: {quoted(label)} cannot be part of a host's name"
            raise InputError(message, "copy the address from a browser's address line") from error
    if not _LABEL.fullmatch(plain):
        raise _no_host(label, whole)
    return plain


def _parse_ipv6(host: str, *, whole: str) -> str:
    try:
        address = IPv6Address(host[1:-1] if host.endswith("]") else "")
    except ValueError as error:
        raise _no_host(host, whole) from error
    if address.scope_id is not None:
        raise InputError(f"{quoted(whole)}: an address with a zone is of this machine only", "write it without %ZONE")
    if address.ipv4_mapped is not None:
        raise InputError(
            f"{quoted(whole)}: {quoted(host)} is an odd form of an address", f"write {address.ipv4_mapped}"
        )
    return f"[{address}]"


def _is_quad(name: str) -> bool:
    return bool(_QUAD.fullmatch(name)) and all(int(part) < 256 for part in name.split("."))


def _quad_remedy(name: str) -> str:
    """The normal form of what inet_aton(3), and so most programs, would take the name for."""
    try:
        return f"write {ipaddress.IPv4Address(socket.inet_aton(name))}"
    except OSError:
        return "write four numbers from 0 to 255 with dots between them"


def _no_host(host: str, whole: str) -> InputError:
    return InputError(f"{quoted(whole)}: {quoted(host)} is not a host", "write it like https://example.com/page")


# --- what ---------------------------------------------------------------------------------------------------------


def _parse_path(path: str, *, whole: str) -> str:
    encoded = _encoded(path or "/", safe=_PATH_SAFE, whole=whole)
    if encoded.startswith("//"):
        raise InputError(f"{quoted(whole)}: the path begins with two slashes", "write one")
    if _HIDDEN.search(encoded):
        raise InputError(f"{quoted(whole)}: the path has an escaped control character", "write the path without it")
    if any(name in (".", "..") for name in _SLASHES.sub("/", encoded).split("/")) and _SLASHES.search(encoded):
        raise InputError(f"{quoted(whole)}: '..' beside an escaped or doubled slash", "write the path without '..'")
    return _without_dots(encoded)


def _encoded(text: str, *, safe: str, whole: str) -> str:
    """Percent-encoded in one way: what needs no escape has none, the others are in capitals. Raises InputError."""
    try:
        return _ESCAPE.sub(lambda found: _one_escape(found, whole), percent_encode(text, safe=safe))
    except UnicodeEncodeError as error:
        raise InputError(f"{quoted(whole)} is not UTF-8", "write the address without the broken character") from error


def _one_escape(found: re.Match[str], whole: str) -> str:
    if found[1] is None:
        raise InputError(f"{quoted(whole)}: a '%' must begin %XX", "write %25 for '%'")
    char = chr(int(found[1], 16))
    return char if char in _UNRESERVED else found[0].upper()


def _without_dots(path: str) -> str:
    """RFC 3986, 5.2.4."""
    names: list[str] = []
    for name in path[1:].split("/"):
        if name == "..":
            del names[-1:]
        elif name != ".":
            names.append(name)
    is_open = path.endswith(("/.", "/.."))
    return "/" + "/".join([*names, *([""] if is_open and names else [])])
