"""What a provider's refusals mean, as errors with remedies: by status, by what its JSON says, in mid-stream. Pure.

Invariant: every refusal is one of our errors, its text is bounded and on one line; only what may pass by itself, before
the model has said anything, is worth another attempt.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from aaos.core.errors import AaosError, LimitError, ProviderError
from aaos.core.text import nearest, quoted, suggestion
from aaos.llm.backoff import MAX_ATTEMPTS
from aaos.llm.types import Json

MAX_TOLD_CHARS = 300

_TRANSIENT = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 520, 522, 524, 529})
_TRANSIENT_CODES = frozenset({"overloaded_error", "rate_limit_error", "api_error", "timeout_error", "server_error"})
_SPENT = frozenset({"insufficient_quota", "billing_error", "billing_hard_limit_reached"})
_OVERFLOW_CODES = frozenset({"context_length_exceeded", "exceed_context_size_error", "request_too_large"})
# OpenAI and vLLM; Anthropic; llama.cpp; LM Studio; OpenRouter.
_OVERFLOW = re.compile(
    r"maximum context length|prompt is too long|exceeds? the (available )?context|context (length|window|size|limit)"
    r"|too many (input )?tokens|input is too long",
    re.IGNORECASE,
)
_NO_MODEL = re.compile(r"model.{0,200}(not found|not exist|not available|unknown)|no such model", re.IGNORECASE)
_NO_PLACE = "look at the model's name, and whether the provider's `url` in models.yaml ends as its documents say"
_BALANCE = re.compile(r"credit balance|insufficient (balance|credit|quota)", re.IGNORECASE)


class TransientError(ProviderError):
    """The provider may answer another time: `after_s` is when it asked for, if it did; `attempts` are worth it in all.
    With `is_stale` the other side may have given up a kept connection: a new one is tried at once."""

    def __init__(
        self,
        message: str,
        remedy: str = "",
        *,
        after_s: float | None = None,
        attempts: int = MAX_ATTEMPTS,
        is_stale: bool = False,
    ) -> None:
        super().__init__(message, remedy)
        self.after_s = after_s
        self.attempts = attempts
        self.is_stale = is_stale


class NoModelError(ProviderError):
    """The provider does not know the model, or there is nothing at this address."""


@dataclass(frozen=True, slots=True)
class Asked:
    """Who was asked for what. `key` names the key."""

    provider: str
    url: str
    model: str
    key: str = ""


@dataclass(frozen=True, slots=True)
class Told:
    """What an error's JSON says."""

    message: str
    codes: frozenset[str]
    status: int = 0

    @property
    def is_overflow(self) -> bool:
        """The conversation is larger than the model takes."""
        return bool(self.codes & _OVERFLOW_CODES or _OVERFLOW.search(self.message))

    @property
    def is_spent(self) -> bool:
        """There is no money left: waiting does not help."""
        return bool(self.codes & _SPENT or _BALANCE.search(self.message))

    @property
    def shown(self) -> str:
        """For an error's text."""
        return quoted(self.message, max_chars=MAX_TOLD_CHARS) if self.message else "no reason given"


def told(document: Json) -> Told:
    """What there is of a message and a code in `{"error": {…}}`, `{"error": "…"}`, `{"message": …}`, or anything."""
    error = document.get("error", document) if isinstance(document, Mapping) else document
    if not isinstance(error, Mapping):
        return Told(error if isinstance(error, str) else "", frozenset())
    message = error.get("message") or error.get("detail") or ""
    given = (error.get("code"), error.get("type"), error.get("status"))
    codes = frozenset(value for value in given if isinstance(value, str))
    status = next((value for value in given if type(value) is int), 0)
    return Told(str(message)[:4096], codes, status)


def http_fault(status: int, document: Json, asked: Asked, *, after_s: float | None) -> AaosError:
    """The error of an answer whose status is not 200. `document` is its JSON, or its text."""
    said = told(document)
    where = f"{asked.provider} answered {status}"
    if said.is_overflow or status == 413:
        return _overflow(asked.provider, said)
    if said.is_spent or status == 402:
        return ProviderError(f"{where}: {said.shown}", f"look at the account of key {asked.key or '(none)'}")
    if status == 401 or (status == 403 and "permission_error" not in said.codes):
        return _unwelcome(f"{where}: {said.shown}", asked)
    if status == 404 or (status == 400 and _NO_MODEL.search(said.message)):
        return NoModelError(f"{where}: {said.shown} (asked for {asked.model} at {asked.url})", _NO_PLACE)
    if status in _TRANSIENT:
        return TransientError(f"{where}: {said.shown}", "submit the goal again later", after_s=after_s)
    return ProviderError(f"{where}: {said.shown}", f"look at model {asked.model} and its provider in models.yaml")


def with_known(error: NoModelError, asked: Asked, known: Sequence[str]) -> NoModelError:
    """The same error with the model that may have been meant."""
    near = nearest(asked.model, known)
    return NoModelError(error.message, suggestion(asked.model, [near] if near else known[:20])) if known else error


def redirect_fault(status: int, location: str, asked: Asked) -> AaosError:
    """A redirect is never followed: the key is for the configured host alone."""
    shown = quoted(location, max_chars=200)
    return ProviderError(
        f"{asked.provider} answered {status} and points to {shown}; the key was not sent there",
        f"correct the provider's `url` in models.yaml, which is {asked.url}",
    )


def stream_fault(error: Json, provider: str, *, has_begun: bool) -> AaosError:
    """The error that a provider tells inside of an answer of status 200."""
    said = told(error)
    if said.is_overflow:
        return _overflow(provider, said)
    message = f"{provider} broke off: {said.shown}"
    may_pass = said.status in _TRANSIENT or bool(said.codes & _TRANSIENT_CODES)
    if may_pass and not has_begun and not said.is_spent:
        return TransientError(message, "submit the goal again later")
    return ProviderError(message, "submit the goal again")


def _overflow(provider: str, said: Told) -> LimitError:
    return LimitError(
        f"the conversation is larger than the model of {provider} takes: {said.shown}",
        "ask for less in one goal, or use a model with more context_tokens",
    )


def _unwelcome(message: str, asked: Asked) -> ProviderError:
    if not asked.key:
        return ProviderError(message, f"name a key for provider {asked.provider} in models.yaml: key: {asked.provider}")
    remedy = f"give a valid key: sudo agentd configure --provider {asked.provider}"
    return ProviderError(f"{message} (key {asked.key})", remedy)
