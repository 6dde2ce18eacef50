"""The client's address, as proxies really write it."""

import pytest
from django.contrib.auth.models import User
from django.test import RequestFactory

from common.client_ip import address_for_axes, client_address, network_of

FORMS = {
    "203.0.113.9": "203.0.113.9",
    "203.0.113.9:51234": "203.0.113.9",
    "203.0.113.9:_hidden": "203.0.113.9",
    '"203.0.113.9:51234"': "203.0.113.9",
    "2001:db8::1": "2001:db8::1",
    "2001:0DB8:0::1": "2001:db8::1",
    "[2001:db8::1]": "2001:db8::1",
    "[2001:db8::1]:443": "2001:db8::1",
    '"[2001:db8::1]:443"': "2001:db8::1",
    "[fe80::1%eth0]:443": "fe80::1",
    "fe80::1%25eth0": "fe80::1",
    "::ffff:203.0.113.9": "203.0.113.9",
    "[::ffff:203.0.113.9]:80": "203.0.113.9",
}
NO_ADDRESS = [
    "unknown",
    "_hidden",
    "garbage",
    "[]",
    ":",
    "1.2.3",
    "999.1.1.1",
    "'",
    "\x00",
    "a" * 9000,
]


def address(**headers: str) -> str:
    return client_address(RequestFactory().get("/", **headers))


@pytest.mark.parametrize(("entry", "expected"), FORMS.items())
def test_address__without_port_zone_and_brackets(settings, entry, expected):
    settings.TRUSTED_PROXY_COUNT = 1
    assert address(HTTP_X_FORWARDED_FOR=f"6.6.6.6, {entry} ") == expected
    assert address(REMOTE_ADDR=entry) == expected


@pytest.mark.parametrize("entry", NO_ADDRESS)
def test_address__unknown_is_a_value(settings, entry):
    settings.TRUSTED_PROXY_COUNT = 1
    assert address(HTTP_X_FORWARDED_FOR=f"6.6.6.6,{entry}") == "unknown"
    assert address_for_axes(RequestFactory().get("/", HTTP_X_FORWARDED_FOR=entry)) is None


def test_address__counts_proxies_from_the_right(settings):
    chain = "6.6.6.6:1,10.0.0.1:2, 10.0.0.2:3"
    for count, expected in enumerate(["127.0.0.1", "10.0.0.2", "10.0.0.1", "6.6.6.6", "127.0.0.1"]):
        settings.TRUSTED_PROXY_COUNT = count
        assert address(HTTP_X_FORWARDED_FOR=chain) == expected
    settings.TRUSTED_PROXY_COUNT = 1
    assert address(HTTP_X_FORWARDED_FOR="") == "127.0.0.1"
    assert address(REMOTE_ADDR="") == "unknown"  # a unix socket


def test_network__is_what_one_client_can_choose_its_address_from():
    assert network_of("203.0.113.9") == "203.0.113.9"
    assert network_of("2001:db8::1") == network_of("2001:db8::ffff:1") == "2001:db8::/64"
    assert network_of("2001:db8:0:1::1") == "2001:db8:0:1::/64"
    assert network_of("unknown") == "unknown"


LOG_INS = [
    ("/admin/login/", {"username": "root", "password": "wrong"}, {}),
    (
        "/api/token/",
        {"username": "root", "password": "wrong"},
        {"content_type": "application/json"},
    ),
]


@pytest.mark.django_db
@pytest.mark.parametrize("entry", ["203.0.113.9:{}", "[2001:db8::1]:{}", "unknown"])
@pytest.mark.parametrize(("path", "form", "options"), LOG_INS, ids=["pages", "api"])
def test_log_in__the_sixth_wrong_password_from_another_port_is_locked_out(
    client, settings, entry, path, form, options
):
    settings.TRUSTED_PROXY_COUNT = 1
    User.objects.create_superuser("root", password="right")

    def log_in(port: int, **more: str) -> int:
        header = entry.format(51_234 + port)
        answer = client.post(path, {**form, **more}, HTTP_X_FORWARDED_FOR=header, **options)
        return answer.status_code

    statuses = [log_in(port) for port in range(6)]
    assert statuses[0] in (200, 401)  # the page says it with a 200
    assert statuses[-1] == 429
    assert log_in(9, password="right") == 429
    elsewhere = {"HTTP_X_FORWARDED_FOR": "198.51.100.1:1", **options}
    assert client.post(path, {**form, "password": "right"}, **elsewhere).status_code in (200, 302)
