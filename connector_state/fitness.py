"""Whether a Redis is fit to keep cursors, in words."""

from redis import Redis

OLDEST = (6, 2)


class UnfitRedis(Exception):
    """This Redis can't be used at all."""


def examine(client: Redis) -> list[str]:
    """Return what is wrong with a Redis that can be used all the same.

    Raises:
        UnfitRedis: it can't: it is a Redis Cluster, or older than 6.2.
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
    return problems
