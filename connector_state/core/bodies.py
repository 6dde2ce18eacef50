"""How a JSON body that is not valid is refused."""

from pydantic import ValidationError

from common.validation import in_words
from connector_state.errors import InvalidRequest


def refusal(error: ValidationError, code: str) -> InvalidRequest:
    """Return the error that says what is wrong first with the body, and where."""
    return InvalidRequest(f"{in_words(error, whole='The body')}.", code=code)
