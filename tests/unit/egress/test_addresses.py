"""Which addresses are of the open internet (TOL-8)."""

from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aaos.egress.addresses import refusal

LOOPBACK = (ip_network("127.0.0.0/8"), ip_network("::1/128"))

REFUSED = (
    "127.0.0.1 127.1.2.3 ::1 0.0.0.0 0.1.2.3 :: ::ffff:127.0.0.1 ::ffff:8.8.8.8 ::127.0.0.1 169.254.169.254 "
    "fd00:ec2::254 100.64.0.1 100.100.100.200 100.127.255.255 10.0.0.1 10.255.255.255 "
    "172.16.0.1 172.31.255.255 192.168.1.1 fe80::1 "
    "fc00::1 fdff::1 fec0::1 64:ff9b::7f00:1 64:ff9b::808:808 64:ff9b:1::1 2002:7f00:1:: 2002:808:808:: 2001::1 "
    "2001:0:7f00:1::1 224.0.0.1 239.255.255.255 ff02::1 255.255.255.255 240.0.0.1 192.0.2.1 198.51.100.1 203.0.113.1 "
    "2001:db8::1 3fff::1 198.18.0.1 192.0.0.192 192.88.99.1 168.63.129.16 4000::1 100::1 5f00::1"
).split()


@pytest.mark.parametrize("address", REFUSED)
def test_what_is_not_of_the_open_internet_is_refused(address: str) -> None:
    """H-NET-03, H-NET-04"""
    assert refusal(ip_address(address), ())


@pytest.mark.parametrize(
    "address",
    "1.1.1.1 8.8.8.8 93.184.216.34 100.63.255.255 100.128.0.1 172.15.0.1 172.32.0.1 192.167.1.1 223.255.255.255 "
    "2606:4700:4700::1111 2a00:1450:4001::200e 2001:4860:4860::8888 2003::1 3ffe::1".split(),
)
def test_the_open_internet_is_open(address: str) -> None:
    assert refusal(ip_address(address), ()) == ""


def test_what_was_granted_by_name_may_be_reached_and_nothing_beside_it() -> None:
    assert refusal(ip_address("127.0.0.1"), LOOPBACK) == ""
    assert refusal(ip_address("::1"), LOOPBACK) == ""
    assert refusal(ip_address("10.0.0.7"), (ip_network("10.0.0.7"),)) == ""
    assert refusal(ip_address("10.0.0.8"), (ip_network("10.0.0.7"),))
    assert refusal(ip_address("::ffff:127.0.0.1"), LOOPBACK), "a mapped form is another address"
    assert refusal(ip_address("169.254.169.254"), LOOPBACK)


@pytest.mark.parametrize("address", ["0.0.0.0", "::", "224.0.0.1", "ff02::1", "255.255.255.255"])  # noqa: S104  # an address to refuse
def test_what_is_no_single_host_cannot_be_granted(address: str) -> None:
    assert refusal(ip_address(address), (ip_network(address), *LOOPBACK))


@given(st.ip_addresses())
def test_only_global_addresses_are_admitted(address: object) -> None:
    """What Python's own table (of IANA) calls private or reserved is never admitted."""
    parsed = ip_address(str(address))
    if not refusal(parsed, ()):
        assert parsed.is_global
        assert not parsed.is_multicast


@given(st.sampled_from([IPv6Network("::ffff:0:0/96"), IPv6Network("64:ff9b::/96"), IPv6Network("::/96")]), st.data())
def test_no_disguise_of_an_ipv4_address_is_admitted(network: IPv6Network, data: st.DataObject) -> None:
    low = data.draw(st.integers(0, 2**32 - 1))
    assert refusal(network[low], (IPv4Network("0.0.0.0/0"),))
