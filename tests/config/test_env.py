"""The environment: typed, read once, and clear about what is wrong."""

import pytest

from config import env
from config.env import cache
from config.local import generated, valkey
from tests.environment import ENVIRONMENT


@pytest.fixture
def load(monkeypatch, tmp_path):
    for name in ("REDIS_URL", "DATABASE_URL", *ENVIRONMENT):
        monkeypatch.delenv(name, raising=False)

    def load(**environ: str) -> env.Environment:
        for name, value in {"DATA_DIR": str(tmp_path), **environ}.items():
            monkeypatch.setenv(name, value)
        return env.load()

    return load


EXTERNAL = {**ENVIRONMENT, "REDIS_URL": "redis://r/0", "DATABASE_URL": "sqlite:///x"}


def error_of(load, **environ: str) -> str:
    with pytest.raises(SystemExit) as end:
        load(**environ)
    message = str(end.value)
    assert message.startswith("statekeep: ")
    assert "\n" not in message
    return message


def test_load__external(load):
    environment = load(**EXTERNAL)
    assert environment.stores == "external"
    assert environment.https is False  # HTTPS_ONLY says so
    assert environment.enrollment_tokens == ("enrol-me", "blue:blue-token")
    assert environment.effective_redis_url == "redis://r/0"


def test_load__https_is_on_with_external_stores_unless_told_otherwise(load):
    assert load(**{**EXTERNAL, "HTTPS_ONLY": ""}).https is True


def test_load__embedded_reads_what_make_run_generated(load, tmp_path):
    lines = "\n".join(f"{name}={value}" for name, value in ENVIRONMENT.items())
    (tmp_path / "settings.env").write_text(f"STORES=embedded\n{lines}\n")
    environment = load()
    assert environment.stores == "embedded"
    assert environment.effective_redis_url == f"unix://{tmp_path}/valkey.sock"
    assert environment.effective_database_url == f"sqlite:///{tmp_path}/db.sqlite3"


def test_load__the_environment_wins_over_what_was_generated(load, tmp_path):
    lines = "\n".join(f"{name}={value}" for name, value in ENVIRONMENT.items())
    (tmp_path / "settings.env").write_text(f"STORES=embedded\nHMAC_SKEW_SECONDS=5\n{lines}\n")
    assert load(HMAC_SKEW_SECONDS="7").hmac_skew_seconds == 7


def test_load__embedded_takes_recorded_values_as_they_stand(load, tmp_path, monkeypatch):
    monkeypatch.setenv("PLAN", "large")
    secret = "${PLAN} # 'and' \\ \"more\" than enough of it to be a key"
    settings = {**ENVIRONMENT, "SECRET_KEY": secret, "CHAT_MODEL": "a\nCHAT_MAX_MESSAGES=60"}
    generated.write(tmp_path / generated.FILE, settings)
    environment = load()
    assert environment.secret_key.get_secret_value() == secret
    assert environment.chat_model == settings["CHAT_MODEL"]
    assert environment.chat_max_messages == 200


def test_load__external_never_uses_generated_secrets(load, tmp_path):
    lines = "\n".join(f"{name}={value}" for name, value in ENVIRONMENT.items())
    (tmp_path / "settings.env").write_text(f"STORES=embedded\n{lines}\n")
    assert "SECRET_KEY is not set" in error_of(load, REDIS_URL="redis://r/0")


def test_load__nothing_generated_yet_says_what_generates_it(load):
    assert "`make run` generates it" in error_of(load)


def test_load__after_an_external_run_wants_its_variables(load, tmp_path):
    (tmp_path / "settings.env").write_text("STORES=external\n")
    assert "used REDIS_URL or DATABASE_URL" in error_of(load)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SECRET_KEY", "short"),
        ("SECRET_KEY", "a secret key of 49 characters, good but for that."),
        ("SECRET_KEY", "abcd" * 20),
        ("SECRET_KEY", "django-insecure-" + "a key as startproject makes it, for nobody"),
        ("CONNECTOR_SECRET_KEYS", "not-a-fernet-key"),
        ("CONNECTOR_SECRET_KEYS", ","),
        ("ENROLLMENT_TOKENS", "good-token,group:"),
        ("ENROLLMENT_TOKENS", "short"),
        ("ENROLLMENT_TOKENS", "red:the-token,blue:the-token"),
        ("ENROLLMENT_TOKENS", "g" * 65 + ":the-token"),
        ("ENROLLMENT_TOKENS", "good-token,grün:schlüssel-1"),
        ("ENROLLMENT_TOKENS", "a-tab\tin-it"),
        ("REDIS_SENTINELS", "host-without-port"),
        ("STATE_MAX_VALUE_BYTES", "0"),
        ("STATE_MAX_VALUE_BYTES", "64KiB"),
        ("HMAC_SKEW_SECONDS", "-1"),
        ("CREDENTIAL_OUTAGE_SECONDS", "-1"),
        ("LOG_LEVEL", "LOUD"),
    ],
)
def test_load__a_bad_value_is_named_and_never_shown(load, name, value):
    message = error_of(load, **{**EXTERNAL, name: value})
    assert f"{name}: " in message
    assert value not in message or value in (",", "0")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DATABASE_URL", "foo://bar"),
        ("DATABASE_URL", "mysql://user:hunter2@h/name"),
        ("DATABASE_URL", "postgresql://user:hunter2#@h/name"),
        ("DATABASE_URL", "postgresql://user:1#hunter2@h/name"),
        ("DATABASE_URL", "postgresql://user:hunter2@h:99999/name"),
        ("DATABASE_URL", "postgresql://user:hunter2\u2100@h/name"),
        ("DATABASE_URL", "postgresql://user:hunter2@h"),
        *[("DATABASE_URL", f"sqlite://{rest}") for rest in ("", "/:memory:", ":memory:")],
        ("REDIS_URL", "localhost:6379"),
        ("REDIS_URL", "http://localhost:6379"),
        ("REDIS_URL", "redis://:hunter2#@h:6379/0"),
        ("REDIS_URL", "redis://user:1#hunter2@h:6379/0"),
        ("REDIS_URL", "redis://:hunter2\u2100@h:6379/0"),
        ("REDIS_URL", "redis://:hunter2@h:99999/0"),
        ("REDIS_URL", "redis://:hunter2@h:6379/state"),
        ("REDIS_URL", "redis://:hunter2@h:6379?db=state"),
        ("REDIS_URL", "unix://run/redis.sock"),
        ("REDIS_SENTINELS", "a:99999"),
        ("REDIS_SENTINELS", "a:0"),
        ("REDIS_SENTINELS", "http://a:1"),
        ("REDIS_SENTINELS", "a:1;b:2"),
        ("REDIS_SENTINELS", "a:1 b:2"),
        ("OPENAI_BASE_URL", "http://h:99999"),
        ("OPENAI_BASE_URL", "http://h:0/v1"),
        ("OPENAI_BASE_URL", "https://user:hunter2\u2100@h/"),
        ("DAPR_HTTP_ENDPOINT", "http://h:abc"),
        ("HTTPS_PROXY", "http://user:hunter2@proxy:80x"),
        ("HTTPS_PROXY", "http://user:hunter2#@proxy:3128"),
        ("HTTP_PROXY", "proxy:99999"),
        ("ALL_PROXY", "http://:3128"),
        ("CORS_ALLOWED_ORIGINS", "https://h:99999"),
        *[
            (name, value)
            for name in ("CORS_ALLOWED_ORIGINS", "CSRF_TRUSTED_ORIGINS")
            for value in ("https://h:8443/", "h.example:8443", "https://h:443", "http://h:80")
        ],
        ("CORS_ALLOWED_ORIGINS", "https://*.example.org"),
        ("CSRF_TRUSTED_ORIGINS", "https://h.*.example"),
        ("CSRF_TRUSTED_ORIGINS", "https://H.example"),
        ("CSRF_TRUSTED_ORIGINS", "https://user@h.example"),
        *[
            ("ALLOWED_HOSTS", value)
            for value in (
                "https://h",
                "h:8443",
                "a b",
                "*.example.org",
                "fd00::2",
                "h.",
                "[::1]:80",
            )
        ],
    ],
)
def test_load__a_bad_address_is_named_and_never_shown(load, name, value):
    message = error_of(load, **{**EXTERNAL, name: value})
    assert message.startswith(f"statekeep: {name}: must be ")
    assert value not in message.partition("must be ")[2].replace("sqlite:///FILE", "")
    assert "hunter2" not in message


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DATABASE_URL", "postgresql://user:p%23w@h:5432/name?sslmode=require"),
        ("DATABASE_URL", "postgres:///name"),
        ("DATABASE_URL", "postgresql:///?service=statekeep"),
        ("DATABASE_URL", "postgresql://h/n?isolation_level=2&prepare_threshold=0"),
        ("DATABASE_URL", "sqlite:////srv/db.sqlite3"),
        ("DATABASE_URL", "sqlite:////srv/db.sqlite3?timeout=9&transaction_mode=DEFERRED"),
        ("REDIS_URL", "redis://user:p%23w@h:6379/1"),
        ("REDIS_URL", "rediss://h?db=1"),
        ("REDIS_URL", "redis://[::1]:6379"),
        ("REDIS_URL", "unix:///run/redis.sock?db=1"),
        ("REDIS_SENTINELS", "a:26379,[::1]:26379"),
        ("REDIS_SENTINELS", "redis_1.example.org:1,10.0.0.1:2,::1:3,[fe80::1%eth0]:4"),
        ("REDIS_URL", "rediss://h/0?ssl_min_version=771&socket_timeout=1.5"),
        ("OPENAI_BASE_URL", "https://user:p%23w@h:8443/v1"),
        ("ALLOWED_HOSTS", "h,H.example.org,.example.org,*,[::1],[fd00::2],10.0.0.1"),
        ("CSRF_TRUSTED_ORIGINS", "https://h,https://*.example.org:8443,http://[::1]:8000"),
        ("CORS_ALLOWED_ORIGINS", "https://app.example,http://10.0.0.1:8443,https://h:80"),
        ("DAPR_HTTP_ENDPOINT", "http://[::1]:3500"),
        ("HTTPS_PROXY", "http://user:p%23w@proxy.example:3128/"),
        ("HTTP_PROXY", "proxy:3128"),
        ("ALL_PROXY", "socks5h://[::1]:1080"),
    ],
)
def test_load__a_good_address_is_taken(load, name, value):
    environment = load(**{**EXTERNAL, name: value})
    taken = getattr(environment, name.lower())
    assert taken == (value if isinstance(taken, str) else tuple(value.split(",")))


@pytest.mark.parametrize(
    ("name", "url", "parameter"),
    [
        ("DATABASE_URL", "postgresql://u@h/n?pgbouncer=true", "pgbouncer"),
        (
            "DATABASE_URL",
            "postgresql://u@h/n?sslmode=require&connection_limit=1",
            "connection_limit",
        ),
        ("DATABASE_URL", "postgresql://u@h/n?pool=true", "pool"),
        ("DATABASE_URL", "postgresql://u@h/n?sslmode=require&sslmode=prefer", "sslmode"),
        ("DATABASE_URL", "sqlite:////srv/db.sqlite3?sslmode=require", "sslmode"),
        ("DATABASE_URL", "postgresql://u@h/n?isolation_level=x", "isolation_level"),
        ("DATABASE_URL", "postgresql://u@h/n?isolation_level=9", "isolation_level"),
        ("DATABASE_URL", "postgresql://u@h/n?prepare_threshold=abc", "prepare_threshold"),
        ("DATABASE_URL", "sqlite:////srv/db.sqlite3?timeout=abc", "timeout"),
        ("DATABASE_URL", "sqlite:////srv/db.sqlite3?transaction_mode=abc", "transaction_mode"),
        ("REDIS_URL", "redis://h/0?socket_timeout=abc", "socket_timeout"),
        ("REDIS_URL", "rediss://h/0?ssl_min_version=TLSv1.2", "ssl_min_version"),
        ("REDIS_URL", "redis://h/0?ssl_ca_certs=/ca.pem", "ssl_ca_certs"),
        ("REDIS_URL", "rediss://h/0?ssl_ca=/ca.pem", "ssl_ca"),
        ("REDIS_URL", "rediss://h/0?ssl_cert_reqs=maybe", "ssl_cert_reqs"),
        ("REDIS_URL", "unix:///run/redis.sock?host=h", "host"),
    ],
)
def test_load__an_unknown_parameter_of_a_url_is_named(load, name, url, parameter):
    message = error_of(load, **{**EXTERNAL, name: url})
    assert message.startswith(f"statekeep: {name}: ")
    assert f"{parameter!r}" in message
    assert url not in message


def test_load__blank_items_are_dropped(load):
    environment = load(**{**EXTERNAL, "ENROLLMENT_TOKENS": " first-token ,, grün:second-token,"})
    assert environment.enrollment_tokens == ("first-token", "grün:second-token")


def test_load__the_redis_of_a_dsx_connect_needs_its_environment(load):
    redis = {"DSX_CONNECT_REDIS_URL": "redis://u:s3cret@r/3"}
    message = error_of(load, **EXTERNAL, **redis)
    assert "DSX_CONNECT_REDIS_URL needs DSX_CONNECT_ENV" in message
    for wrong in ("a*", "a:b", "a b"):
        assert "DSX_CONNECT_ENV" in error_of(load, **EXTERNAL, **redis, DSX_CONNECT_ENV=wrong)
    environment = load(**EXTERNAL, **redis, DSX_CONNECT_ENV="prod")
    assert "s3cret" not in repr(environment)
    redis["DSX_CONNECT_REDIS_URL"] = "http://s3cret"
    assert "s3cret" not in error_of(load, **EXTERNAL, **redis)


def test_load__sentinels_need_a_service(load):
    environ = {**ENVIRONMENT, "DATABASE_URL": "sqlite:///x", "REDIS_SENTINELS": "a:1,b:2"}
    assert "REDIS_URL=redis://SERVICE_NAME/DB" in error_of(load, **environ)


JWKS = {
    **EXTERNAL,
    "JWT_SIGNING_KEY": "",
    "JWT_JWKS_URL": "https://issuer.example/keys",
    "JWT_ISSUER": "https://one/, https://two/",
    "JWT_AUDIENCE": "a,b",
}


def test_jwks__lists_are_split(load):
    environment = load(**JWKS, JWT_ALGORITHMS="ES256, RS256")
    assert environment.jwt_issuer == ("https://one/", "https://two/")
    assert environment.jwt_audience == ("a", "b")
    assert environment.jwt_algorithms == ("ES256", "RS256")


@pytest.mark.parametrize("algorithms", ["HS256", "RS256,none", "ES256K", ","])
def test_jwks__never_an_algorithm_with_a_secret(load, algorithms):
    assert "JWT_ALGORITHMS: " in error_of(load, **JWKS, JWT_ALGORITHMS=algorithms)


def test_jwks__needs_an_issuer_and_an_audience(load):
    for name in ("JWT_ISSUER", "JWT_AUDIENCE"):
        assert "needs JWT_ISSUER and JWT_AUDIENCE" in error_of(load, **{**JWKS, name: " , "})


def test_jwks__client_id_is_looked_for_only_beside_it(load):
    assert "JWT_AUDIENCE_CLAIM" in error_of(load, **EXTERNAL, JWT_AUDIENCE_CLAIM="client_id")


def test_cors__a_name_that_no_header_has(load):
    assert "CORS_ALLOWED_HEADERS: " in error_of(load, **EXTERNAL, CORS_ALLOWED_HEADERS="a b,c")


def test_repr__holds_no_secret(load):
    passwords = {"REDIS_URL": "redis://:hunter2@r/0", "DATABASE_URL": "postgres://u:hunter2@h/n"}
    shown = repr(load(**{**EXTERNAL, **passwords}))
    assert "hunter2" not in shown
    for name in ("SECRET_KEY", "CONNECTOR_SECRET_KEYS"):
        assert EXTERNAL[name] not in shown
    assert "enrol-me" not in shown


def test_embedded_socket__fits_into_a_socket_address(tmp_path):
    assert valkey.socket_path(tmp_path / "d").parent == tmp_path / "d"
    deep = tmp_path / ("x" * 90)
    assert len(str(valkey.socket_path(deep))) <= valkey.UNIX_SOCKET_PATH_MAX_BYTES
    assert valkey.socket_path(deep) == valkey.socket_path(deep)
    assert valkey.socket_path(deep) != valkey.socket_path(tmp_path / ("y" * 90))


@pytest.mark.parametrize("name", ["OPENAI_API_KEY", "DAPR_API_TOKEN"])
def test_load__what_no_header_can_hold_is_named_not_shown(load, name):
    for value in ("sk-clé", "sk-1\nsk-2", "sk 1"):
        message = error_of(load, **EXTERNAL, **{name: value})
        assert name in message
        assert "sk" not in message


CLUSTER = {**EXTERNAL, "REDIS_URL": "", "REDIS_CLUSTER": "a:6379,[::1]:6380"}


def test_load__a_cluster(load):
    given = {
        "REDIS_CLUSTER_USERNAME": "u",
        "REDIS_CLUSTER_PASSWORD": "p#1",
        "REDIS_CLUSTER_TLS": "true",
        "REDIS_CLUSTER_PARAMETERS": "ssl_ca_certs=/ca.pem&ssl_check_hostname=false",
    }
    environment = load(**CLUSTER, **given)
    assert (environment.stores, environment.embedded_redis) == ("external", False)
    options = cache.cluster_options(environment)
    assert options["startup_nodes"] == [("a", 6379), ("::1", 6380)]
    named = ("username", "password", "ssl", "ssl_ca_certs", "ssl_check_hostname")
    assert [options[name] for name in named] == ["u", "p#1", True, "/ca.pem", False]


def test_load__no_cluster(load):
    assert cache.cluster_options(load(**EXTERNAL)) == {}


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        ({"REDIS_URL": "redis://r/0"}, "REDIS_CLUSTER excludes REDIS_URL"),
        ({"REDIS_CLUSTER": "a"}, "REDIS_CLUSTER: "),
        ({"REDIS_CLUSTER_PARAMETERS": "ssl_ca_certs=/x"}, "REDIS_CLUSTER_TLS=true"),
        ({"REDIS_CLUSTER_PARAMETERS": "db=1"}, "no parameter 'db'"),
        ({"REDIS_CLUSTER_PARAMETERS": "ssl_ciphers=x"}, "no parameter 'ssl_ciphers'"),
    ],
)
def test_load__a_cluster_that_is_not_clear(load, environ, said):
    assert said in error_of(load, **{**CLUSTER, **environ})


def test_load__options_of_a_cluster_without_one(load):
    said = error_of(load, **EXTERNAL, REDIS_CLUSTER_PASSWORD="p")
    assert "REDIS_CLUSTER_PASSWORD needs REDIS_CLUSTER" in said
    assert "p#" not in said
