"""aaOS, an operating system for AI agents: the side of the wall that decides, schedules, brokers and records.

Rooms from the ground up: core; llm, store and sandbox; broker; tools; agent; plan; daemon and cli. Each imports only
rooms below it; `tests/test_architecture.py` is the law. This plate holds the version and nothing else.
"""

__version__ = "0.1.0"
