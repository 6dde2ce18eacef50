"""Check whether a Redis can keep cursors safely, and say in words what is wrong with it."""

from collections.abc import Iterator
from typing import Any

from django.conf import settings
from redis import Redis
from redis.exceptions import ResponseError

from common.findings import Finding, Unfit

OLDEST_VERSION = (6, 2)
FULL_PERCENT = 90
NO_EVICTION = "noeviction"
FILE_ON = "append-only file on"
NOT_ON_DISK = "nothing on disk"


CLUSTER = (
    "A Redis Cluster is not supported as REDIS_URL: the keys of one call would be in different "
    "slots. Set REDIS_CLUSTER in its place."
)


class UnfitRedis(Unfit):
    """This Redis can't be used at all, or not yet."""


def examine(client: Redis) -> Finding:
    """Ask a Redis for its state and configuration, and return what is wrong with them.

    Raises:
        UnfitRedis: it is a Redis Cluster and REDIS_CLUSTER is not set, or it is older than 6.2, or
            still loading its data.
        redis.exceptions.RedisError: it did not answer.
    """
    try:
        info = client.info()
    except ResponseError:  # the user has no permission, or the command another name
        return Finding(
            "without INFO",
            problems=(
                "Its user may not call INFO: version, memory, eviction and persistence can't be "
                "checked here.",
            ),
        )
    version = tuple(int(part) for part in info["redis_version"].split(".")[:2])
    if info.get("cluster_enabled") and not settings.REDIS_CLUSTER:
        raise UnfitRedis(CLUSTER)
    if version < OLDEST_VERSION:
        raise UnfitRedis(f"Redis {info['redis_version']} is too old: 6.2 or newer is needed.")
    if info.get("loading"):
        raise UnfitRedis("Redis is still loading what it has stored. Wait.")
    policy = info.get("maxmemory_policy", NO_EVICTION)
    persistence = _file_on(client) if info.get("aof_enabled") else _without_file(client)
    return Finding(
        f"{version_of(info)}, {policy}, {persistence}",
        tuple(_dangers(info, policy, persistence)),
        tuple(_problems(info, persistence)),
    )


def examine_version(client: Redis) -> str:
    """Return the name and version of a server, as far as it tells them.

    Raises:
        redis.exceptions.RedisError: it did not answer.
    """
    try:
        return version_of(client.info("server"))
    except ResponseError:
        return "version unknown"


def version_of(info: dict[str, Any]) -> str:
    """Return the name and version of a server, such as "Valkey 8.1.0", from its INFO."""
    if "valkey_version" in info:
        return f"Valkey {info['valkey_version']}"
    return f"Redis {info['redis_version']}"


def _file_on(client: Redis) -> str:
    synced = _configured(client, "appendfsync")
    return FILE_ON if synced in {None, "always"} else f"{FILE_ON}, appendfsync {synced}"


def _without_file(client: Redis) -> str:
    snapshots = _configured(client, "save")
    if snapshots is None:
        return "append-only file off"
    return "snapshots only" if snapshots else NOT_ON_DISK


def _configured(client: Redis, name: str) -> str | None:
    try:
        value: str | None = client.config_get(name).get(name)
    except ResponseError:  # hosted Redis servers refuse CONFIG
        return None
    return value


def _dangers(info: dict[str, Any], policy: str, persistence: str) -> Iterator[str]:
    """Yield what loses stored values sooner or later, and why Redis refuses writes now."""
    if policy != NO_EVICTION:
        yield (
            f"maxmemory-policy is {policy}, not noeviction: evicted cursors are lost, and requests "
            "whose nonces were evicted can be replayed."
        )
    if persistence == NOT_ON_DISK:
        yield (
            "There is neither an append-only file nor a snapshot: a restart loses everything. Set "
            "appendonly yes."
        )

    if info.get("aof_enabled") and info.get("aof_last_write_status", "ok") != "ok":
        yield "The append-only file can't be written: is the disk full?"
    if info.get("rdb_last_bgsave_status", "ok") != "ok":
        yield "The last snapshot could not be written: is the disk full?"
    if info.get("role") == "slave":
        yield "It is a replica: writes are refused."
    if _percent_used(info) >= 100:
        yield "It is full (maxmemory is reached): what adds values is refused."


def _problems(info: dict[str, Any], persistence: str) -> Iterator[str]:
    if not info.get("aof_enabled") and persistence != NOT_ON_DISK:
        yield (
            "The append-only file is off: a power cut loses what was stored since the last "
            "snapshot. Set appendonly yes."
        )
    if info.get("aof_enabled") and persistence != FILE_ON:
        yield (
            "appendfsync is not always: a power cut loses writes that were acknowledged, with "
            "everysec those of a second. Set appendfsync always."
        )
    if FULL_PERCENT <= (percent := _percent_used(info)) < 100:
        yield f"{percent}% of maxmemory is used: once it is full, what adds values is refused."


def _percent_used(info: dict[str, Any]) -> int:
    limit = info.get("maxmemory", 0)
    return int(info["used_memory"] * 100 // limit) if limit else 0
