"""A dealer's first minutes, by the Python client: python visit_ienerzy.py <url> <phone>.

The one-time password comes on standard input. Prints what it saw as JSON.

Runs in the environment of `requirements.lock`, with the generated package on its path.
"""
# mypy: disable-error-code="import-not-found"

import json
import sys

from gridwire_ienerzy import AuthenticatedClient, Client
from gridwire_ienerzy.api.analytics import ienerzy_get_analytics_dealer_dashboard
from gridwire_ienerzy.api.batteries import (
    ienerzy_assign_battery,
    ienerzy_create_battery,
    ienerzy_get_battery,
    ienerzy_list_batteries,
)
from gridwire_ienerzy.api.consumers import ienerzy_create_consumer
from gridwire_ienerzy.api.finance import ienerzy_create_finance_application
from gridwire_ienerzy.api.sign_in import ienerzy_login, ienerzy_verify_otp
from gridwire_ienerzy.models import (
    ApplicationIn,
    ApplicationOut,
    AssignIn,
    BatteryOut,
    ConsumerOut,
    Dashboard,
    IenerzyError,
    LoginIn,
    LoginInUserType,
    NewBattery,
    NewConsumer,
    Verified,
    VerifyIn,
)

SERIAL = "BAT002"


def sign_in(url: str, phone: str) -> AuthenticatedClient:
    anybody = Client(base_url=url, raise_on_unexpected_status=True)
    ienerzy_login.sync(client=anybody, body=LoginIn(phone=phone, user_type=LoginInUserType.DEALER))
    otp = sys.stdin.readline().strip()
    verified = ienerzy_verify_otp.sync(client=anybody, body=VerifyIn(phone=phone, otp=otp))
    assert isinstance(verified, Verified), verified
    return AuthenticatedClient(base_url=url, token=verified.token, raise_on_unexpected_status=True)


def visit(url: str, phone: str) -> dict[str, object]:
    client = sign_in(url, phone)
    battery = ienerzy_create_battery.sync(client=client, body=NewBattery(serial_number=SERIAL))
    twice = ienerzy_create_battery.sync(client=client, body=NewBattery(serial_number=SERIAL))
    person = NewConsumer(name="Ram Kumar", phone="+919876512345", pan="ABCDE1234F", aadhar="234123412346")
    consumer = ienerzy_create_consumer.sync(client=client, body=person)
    assert isinstance(battery, BatteryOut), battery
    assert isinstance(consumer, ConsumerOut), consumer
    ienerzy_assign_battery.sync(client=client, serial=SERIAL, body=AssignIn(consumer_id=consumer.id))
    terms = ApplicationIn(consumer.id, battery.id, amount=45_000, tenure_months=24, interest_rate=12.5)
    application = ienerzy_create_finance_application.sync(client=client, body=terms)
    listed = ienerzy_list_batteries.sync(client=client)
    dashboard = ienerzy_get_analytics_dealer_dashboard.sync(client=client)
    missing = ienerzy_get_battery.sync_detailed(client=client, serial="BAT999")
    assert isinstance(application, ApplicationOut), application
    assert isinstance(listed, list), listed
    assert isinstance(dashboard, Dashboard), dashboard
    assert isinstance(twice, IenerzyError), twice
    assert isinstance(missing.parsed, IenerzyError), missing
    return {
        "batteries": [[each.serial_number, each.consumer_name] for each in listed],
        "application": [application.status, application.amount],
        "consumers": dashboard.consumer_metrics.total_consumers,
        "twice": twice.code,
        "missing": [missing.status_code, missing.parsed.error],
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(visit(*sys.argv[1:3])))
