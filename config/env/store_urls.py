"""The URLs of Redis and of the database: types of environment variables.

As in config.env.variables, a check never says what a value is.
"""

from collections.abc import Callable
from typing import Annotated
from urllib.parse import parse_qsl, urlencode, urlsplit

import dj_database_url
from psycopg import IsolationLevel
from psycopg.pq import Conninfo
from pydantic import AfterValidator
from redis import ConnectionPool
from redis.exceptions import RedisError

from config.env.variables import check, split_url

DATABASE_ENGINES = {"django.db.backends.postgresql", "django.db.backends.sqlite3"}

# A "#" begins a URL's fragment, so the rest of the password would be lost.
_ENCODED = ", with what is special in a password percent-encoded (# is %23)"

# What both connections take: of threads, and of event loops (store.scripts.loop_connection).
_REDIS_OPTIONS = {
    *("db", "username", "password", "client_name"),
    *("socket_timeout", "socket_connect_timeout", "socket_keepalive"),
}
_TLS_OPTIONS = {
    *("ssl_ca_certs", "ssl_ca_path", "ssl_ca_data", "ssl_certfile", "ssl_keyfile", "ssl_password"),
    *("ssl_cert_reqs", "ssl_check_hostname", "ssl_min_version", "ssl_ciphers"),
}

# These have variables of their own, or (a database's number) no meaning in a cluster; redis-py
# passes the last two on to no node.
_CLUSTER_OPTIONS = (
    (_REDIS_OPTIONS | _TLS_OPTIONS)
    - {"db", "username", "password", "socket_timeout", "socket_connect_timeout"}
    - {"ssl_min_version", "ssl_ciphers"}
)


# What Django or psycopg would refuse with a traceback, unlike libpq's own parameters.
_DATABASE_VALUES: dict[str, Callable[[object], bool]] = {
    "isolation_level": lambda value: value in list(IsolationLevel),
    "prepare_threshold": lambda value: isinstance(value, int),
    "timeout": lambda value: isinstance(value, int),
    "transaction_mode": lambda value: value in {"DEFERRED", "EXCLUSIVE", "IMMEDIATE"},
}


def _is_redis(url: str) -> bool:
    parts = split_url(url)
    if not parts or "#" in url:
        return False
    database = {name: value for name, value in parse_qsl(parts.query) if name == "db"}
    try:
        # Connects nowhere yet. Other parameters are checked one by one.
        ConnectionPool.from_url(_with_query(url, database))
    except ValueError:
        return False
    if parts.scheme == "unix":
        return bool(parts.path) and not parts.hostname
    return (parts.path.strip("/") or "0").isdecimal()  # redis-py takes any other for database 0


def _known_options(engine: str) -> set[str]:
    """Return the parameters that a database URL may have, by Django and the database's library."""
    if engine == "django.db.backends.sqlite3":
        return {"timeout", "transaction_mode", "init_command"}
    libpq = {option.keyword.decode() for option in Conninfo.get_defaults()}
    return libpq | {"isolation_level", "assume_role", "server_side_binding", "prepare_threshold"}


def _check_database_options(url: str) -> str:
    """Refuse parameters that would end in a traceback once a connection is made."""
    if url:
        database = dj_database_url.parse(url)
        known = _known_options(database["ENGINE"])
        for name, value in database.get("OPTIONS", {}).items():
            if name not in known:
                raise ValueError(f"the database takes no parameter {name!r}; remove it")
            if isinstance(value, list):
                raise ValueError(f"the parameter {name!r} is given more than once")
            if name in _DATABASE_VALUES and not _DATABASE_VALUES[name](value):
                raise ValueError(f"the parameter {name!r} has a wrong value")
    return url


def _with_query(url: str, query: dict[str, str]) -> str:
    return f"{url.partition('?')[0]}?{urlencode(query)}"


def _check_redis_options(url: str) -> str:
    """Refuse parameters that the connections of threads or of event loops do not take."""
    if url:
        known = _REDIS_OPTIONS | (_TLS_OPTIONS if url.startswith("rediss:") else set())
        for name, value in parse_qsl(urlsplit(url).query):
            if name not in known:
                raise ValueError(f"Redis takes no parameter {name!r} here; remove it")
            try:
                pool = ConnectionPool.from_url(_with_query(url, {name: value}))
                pool.connection_class(**{name: pool.connection_kwargs[name]})
            except (RedisError, ValueError) as error:
                raise ValueError(f"the parameter {name!r} has a wrong value") from error
    return url


def _check_cluster_parameters(parameters: str) -> str:
    """Refuse parameters that redis-py's client of a cluster does not take, or would not pass on."""
    for name, _ in parse_qsl(parameters, keep_blank_values=True):
        if name not in _CLUSTER_OPTIONS:
            raise ValueError(f"a Redis Cluster takes no parameter {name!r} here; remove it")
    _check_redis_options(f"rediss://node?{parameters}")
    return parameters


def _is_database(url: str) -> bool:
    try:
        database = dj_database_url.parse(url)
    except ValueError:
        return False
    if database["NAME"] == ":memory:":  # so is sqlite://; each thread would have another one
        return False
    has_name = database["NAME"] or "service" in database.get("OPTIONS", {})
    return database["ENGINE"] in DATABASE_ENGINES and bool(has_name) and "#" not in url


RedisUrl = Annotated[
    str,
    check(
        _is_redis,
        f"must be redis://HOST:PORT/DB, rediss://HOST:PORT/DB or unix:///SOCKET{_ENCODED}",
    ),
    AfterValidator(_check_redis_options),
]
"""The URL of Redis; empty for the embedded one."""

ClusterParameters = Annotated[str, AfterValidator(_check_cluster_parameters)]
"""More options of the nodes' connections, as in the query of a URL; empty for none."""

DatabaseUrl = Annotated[
    str,
    check(
        _is_database, f"must be postgresql://USER:PASSWORD@HOST/NAME or sqlite:///FILE{_ENCODED}"
    ),
    AfterValidator(_check_database_options),
]
"""A PostgreSQL or an SQLite file, as dj-database-url reads it; empty for the embedded one."""
