"""JSON text of values, as `json.JSONEncoder` writes it, for those who write it thousands of times a second.

`JSONEncoder.encode` makes a new encoder of the C module for every value, which takes longer than to encode a short one.
Here it is made once. Invariant: the same text as `json.JSONEncoder` gives with the same options and no spaces; where
the C module is not there, it is that class which writes it. Standard library only.
"""

import json
from collections.abc import Callable, Mapping
from json import encoder
from typing import Any, NoReturn

Encode = Callable[[object], str]
Default = Callable[[Any], object]  # Any: whatever JSON has no word for


def no_default(value: object) -> NoReturn:
    """Raises TypeError: JSON has no word for it."""
    raise TypeError(f"a {type(value).__name__} is no JSON")


def json_encoder(
    *,
    ensure_ascii: bool = True,
    sort_keys: bool = False,
    allow_nan: bool = False,
    default: Default = no_default,
) -> Encode:
    """A function from a value to its text; it raises what `JSONEncoder.encode` raises, RecursionError for a circle."""
    made = json.JSONEncoder(
        ensure_ascii=ensure_ascii, sort_keys=sort_keys, allow_nan=allow_nan, separators=(",", ":"), default=default
    )
    make = getattr(encoder, "c_make_encoder", None)
    if make is None:
        return made.encode
    quote = encoder.encode_basestring_ascii if ensure_ascii else vars(encoder)["encode_basestring"]
    encode = make(None, made.default, quote, None, ":", ",", sort_keys, False, allow_nan)
    return lambda value: "".join(encode(value, 0))


def may_be_ascii(document: Mapping[str, object]) -> bool:
    """Whether no text of it, or of an object in it, is other than ASCII; lists are not looked at. A text knows that of
    itself, where an encoder finds it out by writing it."""
    for value in document.values():
        if type(value) is str:
            if not value.isascii():
                return False
        elif type(value) is dict and not may_be_ascii(value):
            return False
    return True
