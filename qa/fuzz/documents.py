"""YAML documents near right ones: a kept one, made shorter, changed as a tree, and written in one of YAML's styles.

Invariant: what is made is small, so that a parser's time goes into many documents and not into long ones; most of them
are YAML that a stranger could have written, and some are right. The same random generator gives the same documents.
"""

import json
import random
import re
from collections.abc import Collection, Mapping, Sequence
from itertools import accumulate

from aaos.core.yamlfile import load_yaml
from qa.fuzz.mutators import MAX_BYTES, Json, blurred, changed

_PLAIN = re.compile(r"[A-Za-z_/<][\w ./<>()-]*", re.ASCII)
_AS_IT_IS = 0.12  # of the documents: shorter, but not changed
_BLURRED = 0.15  # of the texts: then not even YAML, maybe
_TEXT_CHARS = 60
_TYPICAL_BYTES = 100
_LONG_BYTES = 300
_DEEP = b"[" * 8  # PyYAML takes the square of the depth
_ATTEMPTS = 4  # so that a long or deep one stays, now and then


class Documents:
    """Makes documents from `trees`; `needed` are keys of the first level that are kept, for the others to be read."""

    def __init__(self, trees: Sequence[Mapping[str, Json]], needed: Collection[str]) -> None:
        self._trees = [_cut(tree) for tree in trees]
        self._weights = list(accumulate(1 / (_TYPICAL_BYTES + len(json.dumps(tree))) for tree in self._trees))
        self._needed = frozenset(needed)
        self._parts: dict[str, list[Json]] = {}
        for tree in self._trees:
            self._gather(tree)

    def __call__(self, chance: random.Random) -> bytes:
        """One document."""
        for _ in range(_ATTEMPTS):
            text = written(self._document(chance), chance).encode("utf-8", "surrogatepass")
            if len(text) <= _LONG_BYTES and _DEEP not in text:
                break
        text = text[:MAX_BYTES]
        return blurred(text, chance) if chance.random() < _BLURRED else text

    def _document(self, chance: random.Random) -> Json:
        document: Json = self._shorter(chance.choices(self._trees, cum_weights=self._weights)[0], chance)
        if chance.random() >= _AS_IT_IS:
            for _ in range(chance.choice((1, 1, 1, 2, 3))):
                document = self._exchanged(document, chance) if chance.random() < 0.4 else changed(document, chance)
        return document

    def _gather(self, value: Json) -> None:
        if isinstance(value, dict):
            for key, below in value.items():
                self._parts.setdefault(key, []).append(below)
                self._gather(below)
        elif isinstance(value, list):
            for below in value:
                self._gather(below)

    def _shorter(self, tree: Mapping[str, Json], chance: random.Random) -> dict[str, Json]:
        kept = chance.random()
        return {key: value for key, value in tree.items() if key in self._needed or chance.random() < kept}

    def _exchanged(self, value: Json, chance: random.Random) -> Json:
        """A place that has what another document has at a key of this name, or at any."""
        if isinstance(value, list) and value:
            at = chance.randrange(len(value))
            return [*value[:at], self._exchanged(value[at], chance), *value[at + 1 :]]
        if not isinstance(value, dict) or not value:
            return chance.choice(self._parts[chance.choice(list(self._parts))])
        key = chance.choice(list(value))
        if chance.random() < 0.5:
            return {**value, key: self._exchanged(value[key], chance)}
        name = key if chance.random() < 0.7 else chance.choice(list(self._parts))
        return {**value, name: chance.choice(self._parts.get(name) or [None])}


def _cut(value: Json) -> Json:
    """The same with short texts: what a summary says, no parser minds."""
    if isinstance(value, dict):
        return {key: _cut(below) for key, below in value.items()}
    if isinstance(value, list):
        return [_cut(below) for below in value]
    return value[:_TEXT_CHARS] if isinstance(value, str) else value


def trees_of(seeds: Sequence[bytes]) -> list[dict[str, Json]]:
    """The seeds as trees. Raises SettingsError, ValueError: a seed is a right document."""
    trees = []
    for seed in seeds:
        tree = load_yaml(seed, "seed")
        if not isinstance(tree, dict):
            raise ValueError(f"no mapping: {seed!r}")
        trees.append(tree)
    return trees


def written(value: Json, chance: random.Random) -> str:
    """As JSON, which is YAML too, or in blocks."""
    if chance.random() < 0.4:
        return json.dumps(value, ensure_ascii=chance.random() < 0.5)
    return "\n".join(_block(value, "", chance)) + "\n"


def _block(value: Json, indent: str, chance: random.Random) -> list[str]:
    """The lines of a value that stands on lines of its own."""
    lines: list[str] = []
    if isinstance(value, dict) and value:
        for key, below in value.items():
            lines += _entry(f"{indent}{_scalar(key, chance)}:", below, indent, chance)
    elif isinstance(value, list) and value:
        for below in value:
            lines += _entry(f"{indent}-", below, indent, chance)
    else:
        lines.append(f"{indent}{_scalar(value, chance)}")
    return lines


def _entry(begin: str, below: Json, indent: str, chance: random.Random) -> list[str]:
    if isinstance(below, str) and below and chance.random() < 0.1:
        return [f"{begin} {chance.choice('|>')}", *(f"{indent}  {line}" for line in below.split("\n"))]
    if isinstance(below, dict | list) and below and len(indent) < 40:
        if chance.random() < 0.3:
            return [f"{begin} {json.dumps(below, ensure_ascii=False)}"]
        return [begin, *_block(below, f"{indent}  ", chance)]
    return [f"{begin} {_scalar(below, chance)}"]


def _scalar(value: Json, chance: random.Random) -> str:
    if not isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    match chance.randrange(10):
        case 0:
            return value
        case 1:
            return "'" + value.replace("'", "''") + "'"
        case _ if _PLAIN.fullmatch(value):
            return value
    return json.dumps(value, ensure_ascii=chance.random() < 0.5)
