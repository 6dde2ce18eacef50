"""Whose body is received, by the headers alone."""

from config.door.body_limits import allowance


def test_chat__a_token_whose_keys_may_have_to_be_fetched_is_verified_in_a_thread(settings):
    settings.JWT_JWKS_URL = ""
    assert allowance("/api/alice/chat").knows_at_once
    settings.JWT_JWKS_URL = "https://issuer.example/keys"
    assert not allowance("/api/alice/chat").knows_at_once
