"""Staff users with permissions, as tests log them in."""

from importlib import import_module
from types import SimpleNamespace
from uuid import uuid4

from django.apps import apps
from django.contrib.auth.models import Group, Permission, User
from django.db import connection
from django.test import Client

groups_migration = import_module("overview.migrations.0002_groups")
reading_migration = import_module("overview.migrations.0003_reading_chats")


def create_groups() -> None:
    """As the migrations make them: tests with transactions of their own empty all tables."""
    editor = SimpleNamespace(connection=connection)
    groups_migration.create_groups(apps, editor)
    reading_migration.grant_reading(apps, editor)


def create_staff(*permissions: str, group: str | None = None, name: str = "staff") -> User:
    """A staff user with these permissions ("app.codename"), or in a group."""
    create_groups()
    user = User.objects.create_user(name, password="x", is_staff=True)
    for permission in permissions:
        app, codename = permission.split(".")
        user.user_permissions.add(
            Permission.objects.get(content_type__app_label=app, codename=codename)
        )
    if group is not None:
        user.groups.add(Group.objects.get(name=group))
    return user


def logged_in(user: User) -> Client:
    """A client of this user, to which errors are answers."""
    client = Client(raise_request_exception=False)
    client.force_login(user)
    return client


def connector_staff(*codenames: str) -> Client:
    """A client of somebody who has just these permissions on connectors."""
    user = User.objects.create_user(f"staff-{uuid4()}", password="x", is_staff=True)
    user.user_permissions.set(
        Permission.objects.filter(content_type__app_label="connector_state", codename__in=codenames)
    )
    return logged_in(user)
