"""git_clone in a real cell with a real egress: from the host that is granted to programs, and from no other."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from aaos.core.capability import Capability, Kind
from aaos.core.errors import DeniedError
from aaos.core.events import EventKind
from aaos.core.ports import Label
from aaos.daemon.grants import connect_capability, host_capability
from aaos.tools.wrapperparameter import cell_tool
from tests.kernel.certificates import Authority
from tests.kernel.harness import Audit
from tests.kernel.outward import HOST, network, reaching, vouching
from tests.kernel.test_cell_programs import files_over_tls, repository
from tests.kernel.wrapped import OFFERED, SHIPPED, Workbench

__all__ = ["network", "vouching"]  # the fixtures
pytestmark = pytest.mark.skipif("git_clone" not in OFFERED.tools, reason="git is not on this machine")


@contextmanager
def connected(tmp_path: Path, vouching: Authority, *grants: Capability) -> Iterator[tuple[Workbench, Audit]]:
    """A workbench whose cells have an egress; git there trusts the authority of the test."""
    clone = SHIPPED.wrappers["git_clone"]
    certificate = str(vouching.certificate)
    trusting = replace(clone, env={**clone.env, "GIT_SSL_CAINFO": certificate}, readable=(certificate,))
    with reaching(tmp_path, {"git_clone": cell_tool(trusting)}, *grants) as made:
        yield made


def test_git_clones_from_a_host_that_programs_may_connect_to(tmp_path: Path, vouching: Authority) -> None:
    """TOL-4, CAP-8: what came is from outside."""
    repository(tmp_path / "served")
    with files_over_tls(tmp_path / "served", vouching.server(HOST)) as port:
        grant = connect_capability(f"{HOST}:{port}")
        with connected(tmp_path, vouching, grant) as (bench, audit):
            into = f"{bench.workspace}/cloned"
            result = bench.call("git_clone", url=f"https://{HOST}:{port}/repo.git", into=into)
            assert result.ok, result.text
            assert Path(into, "README").read_text() == "words of the repository\n"
            assert not list(Path(into, ".git", "hooks").glob("*")) if Path(into, ".git", "hooks").exists() else True
            assert [outcome.label for outcome in bench.ledger.settled.values()] == [Label.OUTSIDE]
            assert audit.count(EventKind.NETWORK_CONNECTED) >= 1


def test_git_clones_from_no_other_host_and_not_by_a_grant_for_pages(tmp_path: Path, vouching: Authority) -> None:
    """ISO-12, H-SUB-01: refused before a cell is made; a page's grant is for GET and HEAD, which nobody sees in TLS."""
    repository(tmp_path / "served")
    with files_over_tls(tmp_path / "served", vouching.server(HOST)) as port:
        for grant in (
            connect_capability(f"other.example:{port}"), connect_capability(HOST), host_capability(f"{HOST}:{port}"),
            Capability(Kind.NETWORK, f"{HOST}:{port}/repo.git/**"),
        ):  # fmt: skip
            with connected(tmp_path, vouching, grant) as (bench, audit):
                with pytest.raises(DeniedError) as error:
                    bench.call("git_clone", url=f"https://{HOST}:{port}/repo.git", into=f"{bench.workspace}/x")
                assert error.value.remedy == f"grant them with: --connect {HOST}:{port}"
                assert audit.count(EventKind.CELL_CONFINED) == 0
