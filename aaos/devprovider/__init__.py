"""A model made of a script: for tests, benchmarks, and people who write roles without wanting to pay for a model.

It speaks both wire formats over real HTTP: chat completions and Anthropic messages, streaming or not, and misbehaves on
request. It listens on loopback, needs no rights and no key, and knows nothing of agents: a client cannot tell it from
a model, except by what it says.

Reading order: `script` (what can be written), `asked` (what a client asked), `choice` (which step answers), `answer`
(the step with its templates filled), `chat` and `messages` (the two wire formats), `reply` (an answer or a fault as
pieces of bytes and pauses), `requests` (HTTP/1.1 in), `server`. Imports `aaos.core` and nothing else of aaos.
"""
