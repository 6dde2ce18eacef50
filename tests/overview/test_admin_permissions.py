"""Every page of ours in admin, found by its URL: who gets in, and what nobody sees by it."""

from collections.abc import Iterator

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission
from django.http import HttpResponse
from django.test import Client

from chat.repository import forget_repositories
from tests.admin_pages import APPS, Page, World, pages
from tests.operators import create_staff, logged_in

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _fresh_repositories():
    forget_repositories()


def answers(client: Client, world: World, page: Page) -> Iterator[HttpResponse]:
    """What a page answers to GETs and to all its forms."""
    client.raise_request_exception = False
    url = world.url(page)
    named = world.named_url(page)
    yield client.get(url, follow=True)
    yield client.get(named, follow=True)
    for form in world.forms(page):
        yield client.post(named, form, follow=True)


def assert_says_none_of(words: list[str], response: HttpResponse, page: Page) -> None:
    content = b"".join(response) if response.streaming else response.content
    said = content.decode(errors="replace") + repr(response.headers)
    for word in words:
        assert word not in said, page.pattern


def test_pages__are_found():
    assert "connector_state/connector/<path:object_id>/change/" in {p.pattern for p in pages()}


def test_page__sends_strangers_to_the_login():
    world = World.create()
    for page in pages():
        for response in (Client().get(world.url(page)), Client().post(world.url(page))):
            assert response.status_code == 302, page.pattern
            assert response["Location"].startswith("/admin/login/"), page.pattern


def test_page__is_403_for_staff_without_permission():
    world = World.create()
    client = logged_in(create_staff("auth.view_user"))  # of other things alone
    before = world.fingerprint()
    for page in pages():
        for response in answers(client, world, page):
            assert response.status_code == 403, page.pattern
            assert_says_none_of(world.words_of_values(), response, page)
    assert world.fingerprint() == before


def test_viewer__sees_no_value_and_changes_nothing():
    world = World.create()
    client = logged_in(create_staff(group="viewer"))
    before = world.fingerprint()
    for page in pages():
        for response in answers(client, world, page):
            assert response.status_code < 500, page.pattern
            assert_says_none_of(world.words_of_values(), response, page)
    assert world.fingerprint() == before


def test_value__is_for_those_alone_who_have_its_permission():
    """Not even whoever has every other permission gets it, nor anybody a secret that is there."""
    everyone = Permission.objects.filter(content_type__app_label__in=APPS)
    user = create_staff()
    user.user_permissions.set(everyone.exclude(codename="view_values"))
    for page in pages():
        world = World.create()  # the last page may have deleted it
        for response in answers(logged_in(user), world, page):
            assert response.status_code < 500, page.pattern
            assert_says_none_of(world.words_of_values(), response, page)


def test_operator__sees_no_secret_and_leaves_no_value_in_history():
    client = logged_in(create_staff(group="operator"))
    worlds = []
    for page in pages():
        worlds.append(world := World.create())
        for response in answers(client, world, page):
            assert response.status_code < 500, page.pattern
            assert_says_none_of(world.words_of_secrets(), response, page)
    history = " ".join(f"{e.object_repr} {e.change_message}" for e in LogEntry.objects.all())
    for world in worlds:
        assert not [word for word in world.words_of_values() if word in history]
