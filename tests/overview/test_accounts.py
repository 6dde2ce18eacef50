"""Accounts of staff: what they did stays in History."""

import pytest
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.auth.models import User
from django.contrib.contenttypes.models import ContentType

from tests.operators import create_staff, logged_in

pytestmark = pytest.mark.django_db


def test_user__who_did_something_is_not_deleted_but_deactivated():
    acted, other = (create_staff(name=name) for name in ("acted", "other"))
    entry = LogEntry(user=acted, object_id="1", object_repr="x", action_flag=CHANGE)
    entry.content_type = ContentType.objects.get_for_model(User)
    entry.save()
    client = logged_in(User.objects.create_superuser("root"))
    page = client.post(f"/admin/auth/user/{acted.pk}/delete/", {"post": "yes"})
    assert "History has entries by “acted”" in page.content.decode()
    several = {"action": "delete_selected", "_selected_action": [acted.pk, other.pk], "post": "yes"}
    client.post("/admin/auth/user/", several)
    assert User.objects.filter(pk__in=[acted.pk, other.pk]).count() == 2
    client.post(f"/admin/auth/user/{other.pk}/delete/", {"post": "yes"})
    assert not User.objects.filter(pk=other.pk).exists()
    assert LogEntry.objects.filter(user=acted).count() == 1
