"""The one spelling of a path: absolute, normalised, UTF-8; and the names of files that control other programs.

Invariant: what `normalise` returns is `is_normal`, and normalising it again changes nothing. It works on text alone:
whether a path is a link is found out later, by opening it.
"""

import re
import unicodedata

from aaos.core.errors import InputError
from aaos.core.text import quoted

MAX_PATH_BYTES = 4_095  # PATH_MAX without its NUL, linux/limits.h
MAX_NAME_BYTES = 255  # NAME_MAX, linux/limits.h

# What git, other version controls, and editors or shells that enter a directory take orders from.
CONTROL_NAMES: frozenset[str] = frozenset(
    {".git", ".gitmodules", ".gitattributes", ".gitconfig", ".hg", ".hgrc", ".hgsub", ".svn", ".bzr", ".jj"}
)

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:/")
_INVISIBLE = re.compile("[\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff]")


def normalise(path: str, cwd: str) -> str:
    """`path` as the absolute path that it means when the working directory is `cwd` (itself absolute and normal).

    `/a//b/./c/` means `/a/b/c`; a relative path is below `cwd`; a space or a dot at the end of a name belongs to the
    name; percent signs are literal. Refused, never guessed at: the empty path, `..` (it means another place behind a
    link), `~`, a leading `$`, a URL, NUL, text that is not UTF-8, names over 255 and paths over 4,095 bytes.

    Raises:
        InputError: names the path and what to write in its place.
    """
    _refuse_unexpanded(path)
    names = [name for name in path.split("/") if name not in ("", ".")]
    if ".." in names:
        raise InputError(f"path {quoted(path)} contains '..'", "write the path without '..'")
    absolute = "/" + "/".join(names)
    if not path.startswith("/"):
        if not is_normal(cwd):
            raise InputError(f"working directory {quoted(cwd)} is not an absolute path", "write an absolute path")
        absolute = cwd.rstrip("/") + absolute if names else cwd
    _refuse_long(absolute)
    return absolute


def is_normal(path: str) -> bool:
    """Whether `path` is absolute without empty, `.` or `..` names, trailing slash and NUL."""
    if path[:1] != "/" or "\0" in path:
        return False
    if "/." not in path and "//" not in path:
        return path[-1] != "/" or path == "/"
    return not any(name in ("", ".", "..") for name in path[1:].split("/"))


def is_control_path(path: str) -> bool:
    """Whether a name in `path`, at any depth and in any case, is that of a control file such as `.git`."""
    return any(_plain(name) in CONTROL_NAMES for name in path.split("/") if "." in name or not name.isascii())


def _refuse_unexpanded(path: str) -> None:
    if not path:
        raise InputError("a path is empty", "write the path")
    if "\0" in path:
        raise InputError(f"path {quoted(path)} contains NUL", "write the path without it")
    if path[0] in "~$":
        remedy = f"write the path in full, or ./{path[0]}… for a name that begins so"
        raise InputError(f"path {quoted(path)}: {path[0]} is not expanded here", remedy)
    if _SCHEME.match(path):
        raise InputError(f"path {quoted(path)} is a URL", "write the path alone, beginning with /")


def _refuse_long(path: str) -> None:
    try:
        data = path.encode("utf-8")
    except UnicodeEncodeError as error:
        raise InputError(f"path {quoted(path)} is not UTF-8", "rename the file") from error
    if len(data) > MAX_PATH_BYTES:
        raise InputError(f"path {quoted(path)} has {len(data)} bytes", f"at most {MAX_PATH_BYTES} bytes are possible")
    for name in data.split(b"/"):
        if len(name) > MAX_NAME_BYTES:
            message = f"path {quoted(path)} has a name of {len(name)} bytes"
            raise InputError(message, f"at most {MAX_NAME_BYTES} are possible")


def _plain(name: str) -> str:
    return unicodedata.normalize("NFKC", _INVISIBLE.sub("", name)).casefold().rstrip(". ")
