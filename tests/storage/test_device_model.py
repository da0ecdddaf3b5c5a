"""The device model and what else chargers were told to keep, on a real database."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from storage.database import Connection, fetch_value
from storage.queries import (
    charger_jobs,
    charging_profiles,
    device_model,
    display_messages,
    local_lists,
    variable_monitors,
)
from storage.queries.charger_jobs import JobState, add_job_part, begin_job, list_jobs, update_job
from storage.queries.charging_profiles import (
    ChargingProfile,
    end_transaction_profiles,
    list_profiles,
    put_profile,
    remove_profiles,
)
from storage.queries.device_model import (
    Variable,
    VariableName,
    list_variables,
    put_variables,
    remove_variables,
)
from storage.queries.display_messages import DisplayMessage, list_messages, put_message, remove_message
from storage.queries.local_lists import (
    Entry,
    doubt_local_list,
    get_local_list,
    list_entries,
    report_local_list,
    update_local_list,
)
from storage.queries.reservations import Reservation, end_reservation, list_reservations, put_reservation
from storage.queries.variable_monitors import (
    Monitor,
    list_monitors,
    put_monitor,
    remove_monitors,
    remove_monitors_of,
)
from tests.storage.people import NOON, make_charger

LATER = NOON + timedelta(minutes=5)
KEY = Variable("", "", 0, 0, "HeartbeatInterval", value="300", mutability="ReadWrite")
POWER = Variable("EVSE", "", 1, 0, "Power", attribute="MaxSet", value="22", characteristics={"unit": "kW"})
PROFILE = ChargingProfile(1, 1, "TxDefaultProfile", 0, None, "CSO", {"id": 1})
RESERVATION = Reservation(7, 1, None, "CARD", "", None, NOON + timedelta(hours=1))
MONITOR = Monitor(1, "EVSE", "", 1, 0, "Power", "", "UpperThreshold", 11.5, 5, False, "CustomMonitor")


@pytest.fixture
async def charger(connection: Connection) -> int:
    return (await make_charger(connection)).id


async def values(connection: Connection, charger: int) -> dict[str, str | None]:
    page, _ = await list_variables(connection, charger, limit=100)
    return {variable.variable: variable.value for variable in page}


async def test_variables_are_known_by_name_without_case(connection: Connection, charger: int) -> None:
    assert await put_variables(connection, charger, [KEY, POWER], NOON) == 2
    again = replace(KEY, variable="HEARTBEATINTERVAL", value="60", mutability=None)
    assert await put_variables(connection, charger, [KEY, again], LATER) == 1
    page, total = await list_variables(connection, charger, limit=1)
    assert total == 2
    (key,) = page
    assert (key.variable, key.value, key.mutability) == ("HeartbeatInterval", "60", "ReadWrite")
    assert key.updated_at == LATER
    (power,), _ = await list_variables(connection, charger, limit=9, offset=1)
    assert (power.evse_id, power.attribute, power.characteristics) == (1, "MaxSet", {"unit": "kW"})
    assert power.updated_at == NOON


async def test_variables_by_component_and_name(connection: Connection, charger: int) -> None:
    await put_variables(connection, charger, [KEY, POWER, replace(POWER, evse_id=2)], NOON)
    assert (await list_variables(connection, charger, component="evse", limit=1))[1] == 2
    assert (await list_variables(connection, charger, component="", limit=1))[1] == 1
    assert (await list_variables(connection, charger, variable="power", limit=1))[1] == 2
    other = (await make_charger(connection, "CP-2")).id
    assert await list_variables(connection, other, limit=9) == ([], 0)
    names = [VariableName("evse", "", 2, 0, "POWER", attribute="maxset"), VariableName("X", "", 0, 0, "Y")]
    assert await remove_variables(connection, charger, names) == 1
    assert (await list_variables(connection, charger, limit=1))[1] == 2


async def test_beyond_the_bound_only_known_variables_change(
    connection: Connection, charger: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(device_model, "VARIABLES_MAX", 2)
    await put_variables(connection, charger, [KEY, POWER], NOON)
    new = replace(KEY, variable="New", value="1")
    assert await put_variables(connection, charger, [new, replace(KEY, value="9")], LATER) == 1
    assert await values(connection, charger) == {"HeartbeatInterval": "9", "Power": "22"}


async def test_profiles_are_replaced_by_id_and_cleared_by_criteria(
    connection: Connection, charger: int
) -> None:
    await put_profile(connection, charger, PROFILE, NOON)
    await put_profile(connection, charger, replace(PROFILE, evse_id=2, stack_level=3), LATER)
    (moved,), total = await list_profiles(connection, charger, limit=10)
    assert (total, moved.evse_id, moved.stack_level, moved.updated_at) == (1, 2, 3, LATER)
    external = ChargingProfile(2, 0, "ChargingStationExternalConstraints", 0, None, "EMS", {})
    await put_profile(connection, charger, external, NOON)
    assert await remove_profiles(connection, charger, evse_id=1) == []
    assert await remove_profiles(connection, charger) == [1], "a limit of others is not ours to clear"
    assert await remove_profiles(connection, charger, source="EMS") == [2]


async def test_profiles_of_a_transaction_end_with_it(connection: Connection, charger: int) -> None:
    kept = [(1, 1, "tx-2"), (2, 2, None)]
    for number, evse_id, transaction_id in [*kept, (3, 2, "tx-1"), (4, 1, None)]:
        profile = ChargingProfile(number, evse_id, "TxProfile", 0, transaction_id, "CSO", {})
        await put_profile(connection, charger, profile, NOON)
    await put_profile(connection, charger, replace(PROFILE, profile_id=5), NOON)
    assert await end_transaction_profiles(connection, charger, transaction_id="tx-1", evse_id=1) == 2
    page, _ = await list_profiles(connection, charger, limit=10)
    assert [each.profile_id for each in page] == [5, 1, 2]


async def test_what_a_charger_holds_has_bounds(
    connection: Connection, charger: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(charging_profiles, "PROFILES_MAX", 1)
    monkeypatch.setattr(display_messages, "MESSAGES_MAX", 1)
    monkeypatch.setattr(variable_monitors, "MONITORS_MAX", 1)
    message = DisplayMessage(1, "InFront", None, None, {"id": 1})
    for number, is_kept in ((1, True), (1, True), (2, False)):
        profile = replace(PROFILE, profile_id=number)
        assert await put_profile(connection, charger, profile, NOON) is is_kept
        assert await put_message(connection, charger, replace(message, message_id=number), NOON) is is_kept
        assert await put_monitor(connection, charger, replace(MONITOR, monitor_id=number), NOON) is is_kept


async def test_a_reservation_ends_once(connection: Connection, charger: int) -> None:
    await put_reservation(connection, charger, RESERVATION, NOON)
    assert await end_reservation(connection, charger, 7, "used", LATER)
    assert not await end_reservation(connection, charger, 7, "expired", LATER)
    assert not await end_reservation(connection, charger, 8, "expired", LATER)
    await put_reservation(connection, charger, replace(RESERVATION, reservation_id=9), LATER)
    page, total = await list_reservations(connection, charger, now=LATER, limit=10)
    assert (total, [(each.reservation_id, each.status) for each in page]) == (2, [(9, "active"), (7, "used")])
    page, _ = await list_reservations(connection, charger, now=NOON + timedelta(hours=2), limit=1)
    assert page[0].status == "expired"


async def test_a_local_list_follows_what_was_sent(connection: Connection, charger: int) -> None:
    accepted = {"status": "Accepted"}

    async def send(version: int, is_full: bool, *entries: Entry) -> int:
        return await update_local_list(
            connection, charger, version=version, is_full=is_full, entries=entries, at=NOON
        )

    assert await get_local_list(connection, charger) is None
    assert await send(1, True, Entry("A", "", accepted), Entry("B", "", accepted)) == 2
    assert await send(2, False, Entry("a", "", None), Entry("C", "", accepted), Entry("b", "", {})) == 2
    entries, total = await list_entries(connection, charger, limit=10)
    assert (total, [(each.id_token, each.info) for each in entries]) == (2, [("b", {}), ("C", accepted)])
    await doubt_local_list(connection, charger)
    assert await send(3, False) == 0
    stored = await get_local_list(connection, charger)
    assert stored is not None
    assert (stored.version, stored.is_in_doubt, stored.entries) == (3, True, 2)
    await report_local_list(connection, charger, 3, LATER)
    stored = await get_local_list(connection, charger)
    assert stored is not None
    assert (stored.reported_version, stored.is_in_doubt) == (3, False)
    await report_local_list(connection, charger, 0, LATER)
    assert (await send(4, True), await get_local_list(connection, charger)) == (
        0,
        replace(stored, version=4, reported_version=0, entries=0),
    )


async def test_a_local_list_has_a_bound(
    connection: Connection, charger: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local_lists, "ENTRIES_MAX", 2)
    entries = [Entry(str(number), "", {}) for number in range(3)]
    about: Any = {"version": 1, "entries": entries, "at": NOON}
    assert await update_local_list(connection, charger, is_full=True, **about) == 2
    assert (await list_entries(connection, charger, limit=10))[1] == 2


async def test_messages_and_monitors_are_replaced_by_id(connection: Connection, charger: int) -> None:
    message = DisplayMessage(1, "InFront", None, None, {"id": 1})
    await put_message(connection, charger, message, NOON)
    await put_message(connection, charger, replace(message, state="Idle"), LATER)
    page, total = await list_messages(connection, charger, limit=10)
    assert (total, page[0].state, page[0].updated_at) == (1, "Idle", LATER)
    assert await remove_message(connection, charger, 1)
    assert not await remove_message(connection, charger, 1)
    await put_monitor(connection, charger, MONITOR, NOON)
    await put_monitor(connection, charger, replace(MONITOR, value=5.0), NOON)
    hard = replace(MONITOR, monitor_id=2, kind="HardWiredMonitor")
    await put_monitor(connection, charger, hard, NOON)
    monitors, total = await list_monitors(connection, charger, limit=1)
    assert (total, monitors[0].value) == (2, 5.0)
    assert await remove_monitors_of(connection, charger, ["CustomMonitor"]) == 1
    assert await remove_monitors(connection, charger, [1, 2, 3]) == [2]


async def begin(connection: Connection, charger: int, request_id: int | None, **more: bool) -> int:
    return await begin_job(
        connection,
        charger,
        "firmware",
        request_id,
        JobState("Accepted"),
        request={"requestId": request_id},
        answer={},
        at=NOON,
        **more,
    )


async def test_a_job_is_one_row_whichever_message_is_handled_first(
    connection: Connection, charger: int
) -> None:
    early = await update_job(connection, charger, "firmware", 5, JobState("Downloading"), NOON)
    assert await begin(connection, charger, 5) == early
    done = JobState("Installed", is_finished=True)
    assert await update_job(connection, charger, "firmware", 5, done, LATER) == early
    (job,), total = await list_jobs(connection, charger, limit=10)
    assert (total, job.status, job.is_finished, job.request) == (1, "Installed", True, {"requestId": 5})
    again = await begin(connection, charger, 5)
    assert again != early, "a requestId used again is a new job"
    (job,), total = await list_jobs(connection, charger, kind="firmware", limit=10)
    assert (total, job.id, job.status) == (1, again, "Accepted")
    assert await list_jobs(connection, charger, kind="log", limit=10) == ([], 0)


async def test_what_was_told_long_ago_is_another_job(connection: Connection, charger: int) -> None:
    old = JobState("Installed", is_finished=True)
    await update_job(connection, charger, "firmware", 5, old, NOON - timedelta(hours=1))
    await begin(connection, charger, 5)
    (job,), total = await list_jobs(connection, charger, limit=10)
    assert (total, job.status) == (1, "Accepted")


async def test_without_a_request_id_the_newest_is_meant(connection: Connection, charger: int) -> None:
    first = await begin(connection, charger, None)
    failed, done = JobState("DownloadFailed", True, True), JobState("Installed", True)
    for state in (JobState("Downloading"), failed, JobState("Downloading"), done, done):
        assert await update_job(connection, charger, "firmware", None, state, LATER) == first
    by_itself = await update_job(connection, charger, "firmware", None, JobState("Downloading"), LATER)
    assert by_itself != first
    assert await begin(connection, charger, None) == by_itself


async def test_a_job_that_cancels_ends_the_others(connection: Connection, charger: int) -> None:
    await begin(connection, charger, 1)
    await begin(connection, charger, 2, is_canceling=True)
    jobs, _ = await list_jobs(connection, charger, limit=10)
    assert [(job.request_id, job.status, job.is_failed) for job in jobs] == [
        (2, "Accepted", False),
        (1, "Canceled", True),
    ]


async def test_a_report_is_whole_when_all_its_parts_are_there(connection: Connection, charger: int) -> None:
    async def part(seq_no: int | None, is_last: bool, data: str | None) -> bool:
        kind: charger_jobs.JobKind = "customer_information"
        facts: Any = {"seq_no": seq_no, "is_last": is_last, "data": data, "at": NOON}
        return await add_job_part(connection, charger, kind, 3, **facts)

    assert not await part(1, True, "two")
    assert not await part(1, True, "again")
    (job,), _ = await list_jobs(connection, charger, limit=10)
    assert (job.status, job.is_finished, job.parts) == ("Reporting", False, 1)
    assert await part(0, False, "one ")
    (job,), _ = await list_jobs(connection, charger, limit=10)
    assert (job.status, job.is_finished, job.parts, job.text) == ("Complete", True, 2, "one two")


async def test_parts_without_numbers_follow_each_other(connection: Connection, charger: int) -> None:
    outcomes = [
        await add_job_part(
            connection,
            charger,
            "display_messages",
            1,
            seq_no=None,
            is_last=is_last,
            data=None,
            at=NOON,
        )
        for is_last in (False, False, True)
    ]
    assert outcomes == [False, False, True]


async def test_jobs_and_parts_have_bounds(
    connection: Connection, charger: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(charger_jobs, "JOBS_MAX", 3)
    monkeypatch.setattr(charger_jobs, "PARTS_MAX", 2)
    for request_id in range(5):
        await begin(connection, charger, request_id)
    jobs, total = await list_jobs(connection, charger, limit=10)
    assert (total, [job.request_id for job in jobs]) == (3, [4, 3, 2])
    for seq_no in range(4):
        facts: Any = {"seq_no": seq_no, "is_last": False, "data": None, "at": NOON}
        await add_job_part(connection, charger, "report", 9, **facts)
    assert await fetch_value(connection, "SELECT count(*) FROM charger_job_parts", {}) == 2
