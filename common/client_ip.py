"""The client's address, behind a known number of proxies."""

from collections.abc import Mapping
from ipaddress import ip_address
from typing import Any

from django.conf import settings
from django.http import HttpRequest


def client_address(request: HttpRequest) -> str:
    """Return the client's address as text.

    With TRUSTED_PROXY_COUNT = n > 0 it is the n-th entry from the right of X-Forwarded-For: each
    trusted proxy appends the peer that it saw, and entries further left are the client's claims.
    With 0, or with fewer entries, it is the peer of the connection.
    """
    return address_in(request.META)


def address_in(environ: Mapping[str, Any]) -> str:
    """Return the address of the client, from WSGI's environ; as client_address."""
    count: int = settings.TRUSTED_PROXY_COUNT
    if count:
        header = str(environ.get("HTTP_X_FORWARDED_FOR", ""))
        forwarded = [part.strip() for part in header.split(",")]
        if len(forwarded) >= count and forwarded[-count]:
            return forwarded[-count][:64]
    return str(environ.get("REMOTE_ADDR", ""))


def loggable_address(request: HttpRequest) -> str:
    """Return the client's address if it is an IP address, else words: it may be any text."""
    try:
        return str(ip_address(client_address(request).partition("%")[0]))  # "%" begins a scope
    except ValueError:
        return "an unreadable address"
