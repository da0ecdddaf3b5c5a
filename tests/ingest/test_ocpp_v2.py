"""What chargers send over OCPP 2.0.1 and 2.1, over real sockets, with a real database and log behind them."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import jsonschema_rs
import pytest
from nats.aio.client import Client

from ingest.ocpp.context import Services
from ingest.ocpp.iso15118 import ChainStatus, EvCertificate
from ingest.ocpp.routing import ROUTES
from ingest.ocpp.v2.recorded import ANSWERS, kind_of
from protocols.ocpp.schemas import load_schema
from protocols.ocpp.surface import FROM_CHARGER, UNANSWERED, Version
from storage.database import Pool
from storage.queries.charger_jobs import list_jobs
from storage.queries.chargers import list_connectors
from storage.queries.charging_profiles import list_profiles
from storage.queries.device_model import list_variables
from storage.queries.devices import get_device, set_device_status
from storage.queries.display_messages import list_messages
from storage.queries.id_tokens import put_token
from storage.queries.reservations import Reservation, list_reservations, put_reservation
from storage.queries.variable_monitors import list_monitors
from tests.ingest.ocpp_examples import full_request, least_request
from tests.ingest.ocpp_gateway import (
    RawCharger,
    Running,
    add_charger,
    add_driver,
    events,
    eventually,
    log_rows,
    raw_charger,
    running_gateway,
)

TIME = "2026-01-02T03:04:05Z"
VERSIONS = [Version.V201, Version.V21]
BOOT = {
    "chargingStation": {
        "vendorName": "Acme",
        "model": "Two",
        "serialNumber": "S1",
        "firmwareVersion": "2.5",
        "modem": {"iccid": "8931"},
    },
    "reason": "PowerUp",
}


def dial(running: Running, version: Version = Version.V201, identity: str = "CP1") -> Any:
    return raw_charger(f"{running.url}/{identity}", subprotocols=[version.subprotocol])


def is_answer(version: Version, action: str, answer: Any) -> bool:
    schema = load_schema(version, action, is_answer=True)
    return bool(jsonschema_rs.validator_for(schema).is_valid(answer))


@pytest.mark.parametrize("make", [least_request, full_request])
@pytest.mark.parametrize("version", VERSIONS)
async def test_every_action_is_answered_by_its_schema(
    pool: Pool, bus: Client, version: Version, make: Callable[[Version, str], dict[str, Any]]
) -> None:
    await add_charger(pool, "CP1")
    async with running_gateway(pool, bus) as running, dial(running, version) as charger:
        assert set(ROUTES[version]) == set(FROM_CHARGER[version])
        for action in FROM_CHARGER[version]:
            request = make(version, action)
            if action in UNANSWERED:
                await charger.send([6, action, action, request])
                continue
            answer = await charger.call(action, request)
            assert isinstance(answer, dict), (action, answer)
            assert is_answer(version, action, answer), (action, answer)
    recorded = {kind_of(action) for action in ANSWERS if action in FROM_CHARGER[version]}
    kinds = {kind.decode() for kind in (await log_rows(bus, "device_events"))["kind"]}
    assert recorded <= kinds
    # a unit named "text" is no unit: those samples alone are refused
    assert ("payload_refused" in kinds) is (make is full_request)


async def test_boot_keeps_what_the_station_is(pool: Pool, bus: Client) -> None:
    device = await add_charger(pool, "CP1")
    async with running_gateway(pool, bus) as running, dial(running) as charger:
        assert (await charger.call("BootNotification", BOOT))["status"] == "Accepted"
        async with pool.connection() as connection:
            stored = await get_device(connection, device.id)
            await set_device_status(connection, device.id, "quarantined")
    assert stored is not None
    assert (stored.vendor, stored.model, stored.firmware) == ("Acme", "Two", "2.5")
    boot = (await events(bus, "boot"))[0]
    assert (boot["reason"], boot["iccid"]) == ("PowerUp", "8931")
    async with running_gateway(pool, bus) as running, dial(running) as charger:
        assert (await charger.call("BootNotification", BOOT))["status"] == "Pending"
        token = {"idToken": {"idToken": "card", "type": "ISO14443"}}
        assert (await charger.call("Authorize", token))["idTokenInfo"]["status"] == "Invalid"


async def test_a_token_is_judged_with_its_type_group_and_expiry(pool: Pool, bus: Client) -> None:
    await add_charger(pool, "CP1")
    user_id = await add_driver(pool, "plain")
    soon, gone = datetime.now(UTC) + timedelta(days=1), datetime(2026, 1, 1, tzinfo=UTC)
    long = "x" * 200
    async with pool.connection() as connection:
        await put_token(connection, "Typed", user_id, type_="ISO14443", group_id="Fleet", expires_at=soon)
        await put_token(connection, "old", user_id, expires_at=gone)
        await put_token(connection, "bad", user_id, status="Blocked")
        await put_token(connection, long, user_id, group_id="g" * 100)

    async def info(charger: RawCharger, token: str, type_: str) -> Any:
        return (await charger.call("Authorize", {"idToken": {"idToken": token, "type": type_}}))[
            "idTokenInfo"
        ]

    async with running_gateway(pool, bus) as running:
        async with dial(running) as charger:
            assert await info(charger, "PLAIN", "Central") == {"status": "Accepted"}
            typed = await info(charger, "TYPED", "ISO14443")
            assert typed["groupIdToken"] == {"idToken": "Fleet", "type": "Central"}
            assert typed["cacheExpiryDateTime"].startswith(f"{soon:%Y-%m-%dT%H:%M:%S}")
            assert (await info(charger, "typed", "eMAID"))["status"] == "Unknown"
            assert (await info(charger, "nobody", "Central"))["status"] == "Unknown"
            assert (await info(charger, "old", "Central"))["status"] == "Expired"
            assert (await info(charger, "bad", "Central"))["status"] == "Blocked"
            assert (await info(charger, "", "NoAuthorization"))["status"] == "Accepted"
        async with dial(running, Version.V21) as charger:
            assert (await info(charger, long, "Central"))["groupIdToken"]["idToken"] == "g" * 100
        async with raw_charger(f"{running.url}/CP1") as charger:  # the same token over 1.6
            typed = (await charger.call("Authorize", {"idTag": "typed"}))["idTagInfo"]
            assert (typed["status"], typed["parentIdTag"]) == ("Accepted", "Fleet")
            assert (await charger.call("Authorize", {"idTag": "no"}))["idTagInfo"] == {"status": "Invalid"}


HASH = {
    "hashAlgorithm": "SHA256",
    "issuerNameHash": "a",
    "issuerKeyHash": "b",
    "serialNumber": "1",
    "responderURL": "http://ocsp.example.org",
}
CONTRACT = {"idToken": {"idToken": "contract", "type": "eMAID"}, "iso15118CertificateHashData": [HASH]}


class Provider:
    """A provider that vouches for all."""

    async def ev_certificate(self, schema_version: str, action: str, exi: str) -> EvCertificate:
        return EvCertificate(is_accepted=True, exi=f"{action}:{exi}")

    async def ocsp_result(self, request: Mapping[str, Any]) -> str | None:
        return str(request["serialNumber"])

    async def chain_status(self, request: Mapping[str, Any], now_us: int) -> ChainStatus:
        return ChainStatus("Good", now_us)

    async def contract_status(self, certificate: str | None, hashes: Sequence[Mapping[str, Any]]) -> str:
        return "Accepted" if len(hashes) == 1 else "CertChainError"


async def test_a_contract_needs_somebody_who_vouches_for_it(pool: Pool, bus: Client) -> None:
    await add_charger(pool, "CP1")
    await add_driver(pool, "contract")
    install = {"iso15118SchemaVersion": "urn:iso", "action": "Install", "exiRequest": "AA=="}
    async with running_gateway(pool, bus) as running:
        async with dial(running) as charger:
            alone = await charger.call("Authorize", CONTRACT)
            assert alone["certificateStatus"] == "NoCertificateAvailable"
            assert alone["idTokenInfo"]["status"] == "Invalid"
            failed = await charger.call("Get15118EVCertificate", install)
            assert (failed["status"], failed["exiResponse"]) == ("Failed", "")
            status = await charger.call("GetCertificateStatus", {"ocspRequestData": HASH})
            assert status["status"] == "Failed"
        services = running.gateway.services
        facts = {name: getattr(services, name) for name in Services.__slots__}
        running.gateway.services = Services(**{**facts, "contracts": Provider()})
        async with dial(running) as charger:
            vouched = await charger.call("Authorize", CONTRACT)
            assert vouched == {"idTokenInfo": {"status": "Accepted"}, "certificateStatus": "Accepted"}
            got = await charger.call("Get15118EVCertificate", install)
            assert got == {"status": "Accepted", "exiResponse": "Install:AA=="}
            status = await charger.call("GetCertificateStatus", {"ocspRequestData": HASH})
            assert status == {"status": "Accepted", "ocspResult": "1"}


async def connector_status(pool: Pool, device_id: int) -> dict[int, str]:
    async with pool.connection() as connection:
        return {each.connector_id: each.status for each in await list_connectors(connection, device_id)}


async def test_statuses_of_connectors_make_that_of_their_evse(pool: Pool, bus: Client) -> None:
    device = await add_charger(pool, "CP1")

    async def status(charger: RawCharger, evse: int, connector: int, word: str) -> dict[int, str]:
        about = {"timestamp": TIME, "evseId": evse, "connectorId": connector, "connectorStatus": word}
        assert await charger.call("StatusNotification", about) == {}
        return await connector_status(pool, device.id)

    async with running_gateway(pool, bus) as running, dial(running) as charger:
        assert await status(charger, 1, 1, "Available") == {1: "Available"}
        assert await status(charger, 1, 2, "Occupied") == {1: "Preparing"}
        assert await status(charger, 1, 1, "Unavailable") == {1: "Preparing"}
        assert await status(charger, 1, 2, "Available") == {1: "Available"}
        assert await status(charger, 2, 1, "Faulted") == {1: "Available", 2: "Faulted"}
        assert await status(charger, 2, 1, "Dancing") == {1: "Available", 2: "Unavailable"}
        transaction = {
            "eventType": "Started",
            "timestamp": TIME,
            "triggerReason": "CablePluggedIn",
            "seqNo": 0,
            "transactionInfo": {"transactionId": "t", "chargingState": "Charging"},
            "evse": {"id": 1, "connectorId": 2},
        }
        await charger.call("TransactionEvent", transaction)
        assert (await status(charger, 1, 2, "Occupied"))[1] == "Charging", "it is known to be more"
        ended = {**transaction, "eventType": "Ended", "seqNo": 1, "transactionInfo": {"transactionId": "t"}}
        await charger.call("TransactionEvent", ended)
        assert (await connector_status(pool, device.id))[1] == "Finishing"
        assert (await status(charger, 1, 2, "Available"))[1] == "Available"


async def test_an_availability_told_by_an_event_is_a_status(pool: Pool, bus: Client) -> None:
    device = await add_charger(pool, "CP1")
    live = await bus.subscribe("gridwire.live.charger-event")
    event = {
        "eventId": 1,
        "timestamp": TIME,
        "trigger": "Delta",
        "actualValue": "Occupied",
        "eventNotificationType": "HardWiredNotification",
        "component": {"name": "Connector", "evse": {"id": 3, "connectorId": 1}},
        "variable": {"name": "AvailabilityState"},
    }
    other = {**event, "actualValue": "75", "variable": {"name": "Temperature"}, "techInfo": "hot"}
    async with running_gateway(pool, bus) as running, dial(running, Version.V21) as charger:
        report = {"generatedAt": TIME, "seqNo": 0, "eventData": [event, other]}
        assert await charger.call("NotifyEvent", report) == {}
    assert await connector_status(pool, device.id) == {3: "Preparing"}
    assert [each["actualValue"] for each in await events(bus, "notify_event")] == ["Occupied", "75"]
    assert b'"75"' in (await live.next_msg(2)).data + (await live.next_msg(2)).data


def variable(name: str, value: str) -> dict[str, Any]:
    return {
        "component": {"name": "EVSE", "evse": {"id": 1}},
        "variable": {"name": name},
        "variableAttribute": [{"value": value, "mutability": "ReadOnly"}],
        "variableCharacteristics": {"dataType": "decimal", "supportsMonitoring": True, "unit": "W"},
    }


async def test_a_report_is_kept_in_whatever_order_its_parts_come(pool: Pool, bus: Client) -> None:
    device = await add_charger(pool, "CP1")
    parts = [
        {"requestId": 7, "generatedAt": TIME, "seqNo": 1, "tbc": False, "reportData": [variable("B", "2")]},
        {"requestId": 7, "generatedAt": TIME, "seqNo": 0, "tbc": True, "reportData": [variable("A", "1")]},
    ]
    async with running_gateway(pool, bus) as running, dial(running) as charger:
        for part in (*parts, parts[0]):
            assert await charger.call("NotifyReport", part) == {}
    async with pool.connection() as connection:
        variables, _ = await list_variables(connection, device.id, limit=10)
        jobs, _ = await list_jobs(connection, device.id, limit=10)
    assert [(each.variable, each.value, each.evse_id) for each in variables] == [("A", "1", 1), ("B", "2", 1)]
    assert [(job.kind, job.request_id, job.is_finished, job.parts) for job in jobs] == [
        ("report", 7, True, 2)
    ]


async def test_reports_of_profiles_monitors_messages_and_customers_are_kept(pool: Pool, bus: Client) -> None:
    device = await add_charger(pool, "CP1")
    schedule = {
        "id": 1,
        "chargingRateUnit": "W",
        "chargingSchedulePeriod": [{"startPeriod": 0, "limit": 7.0}],
    }
    profile = {
        "id": 5,
        "stackLevel": 2,
        "chargingProfilePurpose": "TxDefaultProfile",
        "chargingProfileKind": "Absolute",
        "chargingSchedule": [schedule],
    }
    profiles = {"requestId": 1, "chargingLimitSource": "EMS", "evseId": 1, "chargingProfile": [profile]}
    monitor = {"id": 3, "transaction": False, "value": 80, "type": "UpperThreshold", "severity": 4}
    monitors = {
        "requestId": 2,
        "seqNo": 0,
        "generatedAt": TIME,
        "monitor": [{**variable("T", "1"), "variableMonitoring": [monitor]}],
    }
    for each in monitors["monitor"]:  # type: ignore[attr-defined]
        del each["variableAttribute"], each["variableCharacteristics"]
    message = {"id": 9, "priority": "InFront", "message": {"format": "UTF8", "content": "Hello"}}
    customer = [
        {"requestId": 4, "seqNo": seq_no, "generatedAt": TIME, "data": data, "tbc": seq_no == 0}
        for seq_no, data in ((1, "world"), (0, "hello "))
    ]
    async with running_gateway(pool, bus) as running, dial(running) as charger:
        assert await charger.call("ReportChargingProfiles", profiles) == {}
        assert await charger.call("NotifyMonitoringReport", monitors) == {}
        assert await charger.call("NotifyDisplayMessages", {"requestId": 3, "messageInfo": [message]}) == {}
        for part in customer:
            assert await charger.call("NotifyCustomerInformation", part) == {}
    async with pool.connection() as connection:
        kept, _ = await list_profiles(connection, device.id, limit=10)
        watching, _ = await list_monitors(connection, device.id, limit=10)
        shown, _ = await list_messages(connection, device.id, limit=10)
        jobs, _ = await list_jobs(connection, device.id, limit=10)
    assert [(each.profile_id, each.evse_id, each.source) for each in kept] == [(5, 1, "EMS")]
    assert [(each.monitor_id, each.variable, each.value) for each in watching] == [(3, "T", 80.0)]
    assert [each.message["message"]["content"] for each in shown] == ["Hello"]
    assert all(job.is_finished for job in jobs)
    assert [job.text for job in jobs if job.kind == "customer_information"] == ["hello world"]


async def test_a_reservation_ends_by_the_charger_or_by_its_use(pool: Pool, bus: Client) -> None:
    device = await add_charger(pool, "CP1")
    later = datetime.now(UTC) + timedelta(hours=1)
    async with pool.connection() as connection:
        for number in (1, 2, 3):
            reservation = Reservation(number, 1, None, "card", "Central", None, later)
            await put_reservation(connection, device.id, reservation, datetime.now(UTC))
    started = {
        "eventType": "Started",
        "timestamp": TIME,
        "triggerReason": "Authorized",
        "seqNo": 0,
        "reservationId": 3,
        "transactionInfo": {"transactionId": "t"},
    }
    async with running_gateway(pool, bus) as running, dial(running) as charger:
        for number, word in ((1, "Expired"), (2, "Removed"), (99, "Removed")):
            update = {"reservationId": number, "reservationUpdateStatus": word}
            assert await charger.call("ReservationStatusUpdate", update) == {}
        assert await charger.call("TransactionEvent", started) == {}
    async with pool.connection() as connection:
        found, _ = await list_reservations(connection, device.id, now=datetime.now(UTC), limit=10)
    assert {each.reservation_id: each.status for each in found} == {1: "expired", 2: "removed", 3: "used"}


async def test_meter_values_go_where_those_of_1_6_go(pool: Pool, bus: Client) -> None:
    await add_charger(pool, "CP1")
    signed = {
        "signedMeterData": "T0NNRg==",
        "signingMethod": "ECDSA",
        "encodingMethod": "OCMF",
        "publicKey": "",
    }
    sampled = [
        {"value": 1.5, "unitOfMeasure": {"unit": "Wh", "multiplier": 3}, "signedMeterValue": signed},
        {"value": 230, "measurand": "Voltage", "phase": "L1"},
        {"value": 1, "measurand": "Dancing"},
    ]
    values = {"evseId": 2, "meterValue": [{"timestamp": TIME, "sampledValue": sampled}]}
    async with running_gateway(pool, bus) as running, dial(running) as charger:
        assert await charger.call("MeterValues", values) == {}
    rows = await log_rows(bus, "charger_samples")
    assert rows["value"] == [1500.0, 230.0]
    assert rows["connector_id"] == [2, 2]
    assert len(await events(bus, "payload_refused")) == 1
    kept = await events(bus, "signed_meter_value")
    assert [each["signedMeterValue"]["signedMeterData"] for each in kept] == ["T0NNRg=="]


async def test_a_stream_of_2_1_is_kept_without_an_answer(pool: Pool, bus: Client) -> None:
    await add_charger(pool, "CP1")
    stream = {"id": 1, "pending": 0, "basetime": TIME, "data": [{"t": 0, "v": "5"}]}
    async with running_gateway(pool, bus) as running, dial(running, Version.V21) as charger:
        await charger.send([6, "s", "NotifyPeriodicEventStream", stream])

        async def is_kept() -> bool:
            return bool(await events(bus, "notify_periodic_event_stream"))

        await eventually(is_kept)
        assert "currentTime" in await charger.call("Heartbeat", {}), "the next answer is the next call's"


async def test_work_and_security_are_those_of_all_versions(pool: Pool, bus: Client) -> None:
    device = await add_charger(pool, "CP1")
    async with running_gateway(pool, bus) as running, dial(running) as charger:
        for status in ("Downloading", "Installed"):
            told = {"status": status, "requestId": 8}
            assert await charger.call("FirmwareStatusNotification", told) == {}
        alarm = {"type": "InvalidTLSVersion", "timestamp": TIME}
        assert await charger.call("SecurityEventNotification", alarm) == {}
    async with pool.connection() as connection:
        jobs, _ = await list_jobs(connection, device.id, limit=10)
    assert [(job.kind, job.status, job.is_finished) for job in jobs] == [("firmware", "Installed", True)]
    assert [each["type"] for each in await events(bus, "security_event")] == ["InvalidTLSVersion"]
