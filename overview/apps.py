"""The overview's app, and admin with the overview as its start page."""

from django.apps import AppConfig
from django.contrib.admin.apps import AdminConfig


class OverviewConfig(AppConfig):
    """Health, counts and growth of both apps."""

    name = "overview"
    verbose_name = "Overview"
    default = True


class OverviewAdminConfig(AdminConfig):
    """Django's admin, on our site."""

    default = False
    default_site = "overview.site.OverviewSite"
