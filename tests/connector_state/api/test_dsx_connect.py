"""Connectors of a dsx-connect call here with its credentials: what they open, and what wins."""

import logging
from types import SimpleNamespace

import pytest
from django.contrib.admin.models import LogEntry
from django.core.management import call_command
from django_redis import get_redis_connection

from connector_state.credentials import cache, entries, foreign, issuing, live
from connector_state.credentials.counters import failures
from connector_state.models import Connector, Credential
from tests.connectors import SigningConnector
from tests.dsx_connect import USER
from tests.operators import create_staff, logged_in
from tests.outages import frozen_port
from tests.servers import free_port

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.in_process("changes settings, and moves the caches' clocks"),
]


@pytest.fixture(autouse=True)
def pass_by(monkeypatch):
    """Call it, and so many seconds have passed for the caches, whose clocks else stand still."""
    now = [cache.time.monotonic()]
    time = SimpleNamespace(monotonic=lambda: now[0], time=cache.time.time)
    for module in (cache, entries, foreign):
        monkeypatch.setattr(module, "time", time)
    live._foreign.reset()
    live._cache.reset()

    def pass_by(seconds: float) -> None:
        now[0] += seconds
        for each in (live._cache, live._foreign):
            each.work()

    return pass_by


@pytest.fixture
def looked_up(monkeypatch) -> list[str]:
    """The key ids that the dsx-connect's Redis was asked for."""
    asked: list[str] = []
    look_up = foreign.dsx_connect.look_up

    def note(key_ids):
        asked.extend(key_ids)
        return look_up(key_ids)

    monkeypatch.setattr(foreign.dsx_connect, "look_up", note)
    return asked


def status(connector: SigningConnector) -> int:
    return connector.get().status_code


def counted(reason: str) -> int:
    failures._tally.flush()
    return failures.daily(1)[next(iter(failures.daily(1)))].get(reason, 0)


# --- It opens what it opens there -----------------------------------------------------------------


def test_credential__of_the_dsx_connect_writes_and_reads(dsx_connect):
    connector = dsx_connect.register()
    assert connector.put("cursor").status_code == 204
    assert connector.get().json() == {"value": "cursor"}


def test_credential__is_good_for_its_own_connector_alone(dsx_connect):
    one, other = dsx_connect.register(), dsx_connect.register()
    assert one.call("GET", other.path()).json()["code"] == "other_connector"


def test_credential__with_a_wrong_secret_creates_nothing(dsx_connect):
    connector = dsx_connect.register()
    connector.secret += "x"
    assert status(connector) == 401
    assert not Connector.objects.exists()


def test_credential__signs_once(dsx_connect):
    connector = dsx_connect.register()
    target = connector.path()
    signed = connector.authorization("GET", target)
    assert connector.send("GET", target, b"", signed).status_code == 200
    assert connector.send("GET", target, b"", signed).json()["code"] == "replayed"


def test_not_configured__nothing_is_looked_up(dsx_connect, settings, looked_up):
    connector = dsx_connect.register()
    settings.DSX_CONNECT_REDIS_URL = ""
    assert status(connector) == 401
    assert looked_up == []


def test_before_any_register__a_connector_with_its_pair_set_finds_its_cursor(dsx_connect):
    """As m365 does with DSXCONNECTOR_AUTH__HMAC_KEY_ID and _SECRET: the pair that it has there."""
    uuid = dsx_connect.register().uuid
    dsx_connect.register(uuid).put("cursor")
    restarted = SigningConnector(uuid, *dsx_connect.provision(uuid))
    assert restarted.get().json() == {"value": "cursor"}


def test_before_any_register__a_connector_of_ours_with_its_pair_set_finds_its_cursor(connector):
    connector.put("cursor")
    restarted = SigningConnector(connector.uuid, connector.key_id, connector.secret)
    assert restarted.get().json() == {"value": "cursor"}


# --- What the dsx-connect's Redis must say --------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        lambda d, c: d.redis.hset(d.config_key(c.uuid), "hmac_key_id", "another1another1"),
        lambda d, c: d.redis.hdel(d.config_key(c.uuid), "hmac_key_id"),
        lambda d, c: d.redis.hset(d.config_key(c.uuid), "hmac_secret", ""),
        lambda d, c: d.redis.delete(d.config_key(c.uuid)),
        lambda d, c: d.redis.set(d.config_key(c.uuid), "no hash"),
        lambda d, c: d.redis.delete(f"dsxconnect:hmac:kid:{c.key_id}"),
        lambda d, c: d.redis.rename(d.config_key(c.uuid), f"dsxconnect:hmac:kid:{c.key_id}"),
        lambda d, c: d.redis.set(f"dsxconnect:hmac:kid:{c.key_id}", b"\xff"),
        lambda d, c: rename(d, c, c.uuid.upper()),
        lambda d, c: rename(d, c, f"{{{c.uuid}}}"),
        lambda d, c: rename(d, c, "not-a-uuid"),
    ],
)
def test_layout__that_is_not_the_key_ids_own_opens_nothing(dsx_connect, change):
    connector, neighbour = dsx_connect.register(), dsx_connect.register()
    change(dsx_connect, connector)
    assert status(connector) == 401
    assert status(neighbour) == 200


def rename(dsx_connect, connector, uuid: str) -> None:
    """Store the whole credential under another spelling of the UUID."""
    dsx_connect.redis.rename(dsx_connect.config_key(connector.uuid), dsx_connect.config_key(uuid))
    dsx_connect.redis.set(f"dsxconnect:hmac:kid:{connector.key_id}", uuid)


# --- What is ours wins ----------------------------------------------------------------------------

ENDS = {
    "live": lambda c: None,
    "revoked": lambda c: issuing.revoke_credential(c.key_id),
    "expired": lambda c: Credential.objects.update(expires_at=issuing.timezone.now()),
    "of a disabled connector": lambda c: Connector.objects.update(enabled=False),
}


@pytest.mark.parametrize("end", ENDS)
def test_known__key_ids_are_never_looked_up(dsx_connect, connector, looked_up, pass_by, end):
    """Not even where the dsx-connect has the same one."""
    dsx_connect.redis.hset(
        dsx_connect.config_key(connector.uuid),
        mapping={"hmac_key_id": connector.key_id, "hmac_secret": connector.secret},
    )
    dsx_connect.redis.set(f"dsxconnect:hmac:kid:{connector.key_id}", connector.uuid)
    ENDS[end](connector)
    for _ in range(3):
        assert status(connector) == (200 if end == "live" else 401)
        pass_by(11)
    assert looked_up == []


def test_known__key_ids_are_not_even_looked_up_where_our_cache_has_forgotten_them(
    dsx_connect, connector, looked_up
):
    issuing.revoke_credential(connector.key_id)
    theirs = dsx_connect.register()
    rows = foreign.ForeignSource().read([connector.key_id, theirs.key_id])
    assert looked_up == [row[0] for row in rows] == [theirs.key_id]


def test_known__from_now_on_a_key_id_is_not_the_dsx_connects(dsx_connect, pass_by):
    connector = dsx_connect.register()
    assert status(connector) == 200
    row = Connector.objects.get()
    encrypted = issuing.encryption.encrypt(connector.secret)
    Credential.objects.create(connector=row, key_id=connector.key_id, encrypted_secret=encrypted)
    pass_by(11)
    assert status(connector) == 200
    Credential.objects.update(revoked_at=issuing.timezone.now())
    pass_by(1)
    assert status(connector) == 401


def test_ours__is_refused_until_it_is_accepted(dsx_connect, connector, pass_by, caplog):
    theirs = dsx_connect.register(connector.uuid)
    connector.put("ours")
    with caplog.at_level(logging.WARNING):
        response = theirs.get()
    assert (response.status_code, response.json()["code"]) == (401, "bad_signature")
    assert counted("foreign_not_accepted") == 1
    assert theirs.key_id in caplog.text and theirs.secret not in caplog.text
    Connector.objects.update(accepts_dsx_connect=True)
    pass_by(1)
    assert theirs.get().json() == {"value": "ours"}
    Connector.objects.update(accepts_dsx_connect=False)
    pass_by(1)
    assert status(theirs) == 401
    assert status(connector) == 200


def test_policy__is_ours(dsx_connect, pass_by):
    connector = dsx_connect.register()
    assert status(connector) == 200
    call_command("set_policy", connector.uuid, "--read-only", "--namespaces", "m365")
    pass_by(1)
    assert connector.put("v").json()["code"] == "read_only"
    assert connector.get(ns="other").json()["code"] == "namespace_not_allowed"


def test_disabling__is_ours_and_at_once(dsx_connect, pass_by):
    connector = dsx_connect.register()
    assert status(connector) == 200
    call_command("set_policy", connector.uuid, "--no-enabled")
    assert status(connector) == 401
    pass_by(1)
    get_redis_connection().flushall()  # the mark is gone after a day
    assert status(connector) == 401
    call_command("set_policy", connector.uuid, "--enabled")
    pass_by(1)
    assert status(connector) == 200


@pytest.mark.parametrize("delete", ["one", "all"])
def test_disabling__outlives_the_row(dsx_connect, pass_by, delete):
    connector = dsx_connect.register()
    assert status(connector) == 200
    Connector.objects.update(enabled=False)
    Connector.objects.get().delete() if delete == "one" else Connector.objects.all().delete()
    pass_by(1)
    assert status(connector) == 401
    assert not Connector.objects.exists()
    # An operator who creates it again has the say again.
    issuing.create_connector("again", connector.uuid, accepts_dsx_connect=True)
    pass_by(10)
    assert status(connector) == 200
    Connector.objects.all().delete()
    pass_by(1)
    assert status(connector) == 200  # it was not disabled


# --- Rows -----------------------------------------------------------------------------------------


def test_row__appears_after_the_first_verified_signature(dsx_connect, pass_by):
    connector = dsx_connect.register()
    connector.client.get(connector.path())
    assert not Connector.objects.exists()
    for _ in range(3):
        assert status(connector) == 200
    row = Connector.objects.get()
    assert (str(row.pk), row.accepts_dsx_connect, row.came_from_dsx_connect, row.enabled) == (
        *(connector.uuid, True, True),
        True,
    )
    assert not Credential.objects.exists()
    pass_by(1)
    assert status(connector) == 200


def test_rows__are_limited_in_number(dsx_connect, connector, settings, caplog, pass_by):
    settings.DSX_CONNECT_MAX_CONNECTORS = 2
    first, second, third = (dsx_connect.register() for _ in range(3))
    assert [status(each) for each in (first, second)] == [200, 200]
    response = third.get()
    assert (response.status_code, response.json()["code"]) == (403, "dsx_connect_full")
    assert "DSX_CONNECT_MAX_CONNECTORS" in response.json()["detail"]
    assert f"connector {third.uuid} of the dsx-connect is refused: 2 came" in caplog.text
    assert counted("dsx_connect_full") == 1
    assert Connector.objects.count() == 3
    pass_by(1)
    assert [status(each) for each in (first, second, connector)] == [200, 200, 200]


def test_row__that_an_operator_creates_meanwhile_is_not_taken_over(dsx_connect):
    connector = dsx_connect.register()
    live.find_live(connector.key_id)
    issuing.create_connector("ours", connector.uuid)
    assert status(connector) == 401


# --- Time, rate and outages -----------------------------------------------------------------------


def test_found__is_asked_again_after_ten_seconds(dsx_connect, pass_by, looked_up):
    connector = dsx_connect.register()
    for _ in range(9):
        assert status(connector) == 200
        pass_by(1)
    assert looked_up == [connector.key_id]
    dsx_connect.redis.delete(dsx_connect.config_key(connector.uuid))
    assert status(connector) == 200
    pass_by(2)
    assert status(connector) == 401
    new = dsx_connect.register(connector.uuid)
    assert status(new) == 200


def test_not_found__is_asked_again_after_ten_seconds(dsx_connect, pass_by, looked_up):
    connector = dsx_connect.register()
    dsx_connect.redis.rename(f"dsxconnect:hmac:kid:{connector.key_id}", "elsewhere")
    for _ in range(9):
        assert status(connector) == 401
        pass_by(1)
    assert looked_up == [connector.key_id]
    dsx_connect.redis.rename("elsewhere", f"dsxconnect:hmac:kid:{connector.key_id}")
    pass_by(2)
    assert status(connector) == 200


def test_invented__key_ids_are_limited_in_rate(
    dsx_connect, connector, settings, looked_up, pass_by
):
    settings.DSX_CONNECT_LOOKUPS_PER_SECOND = 5
    known, unknown = dsx_connect.register(), dsx_connect.register()
    assert status(known) == 200
    pass_by(1)
    invented = [SigningConnector(known.uuid, f"invented{n}", "x") for n in range(20)]
    assert [status(each) for each in invented] == [401] * 5 + [503] * 15
    assert len(looked_up) == 6
    assert unknown.get().json()["code"] == "busy"
    assert [status(each) for each in (known, connector)] == [200, 200]
    Connector.objects.update(max_keys=5)
    live._foreign._look()  # which makes it read the known one again
    assert status(known) == 200
    assert counted("look_ups_limited") == 16
    pass_by(1)
    assert status(unknown) == 200


def test_invented__key_ids_of_one_address_leave_room_for_others(dsx_connect, settings, pass_by):
    settings.DSX_CONNECT_LOOKUPS_PER_SECOND = 5
    first, second = dsx_connect.register(), dsx_connect.register()
    pass_by(1)

    def invent(number: int, address: str) -> int:
        stranger = SigningConnector(first.uuid, f"invented{number}", "x")
        return stranger.get(REMOTE_ADDR=address).status_code

    assert [invent(n, f"2001:db8::{n}") for n in range(7)] == [401] * 5 + [503] * 2
    assert first.get(REMOTE_ADDR="2001:db8:0:1::1").status_code == 200
    pass_by(1)
    statuses = [invent(100 + n, f"10.0.0.{n // 5}") for n in range(55)]
    assert statuses == [401] * 50 + [503] * 5
    refused = second.get(REMOTE_ADDR="10.0.0.200")
    assert (refused.status_code, refused.json()["code"]) == (503, "busy")
    assert int(refused["Retry-After"]) >= 1
    pass_by(1)
    assert second.get(REMOTE_ADDR="10.0.0.200").status_code == 200


@pytest.fixture
def cut(settings, dsx_connect):
    """Call it, and nobody listens where that Redis was; its result brings it back."""

    def cut(port: int | None = None):
        before = settings.DSX_CONNECT_REDIS_URL
        settings.DSX_CONNECT_REDIS_URL = f"redis://127.0.0.1:{port or free_port()}/0"

        def bring_back() -> None:
            settings.DSX_CONNECT_REDIS_URL = before

        return bring_back

    return cut


def test_outage__known_ones_go_on_and_then_are_503(dsx_connect, connector, cut, pass_by, caplog):
    known, unknown, revoked = (
        dsx_connect.register(),
        dsx_connect.register(),
        SigningConnector.create("revoked"),
    )
    known.put("v")
    issuing.revoke_credential(revoked.key_id)
    bring_back = cut()
    for seconds in (1, 15, 280):
        pass_by(seconds)
        assert known.get().json() == {"value": "v"}
        assert connector.put("ours").status_code == 204
        assert status(revoked) == 401
        assert unknown.get().json()["code"] == "dsx_connect_unavailable"
    pass_by(10)
    refused = known.get()
    assert (refused.status_code, refused.json()["code"]) == (503, "dsx_connect_unavailable")
    assert "Retry-After" in refused
    assert status(connector) == 200
    bring_back()
    pass_by(1)
    assert [status(each) for each in (known, unknown, connector)] == [200, 200, 200]
    assert known.secret not in caplog.text


def test_outage__of_a_length_of_zero(dsx_connect, cut, pass_by, settings):
    settings.CREDENTIAL_OUTAGE_SECONDS = 0
    known = dsx_connect.register()
    assert status(known) == 200
    cut()
    pass_by(2.1)
    assert status(known) == 503


def test_outage__of_our_database_alone_leaves_known_ones_in(dsx_connect, pass_by, monkeypatch):
    known = dsx_connect.register()
    assert status(known) == 200
    pass_by(1)
    assert status(known) == 200

    def refuse(*args: object) -> None:
        raise foreign.database.Error("refused")

    monkeypatch.setattr(foreign.database, "_fetch_once", refuse)
    pass_by(10)
    assert status(known) == 200


def test_frozen__redis_is_given_up(dsx_connect, connector, cut, pass_by):
    known, unknown = dsx_connect.register(), dsx_connect.register()
    assert status(known) == 200
    with frozen_port() as port:
        cut(port)
        pass_by(3)
        assert [status(each) for each in (known, unknown, connector)] == [200, 503, 200]


# --- A user who may GET and HMGET those keys ------------------------------------------------------


def test_acl__every_command_was_get_or_hmget(dsx_connect):
    dsx_connect.redis.config_resetstat()
    dsx_connect.redis.execute_command("ACL", "LOG", "RESET")
    assert status(dsx_connect.register()) == 200
    assert dsx_connect.redis.execute_command("ACL", "LOG") == []
    sent = dsx_connect.redis.info("commandstats")
    assert sent["cmdstat_get"]["calls"] and sent["cmdstat_hmget"]["calls"]


def test_acl__that_does_not_suffice_is_an_outage(dsx_connect, connector, settings):
    settings.DSX_CONNECT_ENV = "dev"  # whose keys the user may not read
    assert dsx_connect.register().get().json()["code"] == "dsx_connect_unavailable"
    assert status(connector) == 200


def test_secrets__are_nowhere(dsx_connect, connector, caplog, pass_by, admin_client):
    theirs, new = dsx_connect.register(connector.uuid), dsx_connect.register()
    with caplog.at_level(logging.DEBUG):
        for each in (theirs, new):
            each.get()
            each.put("v")
            each.secret, secret = "wrong", each.secret
            each.get()
            each.secret = secret
        pass_by(10)
    credential = live.find_live(new.key_id)
    assert credential is not None
    page = admin_client.get(f"/admin/connector_state/connector/{connector.uuid}/change/")
    stored = get_redis_connection()
    values = [stored.dump(key) or b"" for key in stored.scan_iter()]
    for each in (theirs, new):
        assert each.secret not in caplog.text + repr(credential) + page.text
        assert not any(each.secret.encode() in value for value in values)
    assert set(Credential.objects.values_list("key_id", flat=True)) == {connector.key_id}


# --- How it is shown ------------------------------------------------------------------------------


LIST = "/admin/connector_state/connector/"


def page_of(connector: SigningConnector, tail: str) -> str:
    return f"{LIST}{connector.uuid}/{tail}"


def test_admin__an_operator_accepts_and_refuses_it(dsx_connect, connector, pass_by):
    permissions = ("view_connector", "change_connector", "view_credential", "add_credential")
    staff = create_staff(*(f"connector_state.{each}" for each in permissions))
    operator = logged_in(staff)
    theirs = dsx_connect.register(connector.uuid)
    page = operator.get(page_of(connector, "change/")).text
    assert "It is refused" in page and theirs.key_id in page
    for tail, answer in (("accept/", 200), ("refuse/", 401)):
        assert page_of(connector, tail) in operator.get(page_of(connector, "change/")).text
        assert "dsx-connect" in operator.get(page_of(connector, tail)).text
        for _ in range(2):
            assert operator.post(page_of(connector, tail)).status_code == 302
        pass_by(1)
        assert status(theirs) == answer
    entries = LogEntry.objects.order_by("pk").values_list("change_message", flat=True)
    assert list(entries) == [
        "Accepted the credential of the dsx-connect.",
        "Refused the credential of the dsx-connect.",
    ]


@pytest.mark.parametrize("permission", ["change_connector", "add_credential"])
def test_admin__accepting_takes_both_permissions(dsx_connect, connector, permission):
    user = create_staff("connector_state.view_connector", f"connector_state.{permission}")
    for tail in ("accept/", "refuse/"):
        assert logged_in(user).post(page_of(connector, tail)).status_code == 403
    assert (
        page_of(connector, "accept/") not in logged_in(user).get(page_of(connector, "change/")).text
    )


def test_admin__shows_what_there_is(dsx_connect, connector, admin_client, cut, settings):
    def shown(each: SigningConnector) -> str:
        return admin_client.get(page_of(each, "change/")).text

    assert "has none for this UUID" in shown(connector)
    theirs = dsx_connect.register()
    assert status(theirs) == 200
    assert "by its first call with a credential of the dsx-connect" in shown(theirs)
    assert "None was issued here" in shown(theirs)
    assert "none live, and the dsx-connect&#x27;s" in admin_client.get(LIST).text
    cut()
    assert "it is unknown whether there is one" in shown(theirs)
    settings.DSX_CONNECT_REDIS_URL = ""
    assert "Credential of the dsx-connect" not in shown(connector)


def test_admin__counts_what_is_refused(dsx_connect, connector, admin_client):
    dsx_connect.register(connector.uuid).get()
    failures._tally.flush()
    page = admin_client.get("/admin/").text
    assert "the dsx-connect&#x27;s credential is not accepted for a connector" in page
    assert "dsx-connect&#x27;s Redis" in page


def test_readyz__says_how_it_is_and_stays_ready(dsx_connect, client, cut):
    for path in ("/readyz", "/readyz?for=state"):
        assert client.get(path).json()["dsx_connect"] == "ok"
    cut()
    for path in ("/readyz", "/readyz?for=state"):
        response = client.get(path)
        assert (response.status_code, response.json()["dsx_connect"]) == (200, "does not answer")


def test_readyz__without_one_is_silent_about_it(client):
    assert "dsx_connect" not in client.get("/readyz").json()


def test_acl__of_another_database_takes_select_besides(dsx_connect, settings):
    """The dsx-connect's own default is database 3."""
    connector = dsx_connect.register()
    keys = [dsx_connect.config_key(connector.uuid), f"dsxconnect:hmac:kid:{connector.key_id}"]
    for key in keys:
        dsx_connect.redis.move(key, 3)
    settings.DSX_CONNECT_REDIS_URL = dsx_connect.url.removesuffix("0") + "3"
    foreign.dsx_connect._client_of.cache_clear()  # its connections have selected it already
    assert status(connector) == 503
    dsx_connect.redis.execute_command("ACL", "SETUSER", USER, "+select")
    assert status(connector) == 200
    dsx_connect.redis.execute_command("ACL", "SETUSER", USER, "-select")
