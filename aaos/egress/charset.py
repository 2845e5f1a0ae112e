"""From bytes to text: what kind of page it is, and in which character set. The labels are those of browsers.

Invariant: text comes out or an error, never bytes guessed to be text. Source: WHATWG Encoding (`webencodings`),
RFC 2045 (the header, by `email.message`).
"""

import re
from dataclasses import dataclass
from email.message import Message

import webencodings

from aaos.egress.wire import FetchError

_TEXTUAL = re.compile(
    r"text/.*|application/(?:.*\+)?(?:json|xml|yaml)|application/(?:x-)?(?:javascript|ecmascript|json-seq|ndjson|yaml|toml|sh|sql|"
    r"x-www-form-urlencoded)|image/svg\+xml|message/rfc822"
)
_HTML = frozenset({"text/html", "application/xhtml+xml"})
_TYPE = re.compile(r"[a-z0-9!#$&^_.+-]{1,80}/[a-z0-9!#$&^_.+-]{1,80}", re.ASCII)
_META = re.compile(rb"""<meta\s[^>]{0,200}charset\s*=\s*["']?\s*([a-zA-Z0-9._:-]{1,40})""", re.IGNORECASE)
_XML = re.compile(rb"""<\?xml\s[^>]{0,80}encoding=["']([a-zA-Z0-9._:-]{1,40})""")
SNIFFED_BYTES = 4_096
_HEADER_CHARS = 1_000
_LOOKS_LIKE_HTML = re.compile(
    rb"\s*(?:<!--.{0,2000}?-->\s*)?<(?:!doctype\s+html|html|head|body|title|h1|p|div|table)\b",
    re.IGNORECASE | re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Kind:
    """A page's media type and its declared character set, which may be empty."""

    media_type: str
    charset: str

    @property
    def is_html(self) -> bool:
        """Whether it is a page that can be made readable."""
        return self.media_type in _HTML

    @property
    def is_text(self) -> bool:
        """Whether it can be read as text at all."""
        return bool(_TEXTUAL.fullmatch(self.media_type))


def kind_of(content_type: str, body: bytes) -> Kind:
    """The kind as the server says, or as the body looks where it says nothing that can be understood."""
    header = Message()
    header["Content-Type"] = content_type[:_HEADER_CHARS].replace("\r", " ").replace("\n", " ")
    media_type = content_type.partition(";")[0].strip().lower()
    if not _TYPE.fullmatch(media_type):
        media_type = _sniffed(body)
    charset = header.get_param("charset")
    return Kind(media_type, charset.strip() if isinstance(charset, str) else "")


def decode(body: bytes, kind: Kind) -> str:
    """The text. A byte order mark wins over the header, that over the page's own words; then UTF-8, then windows-1252.

    Raises FetchError for what is no text.
    """
    if not kind.is_text:
        raise FetchError("content", f"the page is {kind.media_type}, not text")
    encoding = webencodings.lookup(kind.charset) or webencodings.lookup(_own_words(body, kind)) or _fitting(body)
    text: str = webencodings.decode(body, encoding, errors="replace")[0]
    if "\0" in text[:SNIFFED_BYTES]:
        raise FetchError("content", f"the page says that it is {kind.media_type}, and is not text")
    return text


def _own_words(body: bytes, kind: Kind) -> str:
    """The set that an HTML or XML page names in itself; never a wide one, which could not have been read so far."""
    head = body[:SNIFFED_BYTES]
    found = _META.search(head) if kind.is_html else None
    found = found or (_XML.match(head) if kind.is_html or kind.media_type.endswith("xml") else None)
    name = found[1].decode("ascii") if found else ""
    return "utf-8" if name.lower().startswith("utf-16") else name


def _fitting(body: bytes) -> webencodings.Encoding:
    try:
        body.decode("utf-8")
    except UnicodeDecodeError as error:
        if error.start < len(body) - 4:  # a character that was cut at the very end is UTF-8 still
            return webencodings.lookup("windows-1252")
    return webencodings.UTF8


def _sniffed(body: bytes) -> str:
    if _LOOKS_LIKE_HTML.match(body[:SNIFFED_BYTES]):
        return "text/html"
    return "application/octet-stream" if b"\0" in body[:SNIFFED_BYTES] else "text/plain"
