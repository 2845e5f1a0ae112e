"""A wrapper says what its program can change and reach."""

from dataclasses import replace

from aaos.core.cell import HostPort
from aaos.tools.wrapper import Parameter, ParameterKind, PathUse, Wrapper

PLAIN = Wrapper("w", "s", "/usr/bin/w", "p")


def given(kind: ParameterKind, use: PathUse = PathUse.READ) -> Wrapper:
    return replace(PLAIN, parameters={"x": Parameter("x", kind, use=use)})


def test_what_can_change_something_outside_is_an_effect() -> None:
    """BRK-8"""
    assert not PLAIN.is_effect
    assert not given(ParameterKind.PATH).is_effect
    assert given(ParameterKind.PATH, PathUse.WRITE).is_effect
    assert given(ParameterKind.PATHS, PathUse.MAKE).is_effect
    assert given(ParameterKind.URL).is_effect
    assert replace(PLAIN, egress=(HostPort("a", 1),)).is_effect


def test_what_reaches_the_network_says_so() -> None:
    """CAP-8"""
    assert not given(ParameterKind.PATH, PathUse.WRITE).connects
    assert given(ParameterKind.URL).connects
