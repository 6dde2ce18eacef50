"""A database that is away when the model has replied: the reply is kept once it is back."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from django.db import OperationalError

from chat.models import Turn
from chat.turns import finish
from common.database.away import is_away
from tests.chat.api.test_waiting import Waiting
from tests.chat.calls import User
from tests.chat.drive import ask

AWAY_SECONDS = 1.0


@pytest.fixture(scope="module")
def product(postgresql, model, tmp_path_factory) -> Iterator[Waiting]:
    product = Waiting(tmp_path_factory.mktemp("away"), postgresql.url, model)
    yield product
    product.stop()


@pytest.mark.parametrize("accept", ["application/json", "text/event-stream"])
def test_reply__waits_for_postgresql_to_be_back(product, postgresql, model, accept):
    name = f"away-{accept[:4]}"
    user = User(product.server, name)
    with ThreadPoolExecutor(1) as people:
        answer = people.submit(user.chat, "hello", Accept=accept)
        one = model.asked()
        postgresql.stop()
        one.say("done waiting")
        one.end()
        time.sleep(AWAY_SECONDS)
        postgresql.start()
        said = answer.result()
    assert said.status_code == 200
    assert "done waiting" in said.text
    assert '"code"' not in said.text  # of an error
    with psycopg.connect(postgresql.url) as database:
        row = database.execute("SELECT reply FROM chat_turn WHERE user_id = %s", [name])
        assert row.fetchone() == ("done waiting",)


def gone() -> OperationalError:
    error = OperationalError("the connection is lost")
    error.__cause__ = psycopg.OperationalError("the connection is lost")
    return error


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("chat_store")
@pytest.mark.parametrize("stored_meanwhile", [False, True])
def test_reply__that_was_written_though_the_answer_was_lost(monkeypatch, stored_meanwhile):
    keep, errors = finish._KEEP.run, [gone()]

    def keep_and_lose(turn: Turn) -> int:
        keep(turn)
        if errors:
            if stored_meanwhile:
                Turn.objects.update(state=Turn.State.STORED, lease_token="")
            raise errors.pop()
        raise AssertionError("it was written before")

    monkeypatch.setattr(finish._KEEP, "run", keep_and_lose)
    turn = ask("Add task: Buy milk")
    assert not errors
    assert "Buy milk" in turn.reply
    assert Turn.objects.get().reply == turn.reply


def test_is_away__by_what_postgresql_said():
    for kind, expected in (
        (psycopg.errors.AdminShutdown, True),
        (psycopg.errors.ConnectionFailure, True),
        (psycopg.errors.QueryCanceled, False),
        (psycopg.errors.SerializationFailure, False),
    ):
        error = OperationalError()
        error.__cause__ = kind()
        assert is_away(error) == expected
    assert is_away(gone())
    assert not is_away(OperationalError("disk I/O error"))  # SQLite's
