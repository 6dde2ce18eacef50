"""Limits on messages, where a repeat or an outage meets them."""

import time
from datetime import timedelta

import pytest
from django.conf import settings as django_settings
from django.utils import timezone
from django_redis import get_redis_connection

from chat import impatience
from chat.api import throttles
from chat.errors import RateLimited, TurnConflict
from chat.models import Turn
from chat.turns.accept import ChatRequest, accept
from tests.chat.drive import ALICE
from tests.connectors import redis_servers
from tests.servers import freeze, start_valkey, thaw

LIMIT_SECONDS = 2  # more than the product's, for a machine that is busy
REQUEST = ChatRequest(ALICE, "one", "c1", idempotency_key="k")


def end_lease_in(seconds: float) -> None:
    Turn.objects.filter(idempotency_key="k").update(
        lease_until=timezone.now() + timedelta(seconds=seconds)
    )


@pytest.mark.django_db(transaction=True)
def test_repeat__counts_among_the_turns_under_way(settings):
    settings.CHAT_MAX_TURNS_PER_USER = 1
    first = accept(REQUEST).turn
    end_lease_in(-1)
    other = accept(ChatRequest(ALICE, "two", "c1")).turn
    with pytest.raises(RateLimited) as refusal:
        accept(REQUEST)
    assert refusal.value.code == "too_many_turns"
    Turn.objects.filter(pk=other.pk).update(state=Turn.State.STORED)
    assert accept(REQUEST).turn == first


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(("seconds_left", "told"), [(600, 5), (4.5, 5), (0.9, 1)])
def test_repeat__after_its_process_died_is_told_when_to_come_back(seconds_left, told):
    accept(REQUEST)
    end_lease_in(seconds_left)
    with pytest.raises(TurnConflict) as refusal:
        accept(REQUEST)
    assert refusal.value.code == "turn_in_progress"
    assert refusal.value.retry_after_seconds == told


@pytest.mark.skipif(
    bool(django_settings.REDIS_CLUSTER), reason="it hangs a single Redis, by the path of its socket"
)
def test_rate__a_redis_that_hangs_costs_one_message_little_and_the_next_nothing(
    settings, monkeypatch, tmp_path
):
    monkeypatch.setattr(impatience, "TIMEOUT_SECONDS", LIMIT_SECONDS)
    settings.CHAT_RATE_PER_MINUTE = 2
    socket = tmp_path / "v.sock"
    valkey = start_valkey(tmp_path / "valkey", "--port", "0", "--unixsocket", str(socket))
    shared = get_redis_connection().connection_pool
    monkeypatch.setitem(shared.connection_kwargs, "path", str(socket))
    throttles.forget_limiter()
    try:
        throttles.check_rate(ALICE)
        freeze(valkey.pid)
        began = time.monotonic()
        throttles.check_rate(ALICE)
        first = time.monotonic() - began
        for _ in range(20):
            throttles.check_rate(ALICE)
        assert LIMIT_SECONDS <= first < 2 * LIMIT_SECONDS
        assert time.monotonic() - began - first < LIMIT_SECONDS
        thaw(valkey.pid)
        throttles.forget_limiter()
        with pytest.raises(RateLimited):
            for _ in range(3):
                throttles.check_rate(ALICE)
    finally:
        valkey.kill()
        valkey.wait(10)
        throttles.forget_limiter()


def test_rate__a_connection_that_went_stale_is_made_anew(settings):
    settings.CHAT_RATE_PER_MINUTE = 2
    throttles.check_rate("stale")
    for server in redis_servers():
        server.client_kill_filter(_type="normal", skipme=False)
    throttles.check_rate("stale")
    with pytest.raises(RateLimited):
        throttles.check_rate("stale")
