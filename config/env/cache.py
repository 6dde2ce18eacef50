"""Django's CACHES, from the environment: one Redis, or the primary that sentinels name."""

from typing import Any
from urllib.parse import urlsplit

from redis.backoff import NoBackoff
from redis.connection import parse_url
from redis.retry import Retry
from redis.sentinel import SentinelManagedSSLConnection

from config.env.environment import Environment

CONNECTIONS_MAX = 10_000  # no limit: there are as many as threads


def configuration(env: Environment) -> dict[str, Any]:
    """Return what CACHES["default"] has to be in this environment."""
    limits = {
        "socket_connect_timeout": env.redis_connect_timeout_seconds,
        "socket_timeout": env.redis_timeout_seconds,
    }
    # One immediate retry, for a stale connection. The default would retry for many seconds;
    # connector_state.store decides who waits for a fail-over, and how long.
    retry = {"retry": Retry(NoBackoff(), 1)}
    cache: dict[str, Any] = {
        "BACKEND": "django_redis.cache.RedisCache",
        "LOCATION": env.effective_redis_url,
        "KEY_PREFIX": "statekeep:cache",
        "OPTIONS": {
            "SERIALIZER": "django_redis.serializers.json.JSONSerializer",
            **{name.upper(): seconds for name, seconds in limits.items()},
            "CONNECTION_POOL_KWARGS": {**retry, "max_connections": CONNECTIONS_MAX},
        },
    }
    if not env.redis_sentinels:
        return cache
    options = cache["OPTIONS"]
    if urlsplit(env.redis_url).scheme == "rediss":
        # By this scheme redis-py would choose a connection that does not ask the sentinels.
        cache["LOCATION"] = env.redis_url.replace("rediss", "redis", 1)
        options["CONNECTION_POOL_KWARGS"]["connection_class"] = SentinelManagedSSLConnection
    return cache | {
        "OPTIONS": options
        | {
            "CLIENT_CLASS": "django_redis.client.SentinelClient",
            "CONNECTION_POOL_CLASS": "redis.sentinel.SentinelConnectionPool",
            "SENTINELS": [
                (host.strip("[]"), int(port))
                for host, _, port in (s.rpartition(":") for s in env.redis_sentinels)
            ],
            "SENTINEL_KWARGS": {**limits, **retry, **_sentinel_options(env)},
        }
    }


def _sentinel_options(env: Environment) -> dict[str, Any]:
    """Return who we are to the sentinels, and TLS as REDIS_URL has it for the primary."""
    options: dict[str, Any] = {
        "username": env.redis_sentinel_username or None,
        "password": env.redis_sentinel_password.get_secret_value() or None,
    }
    if env.redis_sentinel_tls:
        given = parse_url(env.redis_url)  # type: ignore[no-untyped-call]
        options |= {name: value for name, value in given.items() if name.startswith("ssl_")}
        options["ssl"] = True
    return options
