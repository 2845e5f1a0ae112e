"""Models behind HTTP: one provider for each tier that the settings name, with its key, its connections, its attempts.

Invariant: nothing is chosen that the settings do not name; what a provider says reaches nobody with a key in it; an
attempt is repeated only while the model has not begun to answer, and never past the deadline of all of them.
"""

import asyncio
import random
import ssl
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import assert_never

import httpx

from aaos.core.config import ModelSettings
from aaos.core.errors import AaosError, ProviderError
from aaos.core.role import Tier
from aaos.core.smallfile import NO_DRAFTS, Drafts
from aaos.llm.anthropic import Messages
from aaos.llm.backoff import MAX_ATTEMPTS, wait_s
from aaos.llm.faults import Asked, NoModelError, TransientError, with_known
from aaos.llm.http import Exchange, Question, transport, trusted
from aaos.llm.joined import JoinedBytes
from aaos.llm.keys import Key, Keys
from aaos.llm.openai import ChatCompletions
from aaos.llm.quirks import WireName
from aaos.llm.redact import RedactedStream, Redactor
from aaos.llm.table import ModelEntry, load_table
from aaos.llm.types import AskedCall, ModelAnswer, ModelRequest, ModelTerms, OnText
from aaos.llm.wire import Wire, WireModel

OnWait = Callable[[ModelRequest, "Waiting"], None]


@dataclass(frozen=True, slots=True)
class Waiting:
    """A provider refused that may yet answer: why, and for how long its turn waits before attempt `attempt`."""

    provider: str
    reason: str
    wait_s: float
    attempt: int


def _nobody_hears(request: ModelRequest, waiting: Waiting) -> None:
    """For providers whose waits are of no interest."""


@dataclass(frozen=True, slots=True)
class Chances:
    """What a test replaces: how to wait, and the spread of waits."""

    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    spread: Callable[[], float] = random.random


class HttpProvider:
    """Implements `types.Provider` for one model."""

    def __init__(
        self,
        entry: ModelEntry,
        keys: Keys,
        *,
        connections: httpx.AsyncBaseTransport,
        on_wait: OnWait = _nobody_hears,
        chances: Chances = Chances(),
    ) -> None:
        self._entry = entry
        self._keys = keys
        self._connections = connections
        self._on_wait = on_wait
        self._chances = chances
        self._wire = _wire(entry)
        self._url = httpx.URL(entry.provider.url + self._wire.path)
        self._joined = JoinedBytes(self._wire)
        self._redactor: Redactor | None = None  # of the key that is used
        key = entry.provider.key or ""
        self._asked = Asked(entry.provider.name, entry.provider.url, entry.model, key)

    @property
    def name(self) -> str:
        """The operator's name for the model."""
        return self._entry.name

    @property
    def tier(self) -> Tier:
        """Which tier it answers for."""
        return self._entry.tier

    @property
    def terms(self) -> ModelTerms:
        """What it takes and costs."""
        return self._entry.terms

    async def complete(self, request: ModelRequest, *, on_text: OnText | None = None) -> ModelAnswer:
        """As Provider. Raises ProviderError; LimitError when the conversation or the answer is too large."""
        key = self._keys.get(self._asked.key) if self._asked.key else None
        redactor = self._redactor = self._redactor or Redactor(() if key is None else (key.reveal(),))
        heard = None if on_text is None else _Heard(on_text, redactor.stream())
        try:
            answer = await self._attempts(request, key, redactor=redactor, on_text=heard)
        except NoModelError as error:
            raise _redacted(await self._with_known(error, key, redactor), redactor) from None
        except AaosError as error:
            raise _redacted(error, redactor) from None  # what caused it may hold the key
        if heard is not None:
            heard.end()
        return _clean(answer, redactor)

    async def close(self) -> None:
        """Ends all connections."""
        await self._connections.aclose()

    async def _attempts(
        self, request: ModelRequest, key: Key | None, *, redactor: Redactor, on_text: OnText | None
    ) -> ModelAnswer:
        total_s = self._entry.provider.deadlines.total_s
        until_s = asyncio.get_running_loop().time() + total_s
        question = Question(self._url, self._headers(key), self._joined.body(self._bounded(request)))
        for attempt in range(1, MAX_ATTEMPTS + 1):
            exchange = Exchange(self._asked, self._entry.provider.deadlines, redact=redactor.error)
            try:
                async with asyncio.timeout_at(until_s):
                    return await exchange.run(self._connections, question, reader=self._wire.reader(), on_text=on_text)
            except TransientError as error:
                error.message = redactor.error(error.message)
                await self._wait(request, error, attempt=attempt, until_s=until_s)
            except TimeoutError as error:
                message = f"{self._asked.provider} was not done in {total_s:g} s"
                raise ProviderError(message, "raise total_s of the provider in models.yaml") from error
        raise AssertionError("the last attempt raises")

    def _bounded(self, request: ModelRequest) -> ModelRequest:
        """The answer is bounded by what the model gives, and by what the run's account holds for it."""
        limits = [limit for limit in (request.max_output_tokens, self.terms.max_output_tokens) if limit]
        return replace(request, max_output_tokens=min(limits, default=0))

    async def _with_known(self, error: NoModelError, key: Key | None, redactor: Redactor) -> NoModelError:
        exchange = Exchange(self._asked, self._entry.provider.deadlines, redact=redactor.error)
        question = Question(httpx.URL(f"{self._asked.url}/models"), self._headers(key), b"")
        return with_known(error, self._asked, await exchange.models(self._connections, question))

    def _headers(self, key: Key | None) -> list[tuple[bytes, bytes]]:
        return self._wire.headers(None if key is None else key.reveal())

    async def _wait(self, request: ModelRequest, error: TransientError, *, attempt: int, until_s: float) -> None:
        """Before the next attempt. Raises ProviderError when there is none."""
        if error.is_stale and attempt == 1:
            return
        seconds = wait_s(attempt, error.after_s, chance=self._chances.spread())
        if attempt >= error.attempts:
            raise ProviderError(f"{error.message}; {attempt} attempts were made", error.remedy) from error
        if asyncio.get_running_loop().time() + seconds >= until_s:
            raise ProviderError(f"{error.message}; the time for another attempt is over", error.remedy) from error
        self._on_wait(request, Waiting(self._asked.provider, error.message, round(seconds, 3), attempt + 1))
        await self._chances.sleep(seconds)


class _Heard:
    """What the operator hears, without keys."""

    def __init__(self, on_text: OnText, stream: RedactedStream) -> None:
        self._on_text = on_text
        self._stream = stream

    def __call__(self, piece: str) -> None:
        if shown := self._stream.feed(piece):
            self._on_text(shown)

    def end(self) -> None:
        """The answer is over."""
        if rest := self._stream.end():
            self._on_text(rest)


def chosen(settings: ModelSettings, *, drafts: Drafts = NO_DRAFTS) -> tuple[ModelEntry, ...]:
    """The models that the settings name, by tier. Reads the table only when they name any. Raises SettingsError."""
    names: Mapping[Tier, str | None] = {Tier.T1: settings.T1, Tier.T2: settings.T2, Tier.T3: settings.T3}
    if not any(names.values()):
        return ()
    table = load_table(settings.table, drafts=drafts)
    return tuple(table.choose(name, tier) for tier, name in names.items() if name is not None)


def providers_from(
    entries: tuple[ModelEntry, ...], keys: Keys, *, on_wait: OnWait = _nobody_hears
) -> tuple[HttpProvider, ...]:
    """A provider for each of the chosen models."""
    is_encrypted = any(entry.provider.url.startswith("https:") for entry in entries)
    tls = trusted() if is_encrypted else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # which trusts nobody
    return tuple(
        HttpProvider(
            entry,
            keys,
            connections=transport(tls, max_connections=2 * entry.terms.max_parallel),
            on_wait=on_wait,
        )
        for entry in entries
    )


def _wire(entry: ModelEntry) -> Wire:
    quirks = entry.provider.quirks
    model = WireModel(entry.provider.name, entry.model, quirks, entry.answers_as, entry.provider.is_streamed)
    match quirks.wire:
        case WireName.OPENAI:
            return ChatCompletions(model)
        case WireName.ANTHROPIC:
            return Messages(model)
        case _:
            assert_never(quirks.wire)


def _redacted(error: AaosError, redactor: Redactor) -> AaosError:
    kind = ProviderError if isinstance(error, ProviderError) else type(error)
    return kind(redactor.error(error.message), redactor.error(error.remedy))


def _clean(answer: ModelAnswer, redactor: Redactor) -> ModelAnswer:
    """The answer without a key that its provider put into it."""
    text = redactor.answer(answer.text)
    calls = tuple(_clean_call(call, redactor) for call in answer.calls)
    carried = answer.carried if redactor.answer(answer.carried) == answer.carried and text == answer.text else ""
    return replace(answer, text=text, calls=calls, carried=carried)


def _clean_call(call: AskedCall, redactor: Redactor) -> AskedCall:
    """A name is short, and was cut and made plain before: a part of a key in it counts as the key."""
    tool, shown = call.tool if redactor.error(call.tool) == call.tool else "unnamed", repr(call.args)
    if tool == call.tool and redactor.answer(shown) == shown and redactor.error(call.error) == call.error:
        return call
    return AskedCall("", tool, {}, "This call was not made: its name or arguments held the provider's key.")
