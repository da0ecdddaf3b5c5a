"""What the document of all endpoints says: who may call what, and that it is one and whole."""

import re
from typing import cast

import pytest

from tests.api.helpers import Service

# Endpoints that anybody may call. Every other one must declare its caller.
PUBLIC = {
    ("post", "/api/v1/auth/register"),
    ("post", "/api/v1/auth/login"),
    ("post", "/api/v1/auth/refresh-token"),
    ("get", "/api/v1/auth/verify-email"),  # by the token of its link
    ("post", "/api/v1/auth/verify-email"),
    ("post", "/api/auth/login"),
    ("post", "/api/auth/verify-otp"),
    ("post", "/api/auth/register/"),
    ("get", "/api/warranty/verify/{serial}/"),
    ("get", "/api/warranty/public-key/"),
    ("post", "/api/auth/login/"),
    ("post", "/api/auth/otp/send/"),
    ("post", "/api/auth/otp/verify/"),
    ("post", "/api/auth/token/refresh/"),
    ("post", "/api/auth/password/reset/"),
    ("post", "/api/auth/password/reset/confirm/"),  # by the token of its e-mail
    ("post", "/api/mobile/auth/login"),
    ("post", "/api/mobile/admin/login"),
    ("post", "/api/mobile/payments/{provider}/webhook"),  # signed by the provider
    ("post", "/api/v1/payments/{provider}/webhook"),
    ("post", "/api/messaging/status/{provider}"),
    ("get", "/healthz"),
    ("get", "/readyz"),
    ("get", "/metrics"),
}
METHODS = {"get", "post", "put", "patch", "delete", "head", "options"}
CONTRACT = """
post /api/v1/auth/register | post /api/v1/auth/login | post /api/v1/auth/refresh-token
get /api/v1/auth/me | put /api/v1/auth/change-password | post /api/v1/auth/logout
get /api/v1/auth/verify-email | post /api/v1/auth/verify-email # extension
post /api/v1/auth/verify-email/resend # extension
get /api/v1/profile | put /api/v1/profile | put /api/v1/profile/preferences
get /api/v1/profile/vehicles | post /api/v1/profile/vehicles | get /api/v1/profile/vehicles/{vehicleId}
put /api/v1/profile/vehicles/{vehicleId} | delete /api/v1/profile/vehicles/{vehicleId}
patch /api/v1/profile/vehicles/{vehicleId}/set-default
get /api/v1/profile/vehicles/{vehicleId}/history | get /api/v1/profile/vehicles/{vehicleId}/stats
get /api/v1/admin/users | get /api/v1/admin/users/{id} | put /api/v1/admin/users/{id}
put /api/v1/admin/users/{id}/status | delete /api/v1/admin/users/{id} | patch /api/v1/admin/users/{id}/restore
post /api/v1/partners | get /api/v1/partners
get /api/v1/kyc/status | post /api/v1/kyc/submit | get /api/v1/kyc/list | get /api/v1/kyc/users/{userId}
put /api/v1/kyc/users/{userId}/verify
get /api/v1/settings | put /api/v1/settings
get /api/v1/billing/invoices | get /api/v1/billing/invoices/{id} | post /api/v1/billing/invoices
post /api/v1/billing/invoices/{id}/send
post /api/v1/billing/invoices/{id}/pay | post /api/v1/billing/invoices/{id}/cancel # extension
get /api/v1/billing/invoices/{id}/pdf # extension
get /api/v1/profile/wallet | post /api/v1/profile/wallet/topup | get /api/v1/profile/wallet/transactions
post /api/v1/profile/wallet/pay | get /api/v1/billing/transactions
get /api/v1/billing/refunds | post /api/v1/billing/refunds | get /api/v1/billing/refunds/{id}
put /api/v1/billing/refunds/{id}/process
post /api/v1/profile/wallet/topup/verify | post /api/v1/payments/{provider}/webhook # extension
get /api/v1/chargers | get /api/v1/chargers/stats | get /api/v1/chargers/{id}
get /api/v1/chargers/{id}/status | post /api/v1/chargers/{id}/command
post /api/v1/chargers | put /api/v1/chargers/{id} | get /api/v1/chargers/{id}/maintenance-history
patch /api/v1/chargers/{id}/archive | patch /api/v1/chargers/{id}/restore
get /api/v1/stations | get /api/v1/stations/nearby | get /api/v1/stations/{id}
get /api/v1/stations/{id}/availability
post /api/v1/stations | put /api/v1/stations/{id} | delete /api/v1/stations/{id}
put /api/v1/stations/{id}/favourite | delete /api/v1/stations/{id}/favourite # extension
get /api/v1/profile/favourites # extension
get /api/v1/admin/stations | put /api/v1/admin/stations/{id}/verify
delete /api/v1/admin/stations/{id} | patch /api/v1/admin/stations/{id}/restore
get /api/v1/admin/reviews | put /api/v1/admin/reviews/{id}/moderate
post /api/v1/partners/franchises | get /api/v1/partners/franchises
get /api/v1/partners/franchises/{franchiseId}
get /api/v1/franchises | post /api/v1/franchises | get /api/v1/franchises/{id}
put /api/v1/franchises/{id} | delete /api/v1/franchises/{id} | get /api/v1/franchises/{id}/staff
post /api/v1/franchises/{id}/staff | delete /api/v1/franchises/{id}/staff/{staffId} # extension
get /api/v1/admin/dashboard | get /api/v1/dashboard/stats
get /api/v1/analytics/revenue | get /api/v1/analytics/charger-stats
get /api/v1/analytics/session-summary | get /api/v1/analytics/user-activity
get /api/v1/billing/reports/daily | get /api/v1/billing/reports/monthly | get /api/v1/billing/export
get /api/v1/notifications | delete /api/v1/notifications | post /api/v1/notifications
get /api/v1/notifications/preferences | put /api/v1/notifications/preferences
put /api/v1/notifications/read-all | post /api/v1/notifications/bulk
get /api/v1/notifications/{id} | delete /api/v1/notifications/{id} | patch /api/v1/notifications/{id}/read
post /api/v1/notifications/push-tokens | delete /api/v1/notifications/push-tokens # extension
get /api/v1/maintenance | post /api/v1/maintenance | get /api/v1/maintenance/stats
post /api/v1/maintenance/schedule | get /api/v1/maintenance/{id} | put /api/v1/maintenance/{id}
delete /api/v1/maintenance/{id} | put /api/v1/maintenance/{id}/start | put /api/v1/maintenance/{id}/complete
get /api/v1/support/tickets | post /api/v1/support/tickets | get /api/v1/support/stats
get /api/v1/support/tickets/{id} | put /api/v1/support/tickets/{id}
post /api/v1/support/tickets/{id}/comments | post /api/v1/support/tickets/{id}/rate
get /api/v1/sessions | post /api/v1/sessions | get /api/v1/sessions/active | get /api/v1/sessions/history
get /api/v1/sessions/{id} | post /api/v1/sessions/{id}/stop | get /api/v1/sessions/{id}/cdr
get /api/v1/bookings | post /api/v1/bookings | get /api/v1/bookings/{id} | get /api/v1/admin/bookings
put /api/v1/bookings/{id}/start | put /api/v1/bookings/{id}/complete | put /api/v1/bookings/{id}/cancel
post /api/v1/pricing/calculate | get /api/v1/pricing/preview/{stationId} | get /api/v1/pricing/rules
get /api/v1/pricing/rules/{id} | post /api/v1/pricing/rules | put /api/v1/pricing/rules/{id}
delete /api/v1/pricing/rules/{id}
post /api/auth/login | post /api/auth/verify-otp
get /api/batteries | post /api/batteries | get /api/batteries/health-report | get /api/batteries/{serial}
post /api/batteries/{serial}/control | put /api/batteries/{serial}/assign
get /api/analytics/dealer-dashboard | get /api/analytics/nbfc-portfolio
get /api/analytics/collection-report | get /api/analytics/battery-health
get /api/analytics/service-metrics | get /api/nbfc/portfolio
get /api/batteries/test | post /api/batteries/{serial}/test | post /api/batteries/{serial}/test-status
get /api/batteries/{serial}/history # extension
get /api/consumers | post /api/consumers | put /api/consumers/{id}/kyc | get /api/consumers/{id}/finance
get /api/consumers/{id}/profile | post /api/consumers/{id}/documents
get /api/consumers/{id}/documents | put /api/consumers/{id}/documents/{document_id} # extension
get /api/consumers/{id}/documents/{document_id}/file # extension
get /api/admin/accounts | post /api/admin/accounts | get /api/admin/accounts/{id} # extension
patch /api/admin/accounts/{id} # extension
get /api/batteries/{serial}/health | get /api/batteries/{serial}/alarms # extension
post /api/service/tickets | get /api/service/tickets | get /api/service/tickets/active
put /api/service/tickets/{id}/assign | post /api/service/tickets/{id}/update
get /api/service/technicians/available | post /api/service/auto-assign
get /api/service/tickets/{id} | post /api/service/tickets/{id}/rate # extension
post /api/finance/applications | get /api/finance/applications | put /api/finance/applications/{id}/approve
get /api/finance/overdue | get /api/finance/collection-report
get /api/finance/applications/{id} | post /api/finance/applications/{id}/disburse # extension
post /api/finance/applications/{id}/foreclose # extension
get /api/finance/applications/{id}/foreclosure-quote # extension
post /api/finance/emi/{id}/pay | get /api/finance/payments # extension
post /api/messaging/send-sms | post /api/messaging/send-otp | post /api/messaging/battery-status
get /api/messaging/messages | get /api/messaging/messages/{message_id} # extension
post /api/messaging/status/{provider} # extension
get /api/inventory/models/ | post /api/inventory/models/ | get /api/inventory/serials/
post /api/inventory/serials/ | post /api/inventory/allocate/
get /api/inventory/models/{id}/ | patch /api/inventory/models/{id}/ # extension
post /api/inventory/serials/import/ | get /api/inventory/serials/{serial}/ # extension
patch /api/inventory/serials/{serial}/ | get /api/inventory/serials/{serial}/history/ # extension
get /api/inventory/stock/ | get /api/inventory/low-stock/ | get /api/inventory/allocations/ # extension
get /api/inventory/allocations/{id}/ | post /api/inventory/allocations/{id}/release/ # extension
post /api/warranty/activate/ | get /api/warranty/verify/{serial}/ | get /api/warranty/{id}/certificate/
get /api/warranty/ | get /api/warranty/{id}/ | get /api/warranty/{id}/qr/ # extension
get /api/warranty/public-key/ | post /api/warranty/link/ | post /api/warranty/{id}/void/ # extension
get /api/warranty/claims/ | post /api/warranty/claims/ | get /api/warranty/claims/{id}/ # extension
patch /api/warranty/claims/{id}/ | get /api/warranty/claims/{id}/plots/{file}/ # extension
post /api/warranty/claims/{id}/files/ | get /api/warranty/claims/{id}/files/{file_id}/ # extension
get /api/orders/ | post /api/orders/ | patch /api/orders/{id}/approve/ | get /api/orders/{id}/invoice/
get /api/orders/{id}/ | patch /api/orders/{id}/reject/ | patch /api/orders/{id}/cancel/ # extension
post /api/auth/register/ | post /api/auth/login/ | post /api/auth/token/refresh/
post /api/auth/otp/send/ | post /api/auth/otp/verify/
post /api/auth/password/reset/ | post /api/auth/password/reset/confirm/ # extension
post /api/auth/password/change/ # extension
get /api/users/me/ | patch /api/users/me/ # extension
get /api/users/ | post /api/users/ | get /api/users/{id}/ | patch /api/users/{id}/ # extension
get /api/notifications/templates/ # extension
get /api/notifications/templates/{kind}/{channel}/ # extension
put /api/notifications/templates/{kind}/{channel}/ # extension
delete /api/notifications/templates/{kind}/{channel}/ # extension
post /api/notifications/templates/{kind}/{channel}/preview/ # extension
post /api/finance/auto-disable | post /api/nbfc/submit-application | post /api/nbfc/webhook-status
post /api/nbfc/collection-report
get /healthz | get /readyz | get /metrics
post /api/v1/upload | get /uploads/{type}/{filename}
get /api/v1/uploads/{filename}/link # extension
post /api/v1/chargers/{id}/password | put /api/v1/chargers/{id}/security-profile
get /api/v1/chargers/{id}/certificates
get /api/v1/chargers/{id}/messages
get /api/v1/chargers/{id}/variables | get /api/v1/chargers/{id}/charging-profiles
get /api/v1/chargers/{id}/reservations | get /api/v1/chargers/{id}/local-list | get /api/v1/chargers/{id}/jobs
get /api/v1/chargers/{id}/display-messages | get /api/v1/chargers/{id}/monitors
post /api/v1/chargers/{id}/commands | get /api/v1/chargers/{id}/commands | get /api/v1/chargers/{id}/actions
get /api/v1/commands/{id} | delete /api/v1/commands/{id}
post /api/mobile/auth/login | post /api/mobile/auth/change-password
get /api/mobile/auth/user | get /api/mobile/auth/units
get /api/mobile/units/{unit_id}/meters | get /api/mobile/meters/{meter_id}
get /api/mobile/meters/{meter_id}/readings
get /api/mobile/units/{unit_id}/wallet | get /api/mobile/units/{unit_id}/transactions
get /api/mobile/meters/{meter_id}/usage | get /api/mobile/meters/{meter_id}/alerts # extension
get /api/mobile/units/{unit_id}/budgets | put /api/mobile/units/{unit_id}/budgets # extension
get /api/mobile/units/{unit_id}/alerts # extension
get /api/mobile/notifications/preferences | put /api/mobile/notifications/preferences # extension
post /api/mobile/notifications/push-tokens | delete /api/mobile/notifications/push-tokens # extension
post /api/mobile/units/{unit_id}/wallet/top-ups # extension
get /api/mobile/units/{unit_id}/wallet/top-ups/{top_up_id} # extension
post /api/mobile/payments/{provider}/webhook # extension
post /api/mobile/admin/login # the portal, from here on: extension
post /api/mobile/admin/estates | get /api/mobile/admin/estates | get /api/mobile/admin/estates/{estate_id}
post /api/mobile/admin/units | get /api/mobile/admin/units | get /api/mobile/admin/units/{unit_id}
post /api/mobile/admin/persons | get /api/mobile/admin/persons
get /api/mobile/admin/persons/{person_id} | put /api/mobile/admin/persons/{person_id}
post /api/mobile/admin/units/{unit_id}/owners | post /api/mobile/admin/owners/{owner_id}/end
post /api/mobile/admin/units/{unit_id}/tenants | post /api/mobile/admin/tenants/{tenant_id}/end
get /api/mobile/admin/mobile-users | get /api/mobile/admin/mobile-users/{user_id}
post /api/mobile/admin/mobile-users/{user_id}/deactivate
post /api/mobile/admin/mobile-users/{user_id}/reactivate
post /api/mobile/admin/mobile-users/{user_id}/reset-password
get /api/mobile/admin/mobile-users/{user_id}/notices
post /api/mobile/admin/meters | get /api/mobile/admin/meters | get /api/mobile/admin/meters/{meter_id}
put /api/mobile/admin/meters/{meter_id}/status
post /api/mobile/admin/meters/{meter_id}/installations | get /api/mobile/admin/meters/{meter_id}/installations
post /api/mobile/admin/meters/{meter_id}/installations/end
post /api/mobile/admin/meters/{meter_id}/tariffs | get /api/mobile/admin/meters/{meter_id}/tariffs
post /api/mobile/admin/meter-tariffs | get /api/mobile/admin/meter-tariffs
post /api/mobile/admin/units/{unit_id}/wallet | get /api/mobile/admin/units/{unit_id}/wallet
get /api/mobile/admin/units/{unit_id}/wallet/transactions
post /api/mobile/admin/units/{unit_id}/wallet/top-ups
post /api/mobile/admin/units/{unit_id}/wallet/adjustments
post /api/mobile/admin/codecs | get /api/mobile/admin/codecs | post /api/mobile/admin/codecs/test
get /api/mobile/admin/codecs/{name} | get /api/mobile/admin/codecs/{name}/versions/{version}
post /api/mobile/admin/codecs/{name}/versions/{version}/assign
put /api/mobile/admin/profiles/{name} | get /api/mobile/admin/profiles | get /api/mobile/admin/profiles/{name}
post /api/mobile/admin/devices | get /api/mobile/admin/devices | post /api/mobile/admin/devices/import
get /api/mobile/admin/devices/{device_id} | patch /api/mobile/admin/devices/{device_id}
post /api/mobile/admin/devices/{device_id}/release | post /api/mobile/admin/devices/{device_id}/quarantine
post /api/mobile/admin/devices/{device_id}/archive | post /api/mobile/admin/devices/{device_id}/replace
put /api/mobile/admin/devices/{device_id}/keys | delete /api/mobile/admin/devices/{device_id}/keys/{kind}
get /api/mobile/admin/devices/{device_id}/payloads | get /api/mobile/admin/devices/{device_id}/samples
get /api/mobile/admin/devices/{device_id}/completeness
post /api/mobile/admin/devices/{device_id}/commands | get /api/mobile/admin/devices/{device_id}/commands
"""


def endpoints(service: Service) -> dict[tuple[str, str], dict[str, object]]:
    paths = service.app.openapi()["paths"]
    return {
        (method, path): operation
        for path, item in paths.items()
        for method, operation in item.items()
        if method in METHODS
    }


def test_every_endpoint_declares_its_caller(service: Service) -> None:
    open_to_all = {key for key, operation in endpoints(service).items() if not operation.get("security")}
    assert open_to_all == PUBLIC


def test_the_document_has_the_contract_and_nothing_else(service: Service) -> None:
    text = re.sub(r"#.*", "", CONTRACT)
    listed = {tuple(line.split()) for line in re.split(r"[|\n]", text) if line.strip()}
    assert set(endpoints(service)) == listed


@pytest.mark.parametrize("family", ["EV-CMS", "Ienerzy", "Lithovolt", "Mobile", "Mobile-Portal"])
async def test_anonymous_calls_are_refused_in_the_familys_own_words(service: Service, family: str) -> None:
    for (method, path), operation in endpoints(service).items():
        if operation.get("security") != [{family: []}]:
            continue
        answer = await service.client.request(method, re.sub(r"{[^}]*}", "1", path))
        assert answer.status_code == 401, (method, path, answer.text)
        body = answer.json()
        if family == "EV-CMS":
            assert body["success"] is False
            assert set(body) == {"success", "message", "error", "statusCode"}
            assert body["statusCode"] == 401
        elif family.startswith("Mobile"):
            assert body == {"error": "Invalid or expired token", "message": "Please login again"}
        elif family == "Lithovolt":
            assert body == {"detail": "Authentication credentials were not provided."}
            assert answer.headers["WWW-Authenticate"] == 'Bearer realm="api"'
        else:
            assert body == {"error": "Authentication required", "details": "Valid JWT token is required"}


def test_the_mobile_familys_document_says_what_each_answer_is(service: Service) -> None:
    schemas = service.app.openapi()["components"]["schemas"]
    for (method, path), operation in endpoints(service).items():
        if not path.startswith("/api/mobile/"):
            continue
        where = (method, path)
        assert operation["description"], where
        answers = cast("dict[str, dict[str, dict[str, dict[str, object]]]]", operation["responses"])
        (good,) = [code for code in answers if code.startswith("2")]
        assert good == "200" or method == "post", where
        assert "schema" in answers[good]["content"]["application/json"], where
        for code in ("400", "401", "403", "404"):
            refusal = answers[code]["content"]["application/json"]
            assert refusal["schema"] == {"$ref": "#/components/schemas/MobileError"}, where
            assert set(cast("dict[str, str]", refusal["example"])) == {"error", "message"}, where
    for name in ("Login", "ChangePassword", "UnitOut", "MeterOut", "ReadingOut", "TransactionOut"):
        shown = [each for key, each in schemas.items() if key.split("__")[-1] == name]
        assert any("examples" in each for each in shown), name


async def test_the_document_and_its_page_are_served_without_any_other_host(service: Service) -> None:
    document = (await service.client.get("/openapi.json")).json()
    assert {"/api/v1/chargers", "/api/batteries"} <= set(document["paths"])
    page = await service.client.get("/api-docs")
    assert page.status_code == 200
    assert "https://" not in page.text
    files = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert len(files) == 3
    for file in files:
        assert (await service.client.get(file)).status_code == 200
