"""How we call others over HTTP: whose certificates are trusted, and which proxy is used.

REQUESTS_CA_BUNDLE, else SSL_CERT_FILE, names the certificates for all our calls. HTTP_PROXY,
HTTPS_PROXY and NO_PROXY hold for calls to the identity provider, the model's server and the webhook
of alerts, never for a loopback address. The sidecar is always called directly.
"""

import os
import ssl
from ipaddress import ip_address, ip_network
from pathlib import Path
from urllib.parse import urlsplit

import requests
from django.conf import settings
from requests.utils import get_environ_proxies, select_proxy


def tls_context() -> ssl.SSLContext | bool:
    """Return what httpx verifies certificates with: as `session`, True for its own list."""
    path = settings.CA_BUNDLE
    if not path:
        return True
    if Path(path).is_dir():
        return ssl.create_default_context(capath=path)
    return ssl.create_default_context(cafile=path)


def session(url: str = "") -> requests.Session:
    """Return a session that trusts what the settings say, and reads no environment by itself.

    With a URL, what it calls goes through the proxy for that, if there is one.
    """
    opened = requests.Session()
    # The environment would also bring .netrc, whose passwords replace our own headers.
    opened.trust_env = False
    opened.verify = settings.CA_BUNDLE or True
    opened.proxies = proxies_for(url) if url else {}
    return opened


def proxies_for(url: str) -> dict[str, str]:
    """Return the proxies to reach a URL by, as requests takes them; none for a loopback address."""
    if _is_loopback(urlsplit(url).hostname or "") or _is_excluded(url):
        return {}
    return get_environ_proxies(url)


def proxy_for(url: str) -> str | None:
    """Return the URL of the proxy to reach a URL by; None: it is called directly."""
    proxy = select_proxy(url, proxies_for(url))
    return proxy if proxy is None or "://" in proxy else f"http://{proxy}"  # as curl and requests


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _is_excluded(url: str) -> bool:
    """Whether NO_PROXY has an entry for this URL, be it one that requests overlooks.

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
