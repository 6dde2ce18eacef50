"""Staff of the admin pages, with the permissions that a test gives them."""

from django.contrib.auth.models import Permission, User
from django.test import Client


def staff_client(*codenames: str, name: str = "ann") -> Client:
    """A browser of somebody who has just these permissions on connectors."""
    user = User.objects.create_user(name, password="x", is_staff=True)
    user.user_permissions.set(
        Permission.objects.filter(content_type__app_label="connector_state", codename__in=codenames)
    )
    client = Client(raise_request_exception=False)
    client.force_login(user)
    return client
