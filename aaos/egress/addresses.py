"""Which addresses are of the open internet: what a name stands for is checked here before anything connects.

Invariant: an address that is not admitted by `refusal` is never connected to. IPv4 is a list of what is refused, IPv6 a
list of what is allowed. Source: IANA special-purpose address registries (RFC 6890), RFC 4291, RFC 6598, RFC 9637.
"""

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_REFUSED_4 = {
    IPv4Network(network): name
    for network, name in {
        "0.0.0.0/8": "of this network",
        "10.0.0.0/8": "private",
        "100.64.0.0/10": "shared by a provider's customers",
        "127.0.0.0/8": "of this machine",
        "168.63.129.16/32": "a cloud's metadata service",
        "169.254.0.0/16": "link-local, where clouds have their metadata service",
        "172.16.0.0/12": "private",
        "192.0.0.0/24": "reserved for protocols",
        "192.0.2.0/24": "for documentation",
        "192.31.196.0/24": "reserved for a service",
        "192.52.193.0/24": "reserved for a service",
        "192.88.99.0/24": "a 6to4 relay",
        "192.168.0.0/16": "private",
        "192.175.48.0/24": "reserved for a service",
        "198.18.0.0/15": "for benchmarks",
        "198.51.100.0/24": "for documentation",
        "203.0.113.0/24": "for documentation",
        "224.0.0.0/4": "multicast",
        "240.0.0.0/4": "reserved",
    }.items()
}
_GLOBAL_6 = IPv6Network("2000::/3")
_REFUSED_6 = {
    IPv6Network(network): name
    for network, name in {
        "2001::/23": "reserved for protocols, Teredo among them",
        "2001:db8::/32": "for documentation",
        "2002::/16": "an IPv4 address in disguise (6to4)",
        "2620:4f:8000::/48": "reserved for a service",
        "3fff::/20": "for documentation",
        "::ffff:0:0/96": "an IPv4 address in disguise (mapped)",
        "::/96": "of this machine, or an IPv4 address in disguise",
        "64:ff9b::/96": "an IPv4 address in disguise (NAT64)",
        "64:ff9b:1::/48": "an IPv4 address in disguise (NAT64)",
        "fc00::/7": "private",
        "fe80::/10": "link-local",
        "fec0::/10": "site-local",
        "ff00::/8": "multicast",
    }.items()
}


def refusal(address: Address, permitted: Sequence[Network]) -> str:
    """Why the address may not be connected to, or "". `permitted` are networks that were granted by name.

    What is no single host (unspecified, multicast, broadcast) cannot be permitted.
    """
    kind = _kind(address)
    if not kind:
        return ""
    is_one_host = not (address.is_multicast or address.is_unspecified or address == _BROADCAST)
    if is_one_host and any(address in network for network in permitted):  # of another version is not in
        return ""
    return kind


_BROADCAST = IPv4Address("255.255.255.255")


def _kind(address: Address) -> str:
    """What is special about the address; "" for one of the open internet."""
    if isinstance(address, IPv4Address):
        return next((name for network, name in _REFUSED_4.items() if address in network), "")
    found = next((name for network, name in _REFUSED_6.items() if address in network), "")
    return found or ("" if address in _GLOBAL_6 else "not assigned")
