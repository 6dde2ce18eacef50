"""Export and import of a connector's keys, as pages."""

import logging
from collections.abc import Iterator
from itertools import chain
from typing import Any, BinaryIO, ClassVar, cast

from django import forms
from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.template.defaultfilters import filesizeformat, pluralize

from common.admin.pages import as_attachment
from common.visible import visible_name
from connector_state.admin.keys.pages import KeysPage
from connector_state.admin.keys.uploads import is_upload_too_large
from connector_state.errors import Forbidden, InvalidRequest, Unavailable
from connector_state.transfer.exporting import export
from connector_state.transfer.importing import Imported, header_of, import_file, preview
from connector_state.transfer.lines import end_line

logger = logging.getLogger(__name__)


class ImportForm(forms.Form):
    """A file and how to import it. The file is chosen again for each step: it is not kept."""

    file = forms.FileField(label="Export file")
    dry_run = forms.BooleanField(
        required=False, initial=True, label="Only say what would happen (dry run)"
    )
    overwrite = forms.BooleanField(
        required=False,
        label="Replace values that exist",
        help_text="Otherwise existing values are kept as they are.",
    )
    other_connector = forms.BooleanField(
        required=False,
        label="The file may be another connector's",
        help_text="Its keys are stored for this connector here, whatever the file says.",
    )


class TransferPage(KeysPage):
    """The forms of both, for those who may do one of them."""

    permissions: ClassVar[tuple[str, ...]] = ("connector_state.view_keys",)
    asks_redis = False
    title = "Export and import"
    template = "admin/connector_state/keys/transfer.html"

    def get(self, request: HttpRequest) -> HttpResponse:
        return self.form(ImportForm())

    def form(self, form: ImportForm, status: int = 200, **context: Any) -> HttpResponse:
        """Return the page with this form, and the outcome of an import in `context`."""
        context |= {"form": form, "max_bytes": settings.STATE_MAX_IMPORT_BYTES}
        return self.render(context, status=status)


class ExportPage(KeysPage):
    """A file with the keys of a namespace, or of all."""

    permissions = ("connector_state.view_values",)
    title = "Export"

    @property
    def back_url(self) -> str:
        return self.url("transfer")

    def post(self, request: HttpRequest) -> HttpResponseBase:
        namespace = request.POST.get("namespace") or None
        lines = export(self.session, namespace)
        first = next(lines)  # so the export is in the audit now, and Redis answers
        where = visible_name(namespace) if namespace else "all namespaces"
        self.record(f"Exported {where}.")
        second = next(lines)
        if namespace and second == end_line(0):  # which would hide that it is mistyped
            words = f"Nothing was exported: there are no keys in “{where}”."
            return self.leave(words, self.back_url, messages.WARNING)
        content = StreamingHttpResponse(_until_redis_fails(chain([first, second], lines)))
        return as_attachment(content, "statekeep-export.jsonl")


class ImportPage(TransferPage):
    """Imports such a file into this connector, or says what an import would do."""

    permissions = ("connector_state.change_keys",)

    def get(self, request: HttpRequest) -> HttpResponse:
        return HttpResponseRedirect(self.url("transfer"))

    def post(self, request: HttpRequest) -> HttpResponse:
        if is_upload_too_large(request):
            raise InvalidRequest(
                f"A file has at most {filesizeformat(settings.STATE_MAX_IMPORT_BYTES)} here. For a "
                "larger one use `manage.py import_state`, or raise STATE_MAX_IMPORT_BYTES."
            )
        form = ImportForm(request.POST, request.FILES)
        if not form.is_valid():
            return self.form(form)
        file = cast(BinaryIO, form.cleaned_data["file"].file)
        try:
            other = str(header_of(file).connector) != self.uuid
            if form.cleaned_data["dry_run"]:
                return self.preview(form, file, other=other)
            if other and not form.cleaned_data["other_connector"]:
                form.add_error("other_connector", "The file is another connector's: tick this.")
                return self.form(form)
            return self.store_all(form, file)
        except InvalidRequest as error:
            form.add_error("file", error.detail)
            return self.form(form)

    def preview(self, form: ImportForm, file: BinaryIO, *, other: bool) -> HttpResponse:
        """Return the page that says what an import would do."""
        total = Imported()
        for _ in preview(self.session, file, total):
            pass
        return self.form(form, total=total, dry_run=True, other=other, overwrite=_overwrite(form))

    def store_all(self, form: ImportForm, file: BinaryIO) -> HttpResponse:
        """Import the file. Batches that are stored stay stored when a later one fails."""
        total, refusal = Imported(), ""
        try:
            for _ in import_file(self.session, file, total, overwrite=_overwrite(form)):
                pass
        except (Forbidden, Unavailable) as error:
            refusal = error.detail
        done = f"{total.new} new key{pluralize(total.new)}"
        if _overwrite(form):
            done += f", {total.existing} replaced"
        self.record(f"Imported a file{' in part' if refusal else ''}: {done}.")
        if not refusal:
            messages.success(self.request, f"Imported: {done}.")
        return self.form(
            ImportForm(), total=total, refusal=refusal, overwrite=_overwrite(form), imported=True
        )


def _overwrite(form: ImportForm) -> bool:
    return bool(form.cleaned_data["overwrite"])


def _until_redis_fails(lines: Iterator[bytes]) -> Iterator[bytes]:
    """Yield the lines. When Redis fails the file has no last line, and an import refuses it."""
    try:
        yield from lines
    except Unavailable as error:
        logger.error("an export broke off, as Redis had no answer: %r", error)
        raise
