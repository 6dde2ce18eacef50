"""The page at /, and /version."""

import re
import tomllib

import pytest
from django.urls import path, resolve

from config import urls
from config.health import livez
from tests.servers import ROOT

urlpatterns = [*urls.urlpatterns, path("chat/", livez), path("api/docs/", livez)]


def links(client) -> list[str]:
    response = client.get("/")
    assert response.status_code == 200
    assert "default-src 'self'" in response["Content-Security-Policy"]
    _, _, page = response.content.decode().partition("<main")
    return re.findall(r'href="([^"]+)"', page)


def test_front_page__leads_only_to_what_is_served(client):
    found = links(client)
    assert "/admin/" in found
    for link in found:
        resolve(link)


def test_front_page__leads_to_the_chat_page_and_the_api_where_they_are_served(client, settings):
    settings.ROOT_URLCONF = __name__
    assert links(client) == ["/admin/", "/api/docs/", "/chat/"]


def test_front_page__needs_no_store_and_is_only_read(client, redis_away, django_db_blocker):
    with django_db_blocker.block():
        assert client.get("/").status_code == client.head("/").status_code == 200
        assert client.post("/").status_code == 405


def test_version__is_that_of_the_project(client):
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    answer = client.get("/version").json()
    assert answer == {"name": "Statekeep", "version": version, "revision": None}


@pytest.mark.parametrize("path", ["/version", "/livez"])
def test_version__errors_are_json(client, path):
    response = client.delete(path)
    assert (response.status_code, response.json()["code"]) == (405, "method_not_allowed")
