"""The only way to the operator's terminal: lines, blocks of foreign text, one status line, or JSON documents.

Invariant: whatever a caller hands over, what is written holds no control, bidi or invisible character that was not put
there by this module, which itself uses line feeds and, for the status line of a terminal, carriage returns. It must not
know what it writes.
"""

import json
import os
import sys
from collections.abc import Iterable, Mapping
from typing import TextIO

from aaos.core.errors import AaosError
from aaos.core.rpc import Json
from aaos.core.text import escape_for_terminal

QUOTE = "| "
DEFAULT_COLUMNS = 80


class Output:
    """Answers go to `out`, errors and hints to `err`; with `is_json` the answers are one JSON document on each line."""

    def __init__(self, out: TextIO, err: TextIO, *, is_json: bool) -> None:
        self.is_json = is_json
        self._out = out
        self._err = err
        self._status = ""
        self._columns = _columns(out) if not is_json and out.isatty() else 0

    def line(self, text: str) -> None:
        """One line of ours; a line feed inside it is shown escaped."""
        self.clear_status()
        self._out.write(f"{escape_for_terminal(text)}\n")
        self._out.flush()

    def quote(self, text: str) -> None:
        """A block of somebody else's words: each line marked, so that it can't pass for one of ours."""
        self.clear_status()
        for line in text.rstrip("\n").split("\n"):
            shown = escape_for_terminal(line, keep_newlines=True).replace("\t", "    ")
            self._out.write(f"{QUOTE}{shown}".rstrip() + "\n")
        self._out.flush()

    def document(self, value: Json | Mapping[str, Json]) -> None:
        """One JSON document on one line; ASCII only, so a terminal shows it harmlessly too."""
        self._out.write(json.dumps(value, separators=(",", ":"), default=dict) + "\n")
        self._out.flush()

    def answers(self, documents: Iterable[Mapping[str, Json]], lines: Iterable[str]) -> None:
        """Documents, or the lines that show them."""
        if self.is_json:
            for document in documents:
                self.document(document)
        else:
            for line in lines:
                self.line(line)

    def hint(self, text: str) -> None:
        """A line for the person at the terminal, never mixed into the answers."""
        self.clear_status()
        self._err.write(f"{escape_for_terminal(text)}\n")
        self._err.flush()

    def error(self, error: AaosError) -> None:
        """What happened and what to type next; with `is_json` as a document among the answers."""
        if self.is_json:
            self.document({"error": {**error.to_wire(), "exit_code": int(error.exit_code)}})
            return
        self.hint(f"agentd: {error.message}")
        if error.remedy:
            self.hint(f"  try: {error.remedy}")

    def status(self, text: str) -> None:
        """What is going on, drawn over the last status line; nothing when the output is no terminal."""
        shown = escape_for_terminal(text)[: max(self._columns - 1, 0)]
        if shown != self._status:
            self._out.write(f"\r{shown.ljust(len(self._status))}")
            self._out.flush()
            self._status = shown

    def clear_status(self) -> None:
        """Give the line back to ordinary output."""
        if self._status:
            self._out.write(f"\r{' ' * len(self._status)}\r")
            self._status = ""


def standard_output(*, is_json: bool) -> Output:
    """On this process's own streams; a character that they can't encode is shown escaped."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    return Output(sys.stdout, sys.stderr, is_json=is_json)


def _columns(stream: TextIO) -> int:
    try:
        return os.get_terminal_size(stream.fileno()).columns or DEFAULT_COLUMNS
    except (OSError, ValueError):
        return DEFAULT_COLUMNS
