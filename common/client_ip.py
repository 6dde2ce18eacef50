"""The client's address, behind a known number of proxies."""

import re
from collections.abc import Mapping
from functools import lru_cache
from ipaddress import ip_address, ip_network
from typing import Any

from django.conf import settings
from django.http import HttpRequest

UNKNOWN = "unknown"
ENTRY_MAX_CHARACTERS = 100

# v4:port, [v6] or [v6]:port, as RFC 7239 writes them; a port may be hidden behind a name.
_NODE = re.compile(r"(?:\[([^\]]*)\]|([0-9.]+))(?::[\w.-]*)?", re.ASCII)


def client_address(request: HttpRequest) -> str:
    """Return the client's IP address, without a port or a zone, or UNKNOWN.

    With TRUSTED_PROXY_COUNT = n > 0 it is the n-th entry from the right of X-Forwarded-For: each
    trusted proxy appends the peer that it saw, and entries further left are the client's claims.
    An entry that is no address is UNKNOWN: proxies write `unknown`, or a name that they hide it by.
    With 0, or with fewer entries, it is the peer of the connection.
    """
    return address_in(request.META)


def address_in(environ: Mapping[str, Any]) -> str:
    """Return the address of the client, from WSGI's environ; as client_address."""
    count: int = settings.TRUSTED_PROXY_COUNT
    if count:
        # Several headers of this name are one by now, joined by commas in their order.
        forwarded = str(environ.get("HTTP_X_FORWARDED_FOR", "")).split(",")
        if len(forwarded) >= count and (entry := forwarded[-count].strip()):
            return _bare(entry[:ENTRY_MAX_CHARACTERS])
    return _bare(str(environ.get("REMOTE_ADDR", "")))


def address_for_axes(request: HttpRequest) -> str | None:
    """Return the client's address as django-axes stores it; None: unknown.

    PostgreSQL has a type for addresses, which takes no other text.
    """
    address = client_address(request)
    return None if address == UNKNOWN else address


def network_of(address: str) -> str:
    """Return the addresses that one client can choose from: an IPv4 address, or an IPv6 /64.

    Args:
        address: of client_address; UNKNOWN is returned as it is.
    """
    return str(ip_network(f"{address}/64", strict=False)) if ":" in address else address


@lru_cache(maxsize=4096)  # every request asks
def _bare(entry: str) -> str:
    """Return the IP address in an entry, in its shortest form, or UNKNOWN."""
    entry = entry.strip("\"'")
    if match := _NODE.fullmatch(entry):
        entry = match[1] or match[2] or ""
    try:
        # A zone names a network card of the proxy's, and may be any text.
        address = ip_address(entry.partition("%")[0])
    except ValueError:
        return UNKNOWN
    # A server that listens on both kinds of address sees 192.0.2.1 as ::ffff:192.0.2.1.
    return str(getattr(address, "ipv4_mapped", None) or address)
