"""What a secret is for: one place and one header, written so that they mean one thing."""

from pathlib import Path

import pytest

from aaos.core.errors import InputError
from aaos.core.secretuse import Use, read_use


def used(tmp_path: Path, text: str) -> Use:
    """What a file with this text says."""
    (tmp_path / "github.toml").write_text(text)
    return read_use(tmp_path / "github.toml")


def test_a_host_is_enough_and_is_in_its_normal_form(tmp_path: Path) -> None:
    """TOL-9"""
    assert used(tmp_path, 'host = "API.github.com"\n') == Use(host="api.github.com:443")
    assert used(tmp_path, 'host = "api.github.com:443"\n').prefix == "Bearer "
    whole = used(tmp_path, 'host = "10.0.0.7:8443"\nheader = "X-Api-Key"\nprefix = ""\n')
    assert (whole.host, whole.header, whole.prefix) == ("10.0.0.7:8443", "X-Api-Key", "")


@pytest.mark.parametrize(
    "text",
    [
        "",
        'host = ""',
        'host = "a/b"',
        'host = "a?b"',
        'host = "a#b"',
        'host = "u@a"',
        'host = "127.1"',
        'host = "*.a"',
        'host = "a"\nheader = "Host"',
        'host = "a"\nheader = "Content-Length"',
        'host = "a"\nheader = "X Y"',
        'host = "a"\nheader = "X\\r\\nY"',
        'host = "a"\nprefix = "a b"',
        'host = "a"\nprefix = "a\\n"',
        'host = "a"\nvalue = "x"',
        "host = 1",
        "not toml",
        "\0",
    ],
)
def test_everything_else_is_refused(tmp_path: Path, text: str) -> None:
    """H-SEC-06, H-NET-08"""
    with pytest.raises(InputError):
        used(tmp_path, text)
