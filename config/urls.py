"""All routes of the service."""

from django.contrib import admin
from django.templatetags.static import static
from django.urls import include, path
from django.views.generic import RedirectView

from config import health
from config.front_page import front_page
from config.metrics import scrape
from config.openapi import views
from config.paths import API_PAGE, CONNECTORS_PREFIX

urlpatterns = [
    path(CONNECTORS_PREFIX.removeprefix("/"), include("connector_state.api.urls")),
    path("api/schema/", views.schema),
    path(API_PAGE.removeprefix("/"), views.page),
    path("api/", include("chat.api.urls")),
    path("chat/", include("chat.page.urls")),
    path("", front_page),
    path("admin/", admin.site.urls),
    path("favicon.ico", RedirectView.as_view(url=static("overview/icon.svg"))),
    path("livez", health.livez),
    path("readyz", health.readyz),
    path("metrics", scrape.metrics),
    path("version", health.version),
]

handler400 = "config.errors.answers.bad_request"
handler403 = "config.errors.answers.permission_denied"
handler404 = "config.errors.answers.not_found"
handler500 = "config.errors.answers.server_error"
