"""Figures of each day, as the command records them."""

from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from chat.models import Conversation, Turn
from overview.figures import today
from overview.models import DailyFigures
from overview.panels.chart import draw
from tests.connectors import SigningConnector
from tests.outages import AWAY, move_redis

pytestmark = pytest.mark.django_db(transaction=True)


def record(*arguments: str, capsys) -> str:
    call_command("record_daily_figures", *arguments)
    return capsys.readouterr().out


def accept_turn(number: int) -> None:
    Turn.objects.create(
        id=str(number),
        user_id="ada",
        conversation_id="1",
        id_is_integer=True,
        accepted_at=timezone.now(),
        message="hello",
    )


def test_record__counts_turns_without_reading_all_of_them(capsys):
    if connection.vendor != "sqlite":
        pytest.skip("reads SQLite's plan")
    with CaptureQueriesContext(connection) as queries:
        record(capsys=capsys)
    (count,) = [query["sql"] for query in queries if "COUNT(*)" in query["sql"]]
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN QUERY PLAN {count}")
        assert "SEARCH chat_turn" in cursor.fetchall()[0][-1]


def test_record__what_there_is(capsys):
    connector = SigningConnector.create()
    connector.call("PUT", connector.path(), b"12345")
    Conversation.objects.create(
        user_id="ada", conversation_id="1", id_is_integer=True, message_count=4
    )
    accept_turn(1)
    assert "1 connector, 1 key, 5 bytes, 1 conversation, 4 messages, 1 turn" in record(
        capsys=capsys
    )
    row = DailyFigures.objects.get()
    assert (row.date, row.connectors, row.keys, row.bytes) == (today(), 1, 1, 5)
    assert (row.conversations, row.messages, row.turns) == (1, 4, 1)


def test_record__again_on_a_day_replaces_it(capsys):
    accept_turn(1)
    record(capsys=capsys)
    SigningConnector.create()
    Turn.objects.all().delete()  # stored, and dropped in time
    record(capsys=capsys)
    row = DailyFigures.objects.get()
    assert (row.connectors, row.turns) == (1, 1)


def test_record__keeps_so_many_days(capsys):
    for back in (1, 6, 7, 500):
        DailyFigures.objects.create(
            date=today() - timedelta(days=back), connectors=1, conversations=1, messages=1, turns=1
        )
    record("--keep-days", "7", capsys=capsys)
    kept = DailyFigures.objects.values_list("date", flat=True)
    assert [(today() - day).days for day in kept] == [6, 1, 0]


def test_record__without_redis_records_the_rest_and_ends_non_zero(settings, capsys):
    connector = SigningConnector.create()
    connector.call("PUT", connector.path(), b"12345")
    record(capsys=capsys)
    SigningConnector.create()
    move_redis(settings, AWAY)
    with pytest.raises(CommandError, match="Redis does not answer"):
        record(capsys=capsys)
    row = DailyFigures.objects.get()
    assert (row.connectors, row.keys, row.bytes) == (2, 1, 5)  # of earlier that day


def test_record__without_redis_all_day_is_not_known(settings, capsys):
    SigningConnector.create()
    move_redis(settings, AWAY)
    with pytest.raises(CommandError):
        record(capsys=capsys)
    assert DailyFigures.objects.get().keys is None


@pytest.mark.parametrize("days", ["0", "-1", "100000"])
def test_record__days_out_of_range(days, capsys):
    with pytest.raises(CommandError, match="--keep-days"):
        record("--keep-days", days, capsys=capsys)


def chart_of(*figures: int | None):
    first = today() - timedelta(days=len(figures) - 1)
    series = [(first + timedelta(days=number), figure) for number, figure in enumerate(figures)]
    return draw(series, len(figures))


def test_chart__spans_its_box_from_the_least_to_the_most():
    chart = chart_of(10, 20, 15)
    assert chart.lines == ("5.0,55.0 120.0,5.0 235.0,30.0",)
    assert (chart.lowest, chart.highest, chart.last) == (10, 20, (235.0, 30.0))


def test_chart__breaks_where_nothing_is_known():
    assert [line.count(",") for line in chart_of(1, 2, None, 3, None, 4, 5).lines] == [2, 2, 2]


def test_chart__of_one_day_of_nothing_and_of_huge_numbers():
    assert chart_of(7).lines == ("5.0,30.0 5.0,30.0",)
    assert chart_of(None, None) is None
    assert chart_of(0, 10**18).last == (235.0, 5.0)
