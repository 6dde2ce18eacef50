"""Forms that work once: a token in the form says what stood when it was shown.

A new secret is shown in the answer to the POST that made it, so a reload or a double click sends
that POST again. The token names what the first one changes, and the second one finds it changed.
It is signed, for one user and one purpose, and stored nowhere.
"""

from typing import Any

from django.core import signing
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from connector_state.credentials.issuing import IssuedCredential

MAX_AGE_SECONDS = 3600
STALE = (
    "This form was shown more than an hour ago, or to somebody else. Nothing was done; "
    "check what it says, and send it again."
)


class StaleForm(Exception):
    """The token is too old, or was not made for this form and user."""


def make_token(request: HttpRequest, purpose: str, shown: Any) -> str:
    """Return the token of a form that is shown now."""
    return signing.dumps(shown, salt=_salt(request, purpose))


def read_token(request: HttpRequest, purpose: str) -> Any:
    """Return what stood when the form was shown that this POST sends.

    Raises:
        StaleForm: there is no telling.
    """
    token = request.POST.get("token", "")
    try:
        return signing.loads(token, salt=_salt(request, purpose), max_age=MAX_AGE_SECONDS)
    except signing.BadSignature as error:
        raise StaleForm from error


def show_secret(
    request: HttpRequest, issued: IssuedCredential, context: dict[str, Any]
) -> HttpResponse:
    """Answer with a new credential, the one time that its secret is shown."""
    context = {**context, "connector": issued.connector, "issued": issued}
    response = render(request, "admin/connector_state/secret.html", context)
    response.headers["Cache-Control"] = "no-store"
    response.headers["Referrer-Policy"] = "no-referrer"
    return response


def _salt(request: HttpRequest, purpose: str) -> str:
    return f"connector_state.admin.form_token:{purpose}:{request.user.pk}"
