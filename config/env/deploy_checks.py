"""What `manage.py check --deploy` says of settings whose defaults are for one machine."""

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Warning

from config.env.environment import LOOPBACK


def check_hosts(**kwargs: Any) -> list[CheckMessage]:
    """Warn if pages answer under names of this machine alone."""
    if not set(settings.ALLOWED_HOSTS) <= set(LOOPBACK):
        return []
    return [
        Warning(
            "ALLOWED_HOSTS names this machine alone, so browsers elsewhere get 400 for every page.",
            hint="Name the hosts under which people open the pages.",
            id="statekeep.W001",
        )
    ]


def check_proxies(**kwargs: Any) -> list[CheckMessage]:
    """Warn if TLS ends at a proxy that is not counted."""
    if settings.TRUSTED_PROXY_COUNT or not settings.SECURE_SSL_REDIRECT:
        return []
    return [
        Warning(
            "TRUSTED_PROXY_COUNT is 0, so the headers of the proxy in front are not read: pages "
            "redirect to HTTPS without end, and all clients have the proxy's address.",
            hint="Set it to the number of proxies that append to X-Forwarded-For.",
            id="statekeep.W002",
        )
    ]
