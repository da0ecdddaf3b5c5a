"""Many devices from CSV: all or none, each error told by its line; and one device in another's place."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from storage.database import Connection
from storage.errors import NotFoundError
from storage.queries import device_registry, devices, estates, meters, profiles, units
from stream import device_import, replacement
from stream.device_import import Imported, LineError, import_devices, token_secret

AT = datetime(2026, 3, 1, tzinfo=UTC)
AES = "000102030405060708090a0b0c0d0e0f"


async def view_of(connection: Connection, identity: str) -> device_registry.DeviceView:
    device = await devices.find_device(connection, "meter", identity)
    assert device is not None
    view = await device_registry.get_view(connection, device.id)
    assert view is not None
    return view


async def test_devices_are_entered_with_profile_and_keys(connection: Connection) -> None:
    await profiles.put_profile(connection, name="acme", decoder="cayenne_lpp")
    text = (
        "\ufeffidentity,profile,name,payload_aes,token,status\r\n"
        f'70B3D5499C1D0001,acme,"Water, unit 101",{AES},a-long-token,\r\n'
        "\r\n"
        "70b3d5499c1d0002,,,,,quarantined\r\n"
    )
    assert await import_devices(connection, text) == Imported(lines=2, created=2)
    first, second = [await view_of(connection, f"70b3d5499c1d000{n}") for n in (1, 2)]
    assert (first.profile_name, first.name, first.status) == ("acme", "Water, unit 101", "active")
    assert first.key_kinds == ["payload_aes", "token"]
    assert (second.profile_name, second.status) == (None, "quarantined")
    keys = await profiles.device_keys(connection, first.id)
    assert keys == {"payload_aes": bytes(range(16)), "token": token_secret("a-long-token")}


async def test_the_same_file_again_changes_what_it_says_and_nothing_else(connection: Connection) -> None:
    await import_devices(connection, f"identity,name,payload_aes\na1,One,{AES}\na2,Two,\n")
    await devices.set_device_status(connection, (await view_of(connection, "a1")).id, "quarantined")
    assert await import_devices(connection, "identity,name\nA1,\na2,Other\n") == Imported(2, 0, 2)
    first, second = await view_of(connection, "a1"), await view_of(connection, "a2")
    assert (first.name, first.status, first.key_kinds) == ("One", "quarantined", ["payload_aes"])
    assert second.name == "Other"


async def test_each_error_is_told_by_its_line_and_nothing_is_entered(connection: Connection) -> None:
    text = (
        "identity,kind,profile,payload_aes,token,status\n"
        "good,,,,,\n"
        ",meter,,,,\n"
        "b,charger,,,,\n"
        "c,,nowhere,12,short,gone\n"
        "GOOD,meter,,,,\n"
        "d\n"
        "e,,,,,,,\n"
        'f,"\x07",,,,\n'
    )
    report = await import_devices(connection, text)
    assert [(error.line, error.column) for error in report.errors] == [
        (3, "identity"),
        (4, "kind"),
        (5, "status"),
        (5, "profile"),
        (5, "payload_aes"),
        (5, "token"),
        (6, "identity"),
        (7, ""),
        (8, ""),
        (9, "kind"),
        (9, "kind"),
    ]
    assert report.errors[6].message == "GOOD stands in line 2 already"
    assert (report.created, report.updated) == (0, 0)
    assert await devices.find_device(connection, "meter", "good") is None


@pytest.mark.parametrize("header", ["", "name", "identity,colour", "identity,identity", "\x00", '"identity'])
async def test_a_file_without_its_columns_is_refused(connection: Connection, header: str) -> None:
    report = await import_devices(connection, f"{header}\na,b\n")
    assert len(report.errors) == 1
    assert report.created == 0


async def test_a_trial_writes_nothing(connection: Connection) -> None:
    assert await import_devices(connection, "identity\na\nb\n", is_trial=True) == Imported(2, 2)
    assert await devices.find_device(connection, "meter", "a") is None


async def test_files_and_reports_have_bounds(connection: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device_import, "LINES_MAX", 3)
    monkeypatch.setattr(device_import, "ERRORS_MAX", 2)
    assert (await import_devices(connection, "identity\na\nb\nc\nd\n")).errors == [
        LineError(5, "", "at most 3 devices are entered at once: cut the file")
    ]
    report = await import_devices(connection, "identity,kind\na,x\nb,x\nc,x\n")
    assert (len(report.errors), report.errors_left_out) == (2, 1)


async def test_a_device_takes_anothers_place_at_its_meter(connection: Connection) -> None:
    profile = await profiles.put_profile(connection, name="acme", decoder="cayenne_lpp")
    old = await devices.register_device(connection, "meter", "old", name="Kitchen")
    new = await devices.register_device(connection, "meter", "new", status="quarantined")
    await profiles.set_device_profile(connection, old.id, profile.id)
    meter_id = await a_meter(connection)
    since = datetime(2026, 1, 1, tzinfo=UTC)
    await meters.install(
        connection, meter_id=meter_id, device_id=old.id, quantity="pulses", multiplier=Decimal("0.01"),
        register_modulus=Decimal(10**6), since=since,
    )  # fmt: skip
    assert await replacement.replace(connection, old.id, new.id, AT) == 1
    before, after = await meters.installations(connection, meter_id)
    assert (before.device_id, before.since, before.until) == (old.id, since, AT)
    assert (after.device_id, after.since, after.until) == (new.id, AT, None)
    assert (after.quantity, after.multiplier) == ("pulses", Decimal("0.01"))
    assert after.register_modulus == Decimal(10**6)
    view, gone = await view_of(connection, "new"), await view_of(connection, "old")
    assert (view.status, view.profile_name, view.name) == ("active", "acme", "Kitchen")
    assert (gone.status, gone.replaced_by) == ("archived", new.id)
    with pytest.raises(NotFoundError, match="replaced before"):
        await replacement.replace(connection, old.id, new.id, AT)


async def a_meter(connection: Connection) -> int:
    estate = await estates.insert_estate(
        connection, name="Sunset", address=None, time_zone="UTC", currency="ZAR"
    )
    unit = await units.insert_unit(connection, estate.id, "101")
    meter = await meters.insert_meter(
        connection, unit_id=unit.id, serial_number="M1", meter_type="prepaid", utility_type="water",
        device_type="Ultrasonic", communication_type="LoRa",
    )  # fmt: skip
    return meter.id
