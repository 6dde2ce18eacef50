"""Forms that work once: a signed token in the form says what there was when it was shown.

A new secret is shown in the answer to the POST that made it, so a reload or a double click sends
that POST again. The token names what the first one changes, and the second one finds it changed.
It is for one user and one purpose, and it is stored nowhere.
"""

from typing import Any

from django import forms
from django.contrib import admin
from django.core import signing
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from connector_state.credentials.issuing import IssuedCredential

MAX_AGE_SECONDS = 3600
STALE = (
    "This form was shown more than an hour ago, or to somebody else. Nothing was done; "
    "check what it says, and send it again."
)


def make_token(request: HttpRequest, purpose: str, shown: Any) -> str:
    """Return the token of a form that is shown now; `shown` comes back from validate."""
    return signing.dumps(shown, salt=_salt(request, purpose))


def validate(request: HttpRequest, purpose: str, form: forms.Form) -> Any:
    """Validate a form and its token, and return what make_token was given.

    When the token is missing, too old or another user's, that is one of the form's errors.
    """
    form.full_clean()
    token = request.POST.get("token", "")
    try:
        return signing.loads(token, salt=_salt(request, purpose), max_age=MAX_AGE_SECONDS)
    except signing.BadSignature:
        form.add_error(None, STALE)
        return None


def show_secret(request: HttpRequest, issued: IssuedCredential, title: str) -> HttpResponse:
    """Answer with a new credential, the one time that its secret is shown."""
    context = {
        **admin.site.each_context(request),
        "opts": issued.connector._meta,
        "object": issued.connector,
        "object_label": issued.connector.name,
        "issued": issued,
        "title": title,
    }
    response = render(request, "admin/connector_state/secret.html", context)
    response.headers["Cache-Control"] = "no-store"
    response.headers["Referrer-Policy"] = "no-referrer"
    return response


def _salt(request: HttpRequest, purpose: str) -> str:
    return f"connector_state.admin.form_token:{purpose}:{request.user.pk}"
