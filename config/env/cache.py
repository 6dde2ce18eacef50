"""Django's CACHES, from the environment: one Redis, the primary of sentinels, or a cluster."""

from collections.abc import Iterable
from typing import Any
from urllib.parse import urlsplit

from redis.backoff import NoBackoff
from redis.connection import parse_url
from redis.retry import Retry
from redis.sentinel import SentinelManagedSSLConnection

from config.env.environment import Environment

_OF_URL = {"host", "connection_class"}  # of what parse_url returns

CONNECTIONS_MAX = 10_000  # no limit: there are as many as threads


def configuration(env: Environment) -> dict[str, Any]:
    """Return what CACHES["default"] has to be in this environment."""
    limits = _limits(env)
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
    options = cache["OPTIONS"]
    if env.redis_cluster:
        cache["LOCATION"] = "cluster"  # whose nodes are in settings.REDIS_CLUSTER
        options["CONNECTION_FACTORY"] = "common.redis_cluster.client.ClusterConnectionFactory"
    if not env.redis_sentinels:
        return cache
    if urlsplit(env.redis_url).scheme == "rediss":
        # By this scheme redis-py would choose a connection that does not ask the sentinels.
        cache["LOCATION"] = env.redis_url.replace("rediss", "redis", 1)
        options["CONNECTION_POOL_KWARGS"]["connection_class"] = SentinelManagedSSLConnection
    # As it is written: a host of a URL is put into small letters, and services have names of both.
    options["CONNECTION_POOL_KWARGS"]["service_name"] = _service_name(env.redis_url)
    return cache | {
        "OPTIONS": options
        | {
            "CLIENT_CLASS": "django_redis.client.SentinelClient",
            "CONNECTION_POOL_CLASS": "redis.sentinel.SentinelConnectionPool",
            "SENTINELS": _addresses(env.redis_sentinels),
            "SENTINEL_KWARGS": {**limits, **retry, **_sentinel_options(env)},
        }
    }


def cluster_options(env: Environment) -> dict[str, Any]:
    """Return what the client of the cluster is made of; empty without one."""
    if not env.redis_cluster:
        return {}
    given = parse_url(f"rediss://node?{env.redis_cluster_parameters}")  # type: ignore[no-untyped-call]
    return {
        **{name: value for name, value in given.items() if name not in _OF_URL},
        **_limits(env),
        "startup_nodes": _addresses(env.redis_cluster),
        "username": env.redis_cluster_username or None,
        "password": env.redis_cluster_password.get_secret_value() or None,
        "ssl": env.redis_cluster_tls,
        "max_connections": CONNECTIONS_MAX,
    }


def _limits(env: Environment) -> dict[str, float]:
    return {
        "socket_connect_timeout": env.redis_connect_timeout_seconds,
        "socket_timeout": env.redis_timeout_seconds,
    }


def _service_name(url: str) -> str:
    host: str = urlsplit(url).netloc.rpartition("@")[2]
    return host.partition(":")[0]


def _addresses(hosts_and_ports: Iterable[str]) -> list[tuple[str, int]]:
    parts = (text.rpartition(":") for text in hosts_and_ports)
    return [(host.strip("[]"), int(port)) for host, _, port in parts]


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
