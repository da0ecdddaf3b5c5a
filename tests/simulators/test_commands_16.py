"""What a charger of OCPP 1.6 does on order beyond the core profile; certificates of every version."""

import random
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from protocols.ocpp.surface import Version
from simulators.charger import ChargePoint
from simulators.charger_settings import ChargerSettings
from simulators.statuses import Status
from tests.simulators.central import Bench, Central

NOW_US = 1_790_000_000_000_000
EXPIRY = "2026-09-21T14:26:40.000Z"  # NOW_US and 13 minutes and 20 seconds
FREE: dict[str, Any] = {"first_plug_s": (1e6, 2e6), "session_s": (1e5, 1e5 + 1)}
FOR_EVER: dict[str, Any] = {"first_plug_s": (0.0, 1.0), "session_s": (1e5, 1e5 + 1)}


def bench(version: Version = Version.V16, **more: Any) -> Bench:
    basis: dict[str, Any] = {"identity": "CP-1", "id_tags": ("TAG-1",), "connectors": 1, "version": version}
    charger = ChargePoint(ChargerSettings(**{**basis, **more}), random.Random(1), NOW_US)
    one = Bench(charger, Central(version=version), NOW_US)
    one.connect()
    return one


def profile(limit: float, unit: str = "A", **more: Any) -> dict[str, Any]:
    schedule = {"chargingRateUnit": unit, "chargingSchedulePeriod": [{"startPeriod": 0, "limit": limit}]}
    return {
        "chargingProfileId": 1, "stackLevel": 0, "chargingProfilePurpose": "TxDefaultProfile",
        "chargingProfileKind": "Relative", "chargingSchedule": schedule, **more,
    }  # fmt: skip


def current_a(one: Bench) -> float:
    return max(one.charger.connectors[1].outlet.read(one.now_us).currents_a)


# --- smart charging -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("limit", "unit"), [(10.0, "A"), (6_900.0, "W")])
def test_a_profile_limits_the_current_of_each_phase(limit: float, unit: str) -> None:
    one = bench(**FOR_EVER)
    one.run(20)
    assert current_a(one) > 11
    order = {"connectorId": 1, "csChargingProfiles": profile(limit, unit)}
    assert one.order("SetChargingProfile", **order) == {"status": "Accepted"}
    one.run(2)
    assert 9.8 < current_a(one) <= 10
    answer = one.order("GetCompositeSchedule", connectorId=1, duration=60, chargingRateUnit=unit)
    assert answer["chargingSchedule"]["chargingSchedulePeriod"] == [{"startPeriod": 0, "limit": limit}]
    assert one.order("ClearChargingProfile", connectorId=2) == {"status": "Unknown"}
    assert one.order("ClearChargingProfile", id=1) == {"status": "Accepted"}
    one.run(2)
    assert current_a(one) > 11


def test_a_higher_level_counts_and_the_transaction_s_own_before_the_default() -> None:
    one = bench(**FOR_EVER)
    one.run(20)
    for order in (
        profile(14.0),
        profile(13.0, chargingProfileId=2, stackLevel=1),
        profile(12.0, chargingProfileId=3, chargingProfilePurpose="TxProfile", transactionId=1),
    ):
        assert (
            one.order("SetChargingProfile", connectorId=1, csChargingProfiles=order)["status"] == "Accepted"
        )
        one.run(2)
        limit = order["chargingSchedule"]["chargingSchedulePeriod"][0]["limit"]
        assert limit - 0.3 < current_a(one) <= limit
    foreign = profile(1.0, chargingProfileId=4, chargingProfilePurpose="TxProfile", transactionId=99)
    assert one.order("SetChargingProfile", connectorId=1, csChargingProfiles=foreign) == {
        "status": "Rejected"
    }
    one.order("RemoteStopTransaction", transactionId=1)
    assert one.order("ClearChargingProfile", id=3) == {"status": "Unknown"}, "it went with its transaction"


def test_suspended_by_the_charger_and_back() -> None:
    one = bench(**FOR_EVER)
    one.run(20)
    one.order("SetChargingProfile", connectorId=1, csChargingProfiles=profile(0.0))
    one.order("ClearChargingProfile")
    statuses = [call["status"] for call in one.central.of("StatusNotification") if call["connectorId"] == 1]
    assert statuses[-3:] == ["Charging", "SuspendedEVSE", "Charging"]


def test_a_profile_that_comes_with_a_remote_start_limits_its_session() -> None:
    one = bench(**FREE)
    raw = profile(9.0, chargingProfilePurpose="TxProfile")
    one.order("RemoteStartTransaction", idTag="X", connectorId=1, chargingProfile=raw)
    one.run(30)
    assert 8.8 < current_a(one) <= 9


# --- reservations and the local list ------------------------------------------------------------------


def test_a_reservation_ends_in_its_session_in_a_cancel_or_in_time() -> None:
    one = bench(**FREE)
    order = {"connectorId": 1, "expiryDate": EXPIRY, "idTag": "VIP", "reservationId": 3}
    assert one.order("ReserveNow", **order) == {"status": "Accepted"}
    assert one.central.of("StatusNotification")[-1]["status"] == Status.RESERVED
    assert one.order("ReserveNow", **{**order, "reservationId": 4}) == {"status": "Occupied"}
    assert one.order("CancelReservation", reservationId=4) == {"status": "Rejected"}
    assert one.order("CancelReservation", reservationId=3) == {"status": "Accepted"}
    assert one.central.of("StatusNotification")[-1]["status"] == Status.AVAILABLE
    one.order("ReserveNow", **{**order, "connectorId": 0})
    assert one.order("RemoteStartTransaction", idTag="OTHER") == {"status": "Rejected"}
    assert one.order("RemoteStartTransaction", idTag="VIP") == {"status": "Accepted"}
    one.run(30)
    assert one.central.of("StartTransaction")[0]["reservationId"] == 3
    two = bench(**FREE)
    two.order("ReserveNow", **order)
    two.run(1_000, step_s=10)
    assert two.charger.connectors[1].status is Status.AVAILABLE


def test_a_list_is_taken_whole_and_by_its_changes() -> None:
    one = bench(**FREE)

    def send(version: int, kind: str, **statuses: str | None) -> str:
        entries: list[dict[str, Any]] = [
            {"idTag": tag, **({} if status is None else {"idTagInfo": {"status": status}})}
            for tag, status in statuses.items()
        ]
        order = {"listVersion": version, "updateType": kind, "localAuthorizationList": entries}
        return str(one.order("SendLocalList", **order)["status"])

    kept = one.charger.local_list
    assert send(1, "Full", A="Accepted", B="Blocked") == "Accepted"
    assert send(1, "Differential", C="Accepted") == "VersionMismatch"
    assert send(2, "Differential", B=None, C="Expired") == "Accepted"
    assert [kept.status(tag) for tag in "ABC"] == ["Accepted", None, "Expired"]
    assert send(3, "Full", A=None) == "Failed"
    assert one.order("GetLocalListVersion") == {"listVersion": 2}
    assert send(7, "Full") == "Accepted"
    assert len(kept) == 0


# --- firmware, logs, keys -----------------------------------------------------------------------------


def test_firmware_waits_for_the_session_and_diagnostics_go_up() -> None:
    one = bench(**FOR_EVER)
    one.run(20)
    location = "https://example.com/x"
    assert one.order("UpdateFirmware", location=location, retrieveDate="2020-01-01T00:00:00Z") == {}
    assert one.order("GetDiagnostics", location=location) == {"fileName": "CP-1-diagnostics.log"}
    one.run(60)
    assert [call["status"] for call in one.central.of("DiagnosticsStatusNotification")] == [
        "Uploading",
        "Uploaded",
    ]
    told = [call["status"] for call in one.central.of("FirmwareStatusNotification")]
    assert told == ["Downloading", "Downloaded"]
    assert one.order("TriggerMessage", requestedMessage="FirmwareStatusNotification") == {
        "status": "Accepted"
    }
    assert one.central.of("FirmwareStatusNotification")[-1] == {"status": "Downloaded"}
    one.order("RemoteStopTransaction", transactionId=1)
    one.run(30)
    told = [call["status"] for call in one.central.of("FirmwareStatusNotification")]
    assert told[-2:] == ["Installing", "Installed"]
    versions = [call["firmwareVersion"] for call in one.central.of("BootNotification")]
    assert versions == ["1.0.0", "1.0.1"]


def test_a_signed_update_is_scheduled_checked_and_told_with_its_request() -> None:
    one = bench(**FREE)
    firmware = {
        "location": "https://example.com/x", "retrieveDateTime": "2026-09-21T14:15:00Z",
        "signingCertificate": certificate()[0], "signature": "x",
    }  # fmt: skip
    wrong = {**firmware, "signingCertificate": "x"}
    assert one.order("SignedUpdateFirmware", requestId=5, firmware=wrong) == {"status": "InvalidCertificate"}
    assert one.order("SignedUpdateFirmware", requestId=6, firmware=firmware) == {"status": "Accepted"}
    one.run(200)
    told = one.central.of("SignedFirmwareStatusNotification")
    steps = "DownloadScheduled Downloading Downloaded SignatureVerified Installing Installed"
    assert [call["status"] for call in told] == steps.split()
    assert {call["requestId"] for call in told} == {6}
    one.order("SignedUpdateFirmware", requestId=7, firmware=firmware)
    one.run(3)
    one.order("TriggerMessage", requestedMessage="FirmwareStatusNotification")
    one.order("ExtendedTriggerMessage", requestedMessage="FirmwareStatusNotification")
    assert one.central.of("FirmwareStatusNotification") == [{"status": "Idle"}]
    last = {"status": "Downloading", "requestId": 7}
    assert one.central.of("SignedFirmwareStatusNotification")[-2:] == [last, last]


def test_a_new_password_is_used_from_a_new_connection_on() -> None:
    one = bench(**FREE)
    assert one.order("ChangeConfiguration", key="AuthorizationKey", value="short") == {"status": "Rejected"}
    key = "0123456789abcdef"
    assert one.order("ChangeConfiguration", key="AuthorizationKey", value=key) == {"status": "Accepted"}
    assert one.charger.wants_close
    assert one.charger.configuration.password == key
    assert key not in str(one.order("GetConfiguration"))


# --- certificates -------------------------------------------------------------------------------------


def certificate(csr: x509.CertificateSigningRequest | None = None) -> tuple[str, ec.EllipticCurvePrivateKey]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a root")])
    now = datetime(2026, 1, 1, tzinfo=UTC)
    builder = x509.CertificateBuilder().subject_name(name if csr is None else csr.subject).issuer_name(name)
    builder = builder.public_key(key.public_key() if csr is None else csr.public_key())
    builder = builder.serial_number(77).not_valid_before(now).not_valid_after(now + timedelta(days=900))
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM).decode(), key


@pytest.mark.parametrize("version", Version)
def test_a_certificate_is_asked_for_with_a_real_request_and_taken_only_for_its_key(version: Version) -> None:
    one = bench(version, **FREE)
    action = "TriggerMessage" if version.is_2 else "ExtendedTriggerMessage"
    wanted = "SignChargingStationCertificate" if version.is_2 else "SignChargePointCertificate"
    assert one.order(action, requestedMessage=wanted) == {"status": "Accepted"}
    one.run(1)
    csr = x509.load_pem_x509_csr(one.central.of("SignCertificate")[0]["csr"].encode())
    assert csr.is_signature_valid
    assert csr.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value == "CP-1"
    assert one.order("CertificateSigned", certificateChain=certificate()[0]) == {"status": "Rejected"}
    assert one.order("CertificateSigned", certificateChain="x") == {"status": "Rejected"}
    signed, _ = certificate(csr)
    assert one.order("CertificateSigned", certificateChain=signed) == {"status": "Accepted"}
    assert one.charger.certificates.chain == signed


@pytest.mark.parametrize("version", Version)
def test_roots_are_installed_listed_and_deleted_by_their_hashes(version: Version) -> None:
    one = bench(version, **FREE)
    kind = "CSMSRootCertificate" if version.is_2 else "CentralSystemRootCertificate"
    asked: dict[str, Any] = {"certificateType": [kind] if version.is_2 else kind}
    assert one.order("GetInstalledCertificateIds", **asked) == {"status": "NotFound"}
    pem, _ = certificate()
    assert one.order("InstallCertificate", certificateType=kind, certificate="x") == {"status": "Rejected"}
    one.run(1)
    assert len(one.central.of("SecurityEventNotification")) == 1
    assert one.order("InstallCertificate", certificateType=kind, certificate=pem) == {"status": "Accepted"}
    found = one.order("GetInstalledCertificateIds", **asked)
    (entry,) = found["certificateHashDataChain"] if version.is_2 else found["certificateHashData"]
    hash_data = entry["certificateHashData"] if version.is_2 else entry
    assert hash_data["serialNumber"] == "4d"
    assert one.order("DeleteCertificate", certificateHashData=hash_data) == {"status": "Accepted"}
    assert one.order("DeleteCertificate", certificateHashData=hash_data) == {"status": "NotFound"}
