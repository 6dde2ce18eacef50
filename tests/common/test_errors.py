"""The base of the apps' errors."""

from common.errors import ServiceError


class Slow(ServiceError):
    code = "slow"
    detail = "Wait."
    retry_after_seconds = 1


def test_service_error__says_what_its_class_says_unless_it_is_told():
    assert vars(Slow()) == {"detail": "Wait.", "code": "slow"}
    assert Slow().retry_after_seconds == 1
    told = Slow("Wait longer.", code="slower", retry_after_seconds=0)
    assert (str(told), told.code, told.retry_after_seconds) == ("Wait longer.", "slower", 0)
