"""`manage.py failover_redis [--timeout SECONDS]`."""

from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django_redis import get_redis_connection
from redis.exceptions import RedisError
from redis.sentinel import SentinelConnectionPool

from connector_state.redis_server.failover import FailOverFailed, fail_over

TIMEOUT_SECONDS = 20


class Command(BaseCommand):
    help = (
        "Ask the sentinels to promote a replica of Redis, without losing a write: writes wait "
        "until the replicas have everything and the old primary has become a replica. Use this "
        "instead of SENTINEL FAILOVER. Exits with 1 if a step failed; if no replica was promoted, "
        "writes continue."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--timeout",
            type=float,
            default=TIMEOUT_SECONDS,
            metavar="SECONDS",
            help=f"how long a fail-over may take (default: {TIMEOUT_SECONDS})",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if not 1 <= options["timeout"] <= 300:
            raise CommandError("--timeout must be from 1 to 300 seconds.")
        if settings.REDIS_CLUSTER:
            raise CommandError("On a Redis Cluster, call CLUSTER FAILOVER on the replica.")
        pool = get_redis_connection().connection_pool
        if not isinstance(pool, SentinelConnectionPool):
            raise CommandError("REDIS_SENTINELS is not set: there is nobody to fail over.")
        try:
            done = fail_over(pool, options["timeout"])
        except FailOverFailed as error:
            raise CommandError(str(error)) from error
        except RedisError as error:
            raise CommandError(f"The sentinels did not say who is primary: {error}") from error
        self.stdout.write(
            f"{done.new} is the primary now, {done.old} its replica; "
            f"writes waited for {done.paused_seconds:.1f} s."
        )
