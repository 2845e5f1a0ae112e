"""A file as tier T0 has read it: its lines, how much of it that is, and how that is told to people.

Invariant: what was not read is never passed over in silence: `caveat` is part of every document about the file.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from aaos.llm.rules_markdown import amount, size


@dataclass(frozen=True)
class FileText:
    """The text of a file from its first line on; no slots, since the sizes are counted once.

    `is_whole` is False when reading stopped at a bound; `clipped` counts lines that were too long to be read whole;
    `total_bytes` is the size of the whole file where it is known, else 0; `is_prose` is for text that is known to be
    written for people, whatever it looks like.
    """

    path: str
    lines: Sequence[str]
    is_whole: bool = True
    clipped: int = 0
    ends_with_newline: bool = True
    total_bytes: int = 0
    is_prose: bool = False

    @cached_property
    def size_bytes(self) -> int:
        """The bytes of what was read, in UTF-8 with its line feeds."""
        total = sum(len(line.encode("utf-8", "replace")) + 1 for line in self.lines)
        return total - (1 if self.lines and not self.ends_with_newline else 0)

    @cached_property
    def word_count(self) -> int:
        """What wc(1) counts: runs of characters between white space."""
        return sum(len(line.split()) for line in self.lines)

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.rstrip("/").rpartition("/")[2] or self.path

    @property
    def measure(self) -> str:
        """`674 lines, 34.3 KiB`; with `at least` when not all was read."""
        at_least = "" if self.is_whole and not self.clipped else "at least "
        return f"{at_least}{amount(len(self.lines), 'line')}, {size(self.size_bytes)}"

    @property
    def caveat(self) -> str:
        """What a reader has to know of the parts that were not read; begins with a space, or empty."""
        told = ""
        if not self.is_whole:
            whole = f" of {size(self.total_bytes)}" if self.total_bytes else ""
            told += f" **Only the first {amount(len(self.lines), 'line')} ({size(self.size_bytes)}{whole}) were read:"
            told += " the file is longer than tier T0 reads.**"
        if self.clipped:
            told += f" **{amount(self.clipped, 'line')} too long to be read whole: only the beginning counts.**"
        return told
