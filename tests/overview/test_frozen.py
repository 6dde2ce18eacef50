"""Every page of ours in admin while Redis is frozen: it takes connections, and says nothing."""

import copy
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connections
from django.test import Client

from chat.repository import forget_repositories
from tests.admin_pages import World, pages
from tests.environment import valkey_pid
from tests.operators import create_staff, logged_in
from tests.servers import freeze, thaw

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.impatient]

PATIENCE_SECONDS = 25  # of every call but those that give up early
# Of a page: two seconds, and what a loaded machine adds. The pages are asked for at once.
LONGEST_SECONDS = 15


@pytest.fixture
def frozen_redis(settings):
    """Call it, and Redis is frozen until the test ends."""
    caches = copy.deepcopy(settings.CACHES)
    caches["default"]["OPTIONS"]["SOCKET_TIMEOUT"] = PATIENCE_SECONDS
    settings.CACHES = caches
    settings.CHAT_STORE_TIMEOUT_SECONDS = settings.REDIS_RETRY_SECONDS = PATIENCE_SECONDS
    forget_repositories()
    yield lambda: freeze(valkey_pid())
    thaw(valkey_pid())


def test_every_page__is_there_in_time(frozen_redis):
    world = World.create()
    client = logged_in(create_staff(group="operator"))
    urls = ["/admin/", *(world.named_url(page) for page in pages())]

    def load(url: str) -> tuple[float, int]:
        own = Client(raise_request_exception=False)
        own.cookies = client.cookies
        began = time.monotonic()
        status = own.get(url).status_code
        took = time.monotonic() - began
        connections.close_all()
        return took, status

    frozen_redis()
    with ThreadPoolExecutor(8) as pool:
        answers = dict(zip(urls, pool.map(load, urls), strict=True))
    assert not {url: took for url, (took, _) in answers.items() if took > LONGEST_SECONDS}
    statuses = {status for _, status in answers.values()}
    assert 503 in statuses
    assert 500 not in statuses
