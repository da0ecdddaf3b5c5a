"""A driver's first minutes, by the Python client: python visit.py <url> <name>; prints what it saw as JSON.

Runs in the environment of `requirements.lock`, with the generated package on its path.
"""
# mypy: disable-error-code="import-not-found"

import json
import sys

from gridwire_evcms import AuthenticatedClient, Client
from gridwire_evcms.api.auth import evcms_login, evcms_register
from gridwire_evcms.api.billing import evcms_export_billing
from gridwire_evcms.api.profile import evcms_get_profile_wallet, evcms_pay_profile_wallet
from gridwire_evcms.api.sessions import evcms_list_sessions
from gridwire_evcms.api.stations import evcms_get_station, evcms_list_nearby_stations
from gridwire_evcms.models import (
    AnswerSignedIn,
    AnswerWalletWithTransactions,
    EvcmsError,
    EvcmsExportBillingFormat,
    Login,
    Pay,
    Register,
    SessionPage,
    StationRows,
)

PASSWORD = "correct horse"


def visit(url: str, name: str) -> dict[str, object]:
    email = f"{name}@example.com"
    anybody = Client(base_url=url, raise_on_unexpected_status=True)
    evcms_register.sync(client=anybody, body=Register(email=email, password=PASSWORD, name=name))
    login = evcms_login.sync(client=anybody, body=Login(email=email, password=PASSWORD))
    assert isinstance(login, AnswerSignedIn), login
    client = AuthenticatedClient(base_url=url, token=login.data.access_token, raise_on_unexpected_status=True)
    nearby = evcms_list_nearby_stations.sync(client=client, latitude=12.97, longitude=77.59, radius=20_000)
    wallet = evcms_get_profile_wallet.sync(client=client)
    sessions = evcms_list_sessions.sync_detailed(client=client, limit=5)
    assert isinstance(nearby, StationRows), nearby
    assert isinstance(wallet, AnswerWalletWithTransactions), wallet
    assert isinstance(sessions.parsed, SessionPage), sessions
    missing = evcms_get_station.sync(client=client, id="999")
    invalid = evcms_pay_profile_wallet.sync(client=client, body=Pay(amount=-1, description="Parking"))
    refused = evcms_export_billing.sync(client=client, format_=EvcmsExportBillingFormat.CSV)
    assert isinstance(missing, EvcmsError), missing
    assert isinstance(invalid, EvcmsError), invalid
    assert isinstance(refused, EvcmsError), refused
    return {
        "user": login.data.user.email,
        "stations": [each.name for each in nearby.data],
        "balance": wallet.data.balance,
        "sessions": sessions.parsed.pagination.total,
        "remaining": int(sessions.headers["X-RateLimit-Remaining"]),
        "missing": missing.status_code,
        "invalid": [invalid.status_code, *(each.field for each in invalid.errors or ())],
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(visit(*sys.argv[1:3])))
