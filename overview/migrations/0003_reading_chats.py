"""Reading what was said in chats is a permission: viewers lose it, who may change chats keep it.

Until now whoever might view conversations could read them. Groups and people who may also change
or delete them repair what was said, so they get the new permission. All others who may view them
see names and states from now on; the migration names those groups.
"""

from django.apps import apps as installed
from django.contrib.auth.management import create_permissions
from django.db import migrations

REPAIRERS = ("change_conversation", "delete_conversation")


def grant_reading(apps, schema_editor):
    """Give the new permission to those who may repair conversations."""
    alias = schema_editor.connection.alias
    config = installed.get_app_config("chat")  # Django creates permissions after all migrations
    create_permissions(config, verbosity=0, interactive=False, using=alias, apps=apps)
    permissions = apps.get_model("auth", "Permission").objects.using(alias)
    permissions = permissions.filter(content_type__app_label="chat")
    reading = permissions.get(codename="read_conversation")
    viewing = permissions.filter(codename="view_conversation")
    repairing = permissions.filter(codename__in=REPAIRERS)
    groups = apps.get_model("auth", "Group").objects.using(alias).filter(permissions__in=viewing)
    users = apps.get_model("auth", "User").objects.using(alias)
    users = users.filter(user_permissions__in=viewing)
    for group in groups.filter(pk__in=_having(groups.model, alias, "permissions", repairing)):
        group.permissions.add(reading)
    for user in users.filter(pk__in=_having(users.model, alias, "user_permissions", repairing)):
        user.user_permissions.add(reading)
    losing = [group.name for group in groups.exclude(permissions=reading)]
    number = users.exclude(user_permissions=reading).count()
    # On a new database there is nobody yet who could lose anything.
    if (losing or number) and users.model.objects.using(alias).exists():
        print(
            f"\n  Groups {losing} and {number} people by their own permissions see names and states "
            "of conversations from now on, not what was said. Who is to read them needs "
            "chat.read_conversation."
        )


def take_reading(apps, schema_editor):
    """Take the permission back: before it, whoever might view conversations could read them."""
    alias = schema_editor.connection.alias
    reading = apps.get_model("auth", "Permission").objects.using(alias)
    reading = reading.filter(content_type__app_label="chat", codename="read_conversation")
    for permission in reading:
        permission.group_set.clear()
        permission.user_set.clear()


def _having(model, alias, field, permissions):
    rows = model.objects.using(alias).filter(**{f"{field}__in": permissions})
    return list(rows.values_list("pk", flat=True))


class Migration(migrations.Migration):
    dependencies = [("overview", "0002_groups"), ("chat", "0006_reading")]

    operations = [migrations.RunPython(grant_reading, take_reading)]
