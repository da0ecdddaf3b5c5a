"""Which payment providers the settings make, and what is refused."""

import pytest

from api.operations.providers import payments
from deploy.messages import SetupError
from deploy.settings import Settings

RAZORPAY = {
    "razorpay_key_id": "rzp_test_1",
    "razorpay_key_secret": "key-secret",
    "razorpay_webhook_secret": "webhook-secret",
}


def settings(**values: str) -> Settings:
    return Settings.model_validate(values)


def test_none_unless_configured() -> None:
    assert payments(settings()) == {}


def test_razorpay_comes_before_the_sandbox() -> None:
    found = payments(settings(**RAZORPAY, payment_sandbox_secret="secret"))
    assert [(name, provider.name) for name, provider in found.items()] == [
        ("razorpay", "razorpay"),
        ("sandbox", "sandbox"),
    ]
    assert list(payments(settings(payment_sandbox_secret="secret"))) == ["sandbox"]


@pytest.mark.parametrize("missing", RAZORPAY)
def test_a_part_of_razorpay_is_refused(missing: str) -> None:
    with pytest.raises(SetupError, match="Razorpay needs"):
        payments(settings(**{name: value for name, value in RAZORPAY.items() if name != missing}))
