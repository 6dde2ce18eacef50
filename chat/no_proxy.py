"""NO_PROXY, by every form of an entry that is usual: see `excludes`."""

import os
from ipaddress import ip_address, ip_network
from urllib.parse import urlsplit


def excludes(url: str) -> bool:
    """Whether NO_PROXY has an entry for this URL, which requests overlooks.

    That is an IPv6 address in brackets, a network of IPv6 addresses, and a port after an address.
    """
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or {"https": 443}.get(parts.scheme, 80)
    listed = os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or ""
    return any(_matches(entry.strip(), host, port) for entry in listed.split(","))


def _matches(entry: str, host: str, port: int) -> bool:
    name, entry_port = _split(entry)
    if entry_port not in {None, port}:
        return False
    try:
        return ip_address(host) in ip_network(name, strict=False)
    except ValueError:  # a name, or nothing
        suffix = name.lower().removeprefix(".")
        return bool(suffix) and (host == suffix or host.endswith(f".{suffix}"))


def _split(entry: str) -> tuple[str, int | None]:
    """Return the host of an entry and its port, None without one. Colons alone are an address."""
    name, _, port = entry.rpartition(":")
    if port.isdecimal() and (name.endswith("]") or (name and ":" not in name)):
        return name.strip("[]"), int(port)
    return entry.replace("[", "").replace("]", ""), None
