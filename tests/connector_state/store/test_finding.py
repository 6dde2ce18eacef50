"""Keys by any part of their name."""

import pytest
from django_redis import get_redis_connection

from connector_state.store import finding
from connector_state.store.calls import Caller
from connector_state.store.finding import find_keys
from connector_state.store.keys import Address, connector_keys
from connector_state.store.values import StateStore

ONE, TWO = (f"00000000-0000-4000-8000-00000000000{number}" for number in (1, 2))


def put(uuid: str, *keys: str, namespace: str = "m365") -> None:
    for key in keys:
        StateStore(uuid, Caller.operator("tests")).put(Address(namespace, key), b"v")


def names(*uuids: str, text: str, **options) -> list[str]:
    return [address.key for _, address in find_keys(uuids, text, **options).keys]


def test_find__any_part_of_the_key_and_of_nothing_else():
    put(ONE, "drive-items/cursor", "delta:of-contoso", "m365")
    assert names(ONE, text="items/c") == ["drive-items/cursor"]
    assert names(ONE, text="of-") == names(ONE, text="delta:") == ["delta:of-contoso"]
    assert names(ONE, text="m365") == ["m365"]  # the namespace of all is no part of the key
    assert names(ONE, text="Drive") == []


@pytest.mark.parametrize("text", ["*", "?", "[a]", "\\", "a*b", "^", "é"])
def test_find__takes_each_character_as_it_is(text):
    put(ONE, f"x{text}y", "other")
    assert names(ONE, text=text) == [f"x{text}y"]


def test_find__in_one_namespace_or_in_several_connectors():
    put(ONE, "cursor-1")
    put(ONE, "cursor-2", namespace="m365-b")
    put(TWO, "cursor-3")
    assert names(ONE, text="cursor", namespace="m365") == ["cursor-1"]
    assert names(ONE, text="cursor", namespace="*") == []
    assert [uuid for uuid, _ in find_keys([ONE, TWO], "cursor").keys] == [ONE, ONE, TWO]


def test_find__says_when_it_was_cut_short(monkeypatch):
    monkeypatch.setattr(finding, "SCANNED_AT_ONCE", 100)
    members = {f"m365:key-{number:05}": 0 for number in range(2000)}
    get_redis_connection().zadd(connector_keys(ONE).named("index"), members)
    assert len(find_keys([ONE], "key", most=2000).keys) == 2000
    assert not find_keys([ONE], "key-0123", most=10).is_cut
    by_number = find_keys([ONE], "key", most=50)
    assert (len(by_number.keys), by_number.is_cut) == (50, True)
    assert find_keys([ONE, TWO], "key-0123", seconds=-1).is_cut


def test_find__goes_on_where_the_time_was_up(monkeypatch):
    monkeypatch.setattr(finding, "SCANNED_AT_ONCE", 100)
    members = {f"m365:key-{number:05}": 0 for number in range(500)}
    get_redis_connection().zadd(connector_keys(ONE).named("index"), members)
    # The clock jumps behind the first step.
    found, cursor, steps = set(), 0, 0
    while cursor or not steps:
        clock = iter([0.0, 0.0])
        monkeypatch.setattr(finding.time, "monotonic", lambda clock=clock: next(clock, 9.0))
        step = find_keys([ONE], "key", most=1000, cursor=cursor)
        found |= {address.member for _, address in step.keys}
        cursor, steps = step.cursor, steps + 1
    assert found == set(members)
    assert steps > 1
