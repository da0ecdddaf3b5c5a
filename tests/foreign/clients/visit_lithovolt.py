"""An admin's first minutes, by the Python client: python visit_lithovolt.py <url> <e-mail>.

Prints what it saw as JSON.

Runs in the environment of `requirements.lock`, with the generated package on its path.
"""
# mypy: disable-error-code="import-not-found"

import json
import sys

from gridwire_lithovolt import AuthenticatedClient, Client
from gridwire_lithovolt.api.inventory import (
    lithovolt_create_inventory_model,
    lithovolt_create_inventory_serial,
    lithovolt_get_inventory_model,
    lithovolt_list_inventory_serials,
)
from gridwire_lithovolt.api.sign_in import lithovolt_login
from gridwire_lithovolt.api.warranty import lithovolt_verify_warranty
from gridwire_lithovolt.models import (
    Detail,
    FieldErrors,
    LoginIn,
    ModelOut,
    NewModel,
    NewSerials,
    PageSerialOut,
    SignedIn,
    VerificationOut,
)

PASSWORD = "correct horse"


def battery_model(price: str) -> NewModel:
    return NewModel(
        name="LV 48-100",
        code="LV48",
        nominal_voltage_v="51.20",
        capacity_ah="100.00",
        price=price,
        warranty_months=36,
    )


def visit(url: str, email: str) -> dict[str, object]:
    anybody = Client(base_url=url, raise_on_unexpected_status=True)
    login = lithovolt_login.sync(client=anybody, body=LoginIn(email=email, password=PASSWORD))
    assert isinstance(login, SignedIn), login
    client = AuthenticatedClient(base_url=url, token=login.access, raise_on_unexpected_status=True)
    model = lithovolt_create_inventory_model.sync(client=client, body=battery_model("45000.50"))
    invalid = lithovolt_create_inventory_model.sync(client=client, body=battery_model("-1.00"))
    assert isinstance(model, ModelOut), model
    lithovolt_create_inventory_serial.sync(client=client, body=NewSerials(model.id, quantity=3))
    page = lithovolt_list_inventory_serials.sync(client=client, page_size=2)
    assert isinstance(page, PageSerialOut), page
    verified = lithovolt_verify_warranty.sync(client=anybody, serial=page.results[0].serial)
    missing = lithovolt_get_inventory_model.sync_detailed(client=client, id="999")
    assert isinstance(verified, VerificationOut), verified
    assert isinstance(invalid, FieldErrors), invalid
    assert isinstance(missing.parsed, Detail), missing
    return {
        "price": model.price,
        "serials": [page.count, *(each.status for each in page.results)],
        "warranty": verified.status,
        "missing": missing.status_code,
        "invalid": invalid.additional_keys,
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(visit(*sys.argv[1:3])))
