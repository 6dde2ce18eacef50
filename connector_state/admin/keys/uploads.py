"""Uploads to admin's pages: the files of a body over the limit reach neither memory nor disk."""

from typing import Any

from django.conf import settings
from django.core.files.uploadhandler import FileUploadHandler, SkipFile
from django.http import HttpRequest


class BoundedUploadHandler(FileUploadHandler):
    """Drops the files of a body over STATE_MAX_IMPORT_BYTES: the first of FILE_UPLOAD_HANDLERS.

    Django reads a body before it knows who sends it, since the CSRF token is in it. A view that
    misses its file asks is_upload_too_large, and says so.
    """

    too_large = False

    def handle_raw_input(
        self,
        input_data: Any,
        META: dict[str, Any],  # noqa: N803 - Django's name
        content_length: int,
        boundary: str,
        encoding: str | None = None,
    ) -> None:
        self.too_large = content_length > settings.STATE_MAX_IMPORT_BYTES

    def new_file(self, *args: Any, **kwargs: Any) -> None:
        if self.too_large:
            raise SkipFile

    def receive_data_chunk(self, raw_data: bytes, start: int) -> bytes:
        return raw_data  # for the handlers after this one, which make the file

    def file_complete(self, file_size: int) -> None:
        return None


def is_upload_too_large(request: HttpRequest) -> bool:
    """Whether the files of this request were dropped for its length."""
    return int(request.META.get("CONTENT_LENGTH") or 0) > settings.STATE_MAX_IMPORT_BYTES
