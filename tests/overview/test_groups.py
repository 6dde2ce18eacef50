"""The groups that a migration makes: viewer and operator."""

import pytest
from django.contrib.auth.models import Group, Permission, User
from django.core.management import call_command

from tests.operators import create_groups, groups_migration

pytestmark = pytest.mark.django_db(transaction=True)


def granted(name: str) -> set[str]:
    return {
        f"{permission.content_type.app_label}.{permission.codename}"
        for permission in Group.objects.get(name=name).permissions.select_related("content_type")
    }


def migrate(target: str) -> None:
    call_command("migrate", "overview", target, verbosity=0)


@pytest.fixture
def _migrated():
    yield
    call_command("migrate", "overview", verbosity=0)


def test_viewer__sees_everything_but_values():
    create_groups()
    wanted = {
        "connector_state.view_connector",
        "connector_state.view_credential",
        "connector_state.view_enrolmentchange",
        "connector_state.view_keys",
        "chat.view_conversation",
    }
    assert granted("viewer") == wanted


def test_operator__changes_too():
    create_groups()
    assert granted("operator") - granted("viewer") == {
        "connector_state.view_values",
        "connector_state.change_keys",
        "connector_state.delete_keys",
        "connector_state.add_connector",
        "connector_state.change_connector",
        "connector_state.add_credential",
        "connector_state.change_credential",
        "chat.change_conversation",
        "chat.delete_conversation",
        "chat.read_conversation",
    }
    assert granted("viewer") <= granted("operator")


def test_migration__makes_the_permissions_that_are_not_there_yet(_migrated):
    migrate("0001")
    Permission.objects.all().delete()
    migrate("0002")
    assert "connector_state.view_values" in granted("operator")


def test_migration__leaves_what_a_group_has_besides(_migrated):
    migrate("0001")
    own = Permission.objects.get(codename="view_user")
    Group.objects.create(name="viewer").permissions.add(own)
    migrate("0002")
    assert "auth.view_user" in granted("viewer")
    assert "chat.view_conversation" in granted("viewer")
    migrate("0001")
    assert granted("viewer") == {"auth.view_user"}


def test_migration__back_and_forth(_migrated):
    create_groups()
    create_groups()
    assert Group.objects.count() == 2
    migrate("0001")
    assert not Group.objects.exists()


def test_migration__back_keeps_a_group_that_has_people(_migrated):
    create_groups()
    User.objects.create_user("ada").groups.add(Group.objects.get(name="viewer"))
    migrate("0001")
    assert granted("viewer") == set()
    assert set(groups_migration.GROUPS) - set(Group.objects.values_list("name", flat=True)) == {
        "operator"
    }


def test_reading__is_taken_from_viewers_and_left_to_those_who_repair(_migrated, capsys):
    migrate("0001")
    migrate("0002")
    Permission.objects.filter(codename="read_conversation").delete()
    view, change = (
        Permission.objects.get(codename=f"{name}_conversation") for name in ("view", "change")
    )
    for name, permissions in (("ada", [view]), ("bob", [view, change]), ("cid", [change])):
        User.objects.create_user(name).user_permissions.set(permissions)
    migrate("0003")
    reading = Permission.objects.get(codename="read_conversation")
    assert [user.username for user in reading.user_set.all()] == ["bob"]
    assert "chat.read_conversation" in granted("operator")
    assert "chat.read_conversation" not in granted("viewer")
    said = capsys.readouterr().out
    assert "Groups ['viewer'] and 1 people by their own permissions" in said
    migrate("0002")
    assert not reading.user_set.exists()
