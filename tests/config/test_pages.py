"""Pages: their middleware, lock-out, and what production's settings promise."""

import os
import re
import subprocess
import sys
from datetime import UTC, datetime
from urllib.parse import urlencode

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils.formats import date_format

from config.errors import answers
from tests.environment import ENVIRONMENT
from tests.servers import ROOT

pytestmark = pytest.mark.django_db


def test_page__has_a_policy_and_is_never_framed(client):
    response = client.get("/admin/login/")
    assert "default-src 'self'" in response["Content-Security-Policy"]
    assert response["X-Frame-Options"] == "DENY"


def test_page__form_without_a_csrf_token_is_403():
    response = Client(enforce_csrf_checks=True).post("/admin/login/", {"username": "a"})
    assert response.status_code == 403


def test_page__of_an_error_needs_no_database(rf, django_db_blocker):
    with django_db_blocker.block():
        page = answers.server_error(rf.get("/admin/"))
    assert page.status_code == 500
    assert "check_stores" in page.content.decode()


def test_pages__times_have_one_form_and_going_back_one_word():
    at = datetime(2026, 1, 31, 23, 5, 9, tzinfo=UTC)
    assert date_format(at, "DATETIME_FORMAT") == "2026-01-31 23:05:09 UTC"
    templates = {path: path.read_text() for path in (ROOT / "templates/admin").rglob("*.html")}
    forms = {form for text in templates.values() for form in re.findall(r"\|date:.([^\"']+)", text)}
    # For machines, and for the heads of a week's days.
    assert forms == {"DATETIME_FORMAT", "DATE_FORMAT", "c", "m-d"}
    assert not [path for path, text in templates.items() if re.search(r">(Cancel|Close)<", text)]


@pytest.mark.parametrize("enctype", ["multipart/form-data", "application/x-www-form-urlencoded"])
def test_page__form_that_is_too_large_says_so(client, settings, enctype):
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 1000
    form = {"username": "x" * 2000}
    body = {"data": urlencode(form), "content_type": enctype}
    response = client.post("/admin/login/", **(body if "www" in enctype else {"data": form}))
    assert response.status_code == 400
    assert "The form is too large" in response.content.decode()


def test_page__request_that_is_refused_says_what_may_be_wrong(client):
    for response in (
        client.post("/admin/login/", {f"field{n}": "" for n in range(1001)}),
        client.get("/admin/login/", headers={"Host": "elsewhere.example"}),
    ):
        assert response.status_code == 400
        page = response.content.decode()
        assert "too many fields" in page
        assert "ALLOWED_HOSTS" in page
        assert "Back to the overview" in page


def test_page__form_that_was_refused_says_why():
    page = Client(enforce_csrf_checks=True).post("/admin/login/", {"username": "a"})
    assert "CSRF_TRUSTED_ORIGINS" in page.content.decode()


def test_api__sets_no_cookie_and_reads_none(client):
    client.force_login(User.objects.create_superuser("root", password="x"))
    response = client.get("/dsx-connect/api/v1/connectors/state/x")
    assert not response.cookies
    assert "Content-Security-Policy" not in response
    assert response["X-Content-Type-Options"] == "nosniff"


def test_login__locks_one_user_at_one_address(client):
    User.objects.create_superuser("root", password="right")
    User.objects.create_superuser("other", password="right")

    def login(username: str, password: str, address: str = "10.0.0.1") -> int:
        form = {"username": username, "password": password}
        return client.post("/admin/login/", form, REMOTE_ADDR=address).status_code

    statuses = [login("root", "wrong") for _ in range(5)]
    assert statuses[-1] == 429
    assert login("root", "right") == 429
    locked = client.post(
        "/admin/login/", {"username": "root", "password": "right"}, REMOTE_ADDR="10.0.0.1"
    )
    assert "for 15 minutes" in locked.content.decode()
    assert login("root", "right", "10.0.0.2") == 302
    assert login("other", "right") == 302


def check_deploy(**environ: str) -> subprocess.CompletedProcess[str]:
    environ = {"SECRET_KEY": "x7" * 20 + "!qwertyuiopasdfghjkl", "HTTPS_ONLY": "", **environ}
    environ |= {"REDIS_URL": "redis://r/0", "DATABASE_URL": "sqlite:///x"}
    return subprocess.run(
        [sys.executable, "manage.py", "check", "--deploy", "--fail-level", "WARNING"],
        cwd=ROOT,
        env={**os.environ, **ENVIRONMENT, **environ},
        capture_output=True,
        text=True,
    )


def test_production__check_deploy_is_clean():
    answer = check_deploy(ALLOWED_HOSTS="statekeep.example.org", TRUSTED_PROXY_COUNT="1")
    assert answer.returncode == 0, answer.stderr


def test_production__check_deploy_names_defaults_that_are_for_one_machine():
    answer = check_deploy(ALLOWED_HOSTS="localhost,127.0.0.1", TRUSTED_PROXY_COUNT="0")
    assert answer.returncode == 1
    assert re.findall(r"statekeep\.W\d+", answer.stderr) == ["statekeep.W001", "statekeep.W002"]


def test_migrations__are_complete():
    answer = subprocess.run(
        [sys.executable, "-m", "tests.manage", "makemigrations", "--check", "--dry-run"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert answer.returncode == 0, answer.stdout
