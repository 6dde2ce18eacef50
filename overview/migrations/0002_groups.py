"""Two groups to put people into: viewer and operator."""

from django.apps import apps as installed
from django.contrib.auth.management import create_permissions
from django.db import migrations

VIEWER = {
    "connector_state": (
        "view_connector",
        "view_credential",
        "view_enrolmentchange",
        "view_keys",
    ),
    "chat": ("view_conversation",),
}
OPERATOR = {
    "connector_state": (
        *VIEWER["connector_state"],
        "view_values",
        "change_keys",
        "delete_keys",
        "add_connector",
        "change_connector",
        "add_credential",
        "change_credential",
    ),
    "chat": (*VIEWER["chat"], "change_conversation", "delete_conversation"),
}
GROUPS = {"viewer": VIEWER, "operator": OPERATOR}


def create_groups(apps, schema_editor):
    """Give the groups what they should have; what an existing one has besides stays."""
    alias = schema_editor.connection.alias
    for label in VIEWER:  # Django creates permissions only after the last migration
        config = installed.get_app_config(label)
        create_permissions(config, verbosity=0, interactive=False, using=alias, apps=apps)
    for name, granted in GROUPS.items():
        group, _ = apps.get_model("auth", "Group").objects.using(alias).get_or_create(name=name)
        group.permissions.add(*_permissions(apps, alias, granted))


def remove_groups(apps, schema_editor):
    """Take from the groups what was given, and remove those of which nothing is left."""
    alias = schema_editor.connection.alias
    for name, granted in GROUPS.items():
        for group in apps.get_model("auth", "Group").objects.using(alias).filter(name=name):
            group.permissions.remove(*_permissions(apps, alias, granted))
            if not group.permissions.exists() and not group.user_set.exists():
                group.delete()


def _permissions(apps, alias, granted):
    model = apps.get_model("auth", "Permission")
    return [
        permission
        for label, codenames in granted.items()
        for permission in model.objects.using(alias).filter(
            content_type__app_label=label, codename__in=codenames
        )
    ]


class Migration(migrations.Migration):
    dependencies = [
        ("overview", "0001_initial"),
        ("auth", "0012_alter_user_first_name_max_length"),
        ("contenttypes", "0002_remove_content_type_name"),
        ("connector_state", "0002_permissions"),
        ("chat", "0001_initial"),
    ]

    operations = [migrations.RunPython(create_groups, remove_groups)]
