"""Whether a Redis is fit to keep cursors, in words."""

from dataclasses import dataclass
from typing import Any

from redis import Redis

OLDEST = (6, 2)
FULL_PERCENT = 90


class UnfitRedis(Exception):
    """This Redis can't be used at all, or not yet."""


@dataclass(frozen=True, slots=True)
class Fitness:
    """A Redis that can be used: its name and version, and what is wrong with it all the same."""

    description: str
    problems: tuple[str, ...] = ()


def examine(client: Redis) -> Fitness:
    """Ask a Redis what it is, and judge it.

    Raises:
        UnfitRedis: it can't be used: it is a Redis Cluster, older than 6.2, or still loading.
        redis.exceptions.RedisError: it did not answer.
    """
    info = client.info()
    version = tuple(int(part) for part in info["redis_version"].split(".")[:2])
    if info.get("cluster_enabled"):
        raise UnfitRedis(
            "Redis Cluster is not supported: the nonce, the index and the contract's keys of one "
            "call stand in different slots. Use Redis with Sentinel."
        )
    if version < OLDEST:
        raise UnfitRedis(f"Redis {info['redis_version']} is too old: 6.2 or newer is needed.")
    if info.get("loading"):
        raise UnfitRedis("Redis is still loading what it has stored. Wait.")
    return Fitness(_describe(info), tuple(_problems(info)))


def _describe(info: dict[str, Any]) -> str:
    if "valkey_version" in info:
        return f"Valkey {info['valkey_version']}"
    return f"Redis {info['redis_version']}"


def _problems(info: dict[str, Any]) -> list[str]:
    problems = []
    if info.get("maxmemory_policy", "noeviction") != "noeviction":
        problems.append(
            f"maxmemory-policy is {info['maxmemory_policy']}, not noeviction: evicted cursors are "
            "lost, and requests whose nonces were evicted can be replayed."
        )
    if not info.get("aof_enabled"):
        problems.append(
            "The append-only file is off: a power cut loses what was stored since the last "
            "snapshot. Set appendonly yes."
        )
    elif info.get("aof_last_write_status", "ok") != "ok":
        problems.append("The append-only file can't be written: is the disk full?")
    if info.get("rdb_last_bgsave_status", "ok") != "ok":
        problems.append("The last snapshot could not be written: is the disk full?")
    if info.get("role") == "slave":
        problems.append("It is a replica: writes are refused.")
    limit = info.get("maxmemory", 0)
    if limit and info["used_memory"] * 100 >= limit * FULL_PERCENT:
        problems.append(
            f"{info['used_memory'] * 100 // limit}% of maxmemory is used: once it is full, writes "
            "are refused."
        )
    return problems
