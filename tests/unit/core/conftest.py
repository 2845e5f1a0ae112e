"""Property tests here are bounded by their number of examples, not by time: the machine may be busy."""

from hypothesis import settings

settings.register_profile("core", deadline=None, database=None)
settings.load_profile("core")
