"""The document and its page, as they are served."""

import json

import pytest
import yaml

from tests.openapi import DOCUMENT

URL = "/api/schema/"


@pytest.mark.parametrize(
    ("query", "accept", "kind"),
    [
        ("", "*/*", "application/json"),
        ("", "application/yaml", "application/yaml"),
        ("?format=yaml", "application/json", "application/yaml"),
        ("?format=json", "application/yaml", "application/json"),
        ("?format=xml", "image/png", "application/json"),
    ],
)
def test_schema__is_json_or_yaml(client, query, accept, kind):
    answer = client.get(URL + query, headers={"Accept": accept})
    assert (answer.status_code, answer["Content-Type"]) == (200, kind)
    read = json.loads if kind == "application/json" else yaml.safe_load
    assert read(answer.content) == yaml.safe_load(DOCUMENT.read_bytes())


def test_schema__another_method_is_refused_in_json(client):
    answer = client.post(URL)
    assert (answer.status_code, answer.json()["code"]) == (405, "method_not_allowed")


@pytest.mark.django_db
def test_page__has_the_policy_of_pages_and_no_inline_script(client):
    answer = client.get("/api/docs/")
    assert answer.status_code == 200
    assert "default-src 'self'" in answer["Content-Security-Policy"]
    assert "unsafe" not in answer["Content-Security-Policy"]
    assert answer.content.count(b"<script") == answer.content.count(b"<script src=")
    assert b"://" not in answer.content


def test_page__goes_to_https_as_pages_do_and_the_document_does_not(client, settings):
    settings.SECURE_SSL_REDIRECT = True
    assert client.get("/api/docs/").status_code == 301
    assert client.get(URL).status_code == 200
