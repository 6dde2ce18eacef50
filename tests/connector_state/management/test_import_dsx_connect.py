"""`import_dsx_connect`: a dsx-connect's connectors, taken over for good."""

import pytest
from django.conf import settings as django_settings
from django.core.management import CommandError, call_command
from django_redis import get_redis_connection

from connector_state.credentials import issuing, live
from connector_state.models import Connector, Credential
from tests.connectors import SigningConnector
from tests.environment import data_dir

pytestmark = pytest.mark.django_db


@pytest.fixture
def origin(dsx_connect, settings):
    """A dsx-connect whose Redis the command may read as a whole."""
    settings.DSX_CONNECT_REDIS_URL = dsx_connect.administrators_url
    return dsx_connect


@pytest.fixture
def run(capsys):
    def run(*arguments: str) -> str:
        call_command("import_dsx_connect", *arguments)
        return capsys.readouterr().out

    return run


@pytest.fixture
def left(settings):
    """Call it, and the dsx-connect is no longer looked up."""

    def left() -> None:
        settings.DSX_CONNECT_REDIS_URL = ""

    return left


def everything() -> object:
    """Values, index, connectors and credentials. (An audit says that the command looked.)"""
    redis = get_redis_connection()
    kinds = ("dsxconnect:*", "*:index", "*:sizes", "*:expiries")
    keys = {key: redis.dump(key) for kind in kinds for key in redis.scan_iter(kind)}
    return keys, list(Connector.objects.values()), list(Credential.objects.values())


def test_import__takes_over_state_and_credentials_for_good(origin, run, left):
    one, other = origin.register(), origin.register()
    for connector in (one, other):
        origin.store(connector.uuid, "m365", "delta:user@contoso", f"cursor of {connector.uuid}")
        origin.store(connector.uuid, "m365", "", "no address")
    out = run()
    assert "Took over, of 2 connectors: 2 connectors, 2 credentials, 2 values" in out
    assert f"{one.uuid}: credential taken over" in out
    assert one.secret not in out
    left()
    for connector in (one, other):
        value = connector.get("delta:user@contoso").json()["value"]
        assert value == f"cursor of {connector.uuid}"
        listing = connector.call("GET", connector.path().rpartition("/")[0]).json()
        assert [row["key"] for row in listing["keys"]] == ["delta:user@contoso"]
        assert not Connector.objects.get(pk=connector.uuid).accepts_dsx_connect


def test_import__dry_run_says_what_it_would_do_and_does_nothing(origin, run):
    connector = origin.register()
    origin.store(connector.uuid, "m365", "delta", "v")
    before = everything()
    out = run("--dry-run")
    assert "Would take over, of 1 connectors: 1 connectors, 1 credentials, 1 values" in out
    assert everything() == before
    assert "1 connectors, 1 credentials, 1 values" in run()


def test_import__a_second_run_changes_nothing(origin, run):
    for _ in range(3):
        connector = origin.register()
        origin.store(connector.uuid, "m365", "delta", "v")
    origin.redis.expire(f"dsxconnect:connector_state:{connector.uuid}:m365:delta", 1000)
    run()
    before = everything()
    out = run()
    assert "of 3 connectors: 0 connectors, 0 credentials, 0 values; kept 0" in out
    assert "not taken over" not in out
    assert everything() == before
    assert 990 <= int(connector.get().headers["State-TTL"]) <= 1000


def test_import__state_only_leaves_the_credentials_there(origin, run, left):
    connector = origin.register()
    origin.store(connector.uuid, "m365", "delta", "v")
    assert "1 connectors, 0 credentials, 1 values" in run("--state-only")
    assert not Credential.objects.exists()
    assert connector.get().json() == {"value": "v"}
    assert "0 connectors, 0 credentials, 0 values" in run("--state-only")
    left()
    assert connector.get().status_code == 401
    assert Connector.objects.get().accepts_dsx_connect


def test_import__what_is_here_is_kept_unless_it_says_otherwise(origin, run, connector):
    connector.put("ours")
    origin.store(connector.uuid, "m365", "delta", "theirs")
    assert "1 different values kept as they are here" in run()
    assert connector.get().json() == {"value": "ours"}
    assert "1 values" in run("--overwrite")
    assert connector.get().json() == {"value": "theirs"}


def test_import__a_connector_that_was_here_first_keeps_its_credentials(origin, run, connector):
    theirs = origin.register(connector.uuid)
    assert "not taken over: this connector was here first" in run()
    assert theirs.get().status_code == 401
    Connector.objects.update(accepts_dsx_connect=True)
    assert "1 credentials" in run()
    live.clear_cache()
    assert theirs.get().status_code == connector.get().status_code == 200


def test_import__what_is_revoked_here_stays_so(origin, run):
    connector = origin.register()
    run()
    issuing.revoke_credential(connector.key_id)
    assert "0 credentials" in run()
    assert connector.get().status_code == 401


def test_import__a_key_id_of_another_connector_is_told(origin, run, connector):
    uuid = origin.register().uuid
    origin.redis.hset(origin.config_key(uuid), "hmac_key_id", connector.key_id)
    origin.redis.set(f"dsxconnect:hmac:kid:{connector.key_id}", uuid)
    assert "its key id belongs to another connector here" in run()
    assert Credential.objects.get().connector_id != uuid


def test_import__what_was_deleted_while_disabled_does_not_come_back(origin, run):
    connector = origin.register()
    origin.store(connector.uuid, "m365", "delta", "v")
    issuing.create_connector("x", connector.uuid, enabled=False)
    Connector.objects.get().delete()
    assert "skipped: it was deleted here while it was disabled" in run()
    assert not Connector.objects.exists()


def test_import__odd_things_are_skipped_and_told(origin, run, settings):
    settings.STATE_MAX_VALUE_BYTES = 10
    uuid = origin.register().uuid
    origin.redis.hset(origin.config_key("not-a-uuid"), "hmac_key_id", "x")
    origin.redis.set("dsxconnect:connector_state:not-a-uuid:m365:delta", "v")
    prefix = f"dsxconnect:connector_state:{uuid}:"
    origin.redis.lpush(f"{prefix}m365:a", "a list")
    origin.redis.set(f"{prefix}m365:b", "far too large a value")
    origin.redis.set(f"{prefix}m365:\n", "v")
    origin.redis.set(prefix.encode() + b"m365:\xff", "v")
    origin.redis.set(f"{prefix}m365:c", b"\xff")
    out = run()
    assert "of 1 connectors: 1 connectors, 1 credentials, 1 values" in out
    assert "4 values skipped" in out


def test_import__a_user_who_may_not_scan_is_told(origin, run, settings):
    settings.DSX_CONNECT_REDIS_URL = origin.url
    with pytest.raises(CommandError, match="permission"):
        run()


def test_import__without_a_dsx_connect(run):
    with pytest.raises(CommandError, match="Set DSX_CONNECT_REDIS_URL"):
        run()


@pytest.mark.skipif(
    bool(django_settings.REDIS_CLUSTER), reason="a dsx-connect's Redis is a single one"
)
def test_import__from_our_own_redis_leaves_the_values_in_place(db, run, settings):
    settings.DSX_CONNECT_REDIS_URL = f"unix://{data_dir()}/valkey.sock"
    settings.DSX_CONNECT_ENV = "prod"
    assert django_settings.CACHES["default"]["LOCATION"] == settings.DSX_CONNECT_REDIS_URL
    uuid = "3f8e0c8e-6f0a-4c8e-9a52-2f1d6c7b9e11"
    get_redis_connection().set(f"dsxconnect:connector_state:{uuid}:m365:delta", "v")
    assert "run reindex_connector_state" in run()
    call_command("reindex_connector_state")
    issued = issuing.issue_credential(Connector.objects.get())
    connector = SigningConnector(uuid, issued.key_id, issued.secret)
    assert connector.get().json() == {"value": "v"}
