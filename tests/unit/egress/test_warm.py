"""What a fetch may need later is there before the files are gone."""

import sys
import threading

from webencodings.labels import LABELS

from aaos.egress.warm import warm


def test_every_character_set_of_browsers_is_loaded() -> None:
    assert set(warm()) == set(LABELS)
    modules = {"lxml.etree", "_codecs_jp", "encodings.idna", "asyncio.sslproto", "webencodings.x_user_defined"}
    assert modules <= set(sys.modules)


def test_no_thread_is_left_behind() -> None:
    """A zygote forks: with a second thread it could not."""
    before = threading.active_count()
    warm()
    assert threading.active_count() == before
