"""Claims (LI-X07): evidence from telemetry with plots, the workflow, files, and a battery in its place."""

import asyncio
import io
from collections.abc import Callable
from datetime import datetime, time, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

from storage.database import Pool, fetch_value
from storage.queries import batteries, battery_health, devices
from stream.files import DiskStore
from stream.lending.terms import ZONE, today
from tests.api.helpers import Clock, Person, Service
from tests.api.lithovolt.warranty_scene import CLAIMS, URL, activated, add_serials, statuses, stock

PDF = b"%PDF-1.4\n1 0 obj<<>>endobj\nstartxref\n9\n%%EOF\n"
STEP = timedelta(minutes=10)

_SAMPLE = """
INSERT INTO battery_samples (ts, device_id, received_at, voltage_v, current_a, soc_pct, cycles,
                             temperatures_c, cell_voltages_v)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING
"""


async def report(pool: Pool, serial: str, now: datetime) -> None:
    """Two days of a battery: an hour too hot, half an hour too empty, one sample too weak a cell."""
    rows = []
    for index in range(288):
        at = now - timedelta(days=2) + index * STEP
        temperature = 71.5 if 60 <= index < 66 else 30.0
        soc = 4.0 if 100 <= index < 103 else 50.0
        cell = 2.4 if index == 101 else 3.3
        values = (51.0, 20.0 if index % 2 else -40.0, soc, 400 + index // 100)
        rows.append((*values, [25.0, temperature], [3.35, cell]))
    async with pool.connection() as db:
        await batteries.insert_battery(db, serial, health_score=90, dealer_id=None)  # type: ignore[arg-type]
        device = await devices.register_device(db, "battery", serial)
        battery = await batteries.find_battery(db, serial)
        assert battery is not None
        hot_at = now - timedelta(days=2) + 60 * STEP
        await battery_health.open_alarm(
            db, battery.id, kind="over_temperature", severity="critical", at=hot_at, worst=71.5, cell=None
        )
        for index, row in enumerate(rows):
            at = now - timedelta(days=2) + index * STEP
            await db.execute(_SAMPLE, (at, device.id, now, *row))


async def claim(api: httpx.AsyncClient, who: Person, warranty_id: int, **changes: Any) -> httpx.Response:
    body = {"warranty": warranty_id, "issue": "Does not charge", "description": "It stops.", **changes}
    return await api.post(CLAIMS, json=body, headers=who.headers)


async def claimed(api: httpx.AsyncClient, who: Person, warranty: int) -> dict[str, Any]:
    answer = await claim(api, who, warranty)
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


async def change(api: httpx.AsyncClient, who: Person, claim_id: int, **body: Any) -> httpx.Response:
    return await api.patch(f"{CLAIMS}{claim_id}/", json=body, headers=who.headers)


async def test_the_batterys_own_telemetry_is_the_evidence(
    api: httpx.AsyncClient,
    pool: Pool,
    clock: Clock,
    admin: Person,
    wholesaler: Person,
    other_wholesaler: Person,
    consumer: Person,
    other_consumer: Person,
) -> None:
    now = clock.moment()
    await stock(pool, clock, wholesaler, "LV48-A", "LV48-B")
    await report(pool, "lv48-a", now)
    bought = today(now) - timedelta(days=30)
    made = await activated(api, consumer, "LV48-A", purchase_date=bought.isoformat())
    shown = await claimed(api, consumer, made["id"])
    assert (shown["status"], shown["verdict"]) == ("submitted", "outside terms")
    evidence = shown["evidence"]
    assert (evidence["samples"], evidence["is_cut"]) == (288, False)
    assert evidence["text"] == (
        "Outside the warranty's terms: over temperature, deep discharge, deep discharge cell."
    )
    found = {each["name"]: each for each in evidence["findings"]}
    hot = found["over_temperature"]
    assert (hot["limit"], hot["worst"], hot["samples"], hot["verdict"]) == (55, 71.5, 6, "outside terms")
    # a sample stands for five minutes at most: nobody knows what was between two of them
    assert hot["seconds"] == 6 * 300
    first = now - timedelta(days=2) + 60 * STEP
    assert hot["first_at"] == f"{first:%Y-%m-%dT%H:%M:%SZ}"
    assert hot["last_at"] == f"{first + 5 * STEP:%Y-%m-%dT%H:%M:%SZ}"
    assert (found["deep_discharge"]["samples"], found["deep_discharge"]["worst"]) == (3, 4.0)
    assert (found["deep_discharge_cell"]["samples"], found["deep_discharge_cell"]["worst"]) == (1, 2.4)
    assert (found["discharge_over_current"]["worst"], found["discharge_over_current"]["verdict"]) == (
        40,
        "within terms",
    )
    assert (found["cycles"]["worst"], found["cycles"]["verdict"]) == (402, "within terms")
    assert found["charge_over_current"]["verdict"] is None  # the terms have no such limit
    quiet = now - timedelta(days=2) - datetime.combine(bought, time(), ZONE)
    assert found["silence"]["worst"] == pytest.approx(quiet / timedelta(days=1), abs=0.01)
    assert [each["kind"] for each in evidence["alarms"]] == ["over_temperature"]

    path = f"{CLAIMS}{shown['id']}/"
    everybody = (consumer, wholesaler, admin, other_consumer, other_wholesaler)
    assert await statuses(api, path, *everybody) == [200, 200, 200, 404, 404]
    assert await statuses(api, shown["plots"]["soc"], *everybody) == [200, 200, 200, 404, 404]
    for name, address in shown["plots"].items():
        answer = await api.get(address, headers=consumer.headers)
        assert (answer.status_code, answer.headers["Content-Type"]) == (200, "image/png"), name
        assert Image.open(io.BytesIO(answer.content)).size[0] == 880
    slashless = shown["plots"]["voltage"].rstrip("/").replace(".png", ".svg")
    drawn = [(await api.get(slashless, headers=admin.headers)).content for _ in range(2)]
    assert drawn[0] == drawn[1]
    assert b"<svg" in drawn[0]
    for name in ("voltage.gif", "voltage", "noise.png", "..png", ".png"):
        assert await statuses(api, f"{path}plots/{name}/", consumer) == [404], name

    # what comes later changes nothing
    async with pool.connection() as db:
        await db.execute("DELETE FROM battery_samples")
    assert (await api.get(path, headers=consumer.headers)).json() == shown

    other = await activated(api, wholesaler, "LV48-B", customer_name="C")
    silent = await claimed(api, wholesaler, other["id"])
    assert (silent["verdict"], silent["plots"]) == ("no telemetry", {})
    assert silent["evidence"]["text"].startswith("There is no telemetry")
    assert await statuses(api, f"{CLAIMS}{silent['id']}/plots/soc.png/", wholesaler, consumer) == [404, 404]
    listed = (await api.get(CLAIMS, headers=wholesaler.headers)).json()
    assert [each["id"] for each in listed["results"]] == [silent["id"], shown["id"]]
    assert "evidence" not in listed["results"][0]
    for query, count in (("status=submitted", 2), ("status=approved", 0), (f"warranty={made['id']}", 1)):
        answer = await api.get(f"{CLAIMS}?{query}", headers=admin.headers)
        assert answer.json()["count"] == count, query
    answer = await api.get(CLAIMS, headers=other_consumer.headers)
    assert answer.json() == {"count": 0, "next": None, "previous": None, "results": []}


async def test_who_may_claim_and_when(
    api: httpx.AsyncClient,
    pool: Pool,
    clock: Clock,
    admin: Person,
    wholesaler: Person,
    consumer: Person,
    other_consumer: Person,
) -> None:
    await stock(pool, clock, wholesaler, "LV48-A", "LV48-B")
    made = await activated(api, consumer, "LV48-A")
    assert (await claim(api, admin, made["id"])).status_code == 403
    for who, warranty in ((other_consumer, made["id"]), (consumer, 999), (consumer, 2**62)):
        answer = await claim(api, who, warranty)
        assert (answer.status_code, list(answer.json())) == (400, ["warranty"])
    for changes in (
        {"warranty": "x"},
        {"warranty": 0},
        {"issue": ""},
        {"issue": "a\0"},
        {"description": None},
    ):
        answer = await claim(api, consumer, made["id"], **changes)
        assert (answer.status_code, list(answer.json())) == (400, list(changes)), changes
    answers = await asyncio.gather(
        *(claim(api, who, made["id"]) for who in (consumer, wholesaler) for _ in range(10))
    )
    assert sorted(each.status_code for each in answers) == [201] + [400] * 19
    shown = next(each.json() for each in answers if each.status_code == 201)
    claimant, other = (
        (consumer, wholesaler) if shown["claimant_id"] == consumer.id else (wholesaler, consumer)
    )
    assert (await change(api, other, shown["id"], status="withdrawn")).status_code == 403
    assert (await change(api, claimant, shown["id"], status="withdrawn")).json()["status"] == "withdrawn"
    assert (await change(api, claimant, shown["id"], status="withdrawn")).status_code in {400, 403}
    assert (await claim(api, consumer, made["id"])).status_code == 201
    void = {"reason": "A mistake"}
    second = await activated(api, consumer, "LV48-B")
    await api.post(f"{URL}{second['id']}/void/", json=void, headers=admin.headers)
    answer = await claim(api, consumer, second["id"])
    assert (answer.status_code, list(answer.json())) == (400, ["warranty"])


async def test_a_claim_goes_its_way_and_the_battery_is_replaced(
    api: httpx.AsyncClient,
    pool: Pool,
    clock: Clock,
    admin: Person,
    wholesaler: Person,
    other_wholesaler: Person,
    consumer: Person,
) -> None:
    model_id = await stock(pool, clock, wholesaler, "OLD")
    now = clock.moment()
    await add_serials(pool, now, model_id, "NEW", "NEW-2")
    await add_serials(pool, now, model_id, "RIVALS", status="allocated", owner=other_wholesaler.id)
    bought = (now - timedelta(days=30)).date().isoformat()
    made = await activated(api, consumer, "OLD", purchase_date=bought)
    number = (await claimed(api, consumer, made["id"]))["id"]
    for status in ("approved", "rejected", "resolved", "submitted"):
        assert (await change(api, admin, number, status=status)).status_code == 400, status
    for who in (consumer, wholesaler):
        assert (await change(api, who, number, status="under_review")).status_code == 403
        assert (await change(api, who, number, note="Any news?")).status_code == 200
    assert (await change(api, admin, number, status="under_review", note="We look")).status_code == 200
    for body in ({}, {"resolution": "x"}, {"status": "lost"}, {"status": "approved", "note": ""}):
        assert (await change(api, admin, number, **body)).status_code == 400, body
    early = await change(api, admin, number, status="approved", replacement_serial="NEW")
    assert (early.status_code, list(early.json())) == (400, ["replacement_serial"])
    approved = await change(api, admin, number, status="approved", resolution="A cell is defective.")
    assert approved.json()["decided_at"] is not None
    for serial in ("OLD", "RIVALS", "NONE"):
        answer = await change(api, admin, number, status="resolved", replacement_serial=serial)
        assert (answer.status_code, list(answer.json())) == (400, ["replacement_serial"]), serial
    tries = await asyncio.gather(
        *(change(api, admin, number, status="resolved", replacement_serial=s) for s in ("NEW", "NEW-2") * 3)
    )
    assert sorted(each.status_code for each in tries) == [200] + [400] * 5
    resolved = next(each.json() for each in tries if each.status_code == 200)
    spare = resolved["replacement_serial"]
    kinds = [(each["kind"], each["detail"].get("to")) for each in resolved["events"]]
    assert kinds == [
        ("submitted", None),
        ("noted", None),
        ("noted", None),
        ("status", "under_review"),
        ("status", "approved"),
        ("status", "resolved"),
    ]
    assert resolved["resolution"] == "A cell is defective."
    old = (await api.get(f"{URL}{made['id']}/", headers=consumer.headers)).json()
    assert (old["status"], old["void_reason"]) == (
        "void",
        f"Replaced by {spare} (claim {resolved['claim_number']})",
    )
    (new,) = (await api.get(f"{URL}?status=active", headers=consumer.headers)).json()["results"]
    assert (new["serial"], new["expires_on"], new["terms"]) == (spare, made["expires_on"], made["terms"])
    assert new["starts_on"] > made["starts_on"]
    for url, status in ((made["verification_url"], "void"), (new["verification_url"], "active")):
        told = (await api.get(url.removeprefix("http://localhost:5000"))).json()
        assert (told["status"], told["signature"]) == (status, "valid")
    assert (await api.get(f"{URL}{new['id']}/certificate/", headers=consumer.headers)).status_code == 200
    async with pool.connection() as db:
        rows = await db.execute("SELECT serial, status FROM serial_numbers ORDER BY serial")
        states = {serial: status async for serial, status in rows}
        notices = await fetch_value(db, "SELECT count(*) FROM notices WHERE kind = 'claim_update'", {})
    assert (states.pop(spare), states.pop("OLD")) == ("sold", "returned")
    assert states == {"RIVALS": "allocated", ({"NEW", "NEW-2"} - {spare}).pop(): "in_stock"}
    assert notices == 2 * 4  # submitted, under review, approved, resolved; by e-mail and SMS


async def test_files_are_for_who_sees_the_claim(
    make_service: Callable[..., Service],
    pool: Pool,
    clock: Clock,
    tmp_path: Path,
    admin: Person,
    wholesaler: Person,
    consumer: Person,
    other_consumer: Person,
) -> None:
    api = make_service(files=DiskStore(tmp_path)).client
    await stock(pool, clock, wholesaler, "LV48-A")
    made = await activated(api, consumer, "LV48-A")
    shown = await claimed(api, consumer, made["id"])
    path = f"{CLAIMS}{shown['id']}/files/"

    async def send(who: Person, name: str, content: bytes) -> httpx.Response:
        return await api.post(path, files={"file": (name, content)}, headers=who.headers)

    sent = await send(consumer, "../a report.pdf", PDF + b" " * 2_000_000 + PDF)
    assert sent.status_code == 201, sent.text
    assert sent.json()["name"] == "a report.pdf"
    image = io.BytesIO()
    Image.new("RGB", (40, 30), "red").save(image, "JPEG")
    picture = await send(wholesaler, "photo.jpg", image.getvalue())
    assert (picture.json()["mimetype"], picture.json()["uploaded_by"]) == ("image/jpeg", wholesaler.id)
    for name, content in (("a.exe", b"MZ"), ("a.png", PDF), ("a.pdf", b"<html>"), ("a.png", b"")):
        assert (await send(consumer, name, content)).status_code == 400, name
    assert (await send(consumer, "a.pdf", PDF + bytes(11 << 20))).status_code == 400
    answer = await api.post(path, json={}, headers=consumer.headers)
    assert (answer.status_code, list(answer.json())) == (400, ["file"])
    assert (await send(other_consumer, "a.pdf", PDF)).status_code == 404
    assert (await api.post(path, files={"file": ("a.pdf", PDF)})).status_code == 401
    kept = [each for each in tmp_path.rglob("*") if each.is_file()]
    assert len(kept) == 2
    assert {each.parent.name for each in kept} == {"claim"}

    url = sent.json()["url"]
    assert await statuses(api, url, consumer, wholesaler, admin, other_consumer) == [200, 200, 200, 404]
    answer = await api.get(url, headers=admin.headers)
    assert len(answer.content) == sent.json()["size_bytes"]
    assert answer.headers["Content-Disposition"] == "attachment; filename*=UTF-8''a%20report.pdf"
    assert answer.headers["Cache-Control"] == "private, no-store"
    for name in ("0", "x", "9" * 30):
        assert await statuses(api, f"{path}{name}/", admin) == [404]
    for each in kept:
        assert (await api.get(f"/uploads/claim/{each.name}")).status_code == 404
    shown = (await api.get(f"{CLAIMS}{shown['id']}/", headers=admin.headers)).json()
    assert [each["id"] for each in shown["files"]] == [sent.json()["id"], picture.json()["id"]]
    assert [each["kind"] for each in shown["events"]] == ["submitted", "attached", "attached"]


async def test_a_scrapped_battery_does_not_come_back_when_it_is_replaced(
    api: httpx.AsyncClient, pool: Pool, clock: Clock, admin: Person, wholesaler: Person, consumer: Person
) -> None:
    model_id = await stock(pool, clock, wholesaler, "OLD")
    await add_serials(pool, clock.moment(), model_id, "NEW")
    number = (await claimed(api, consumer, (await activated(api, consumer, "OLD"))["id"]))["id"]
    for status in ("returned", "scrapped"):
        answer = await api.patch(
            "/api/inventory/serials/OLD/", json={"status": status}, headers=admin.headers
        )
        assert answer.status_code == 200, answer.text
    for status in ("under_review", "approved"):
        await change(api, admin, number, status=status)
    assert (await change(api, admin, number, status="resolved", replacement_serial="NEW")).status_code == 200
    serials = await api.get("/api/inventory/serials/", headers=admin.headers)
    shown = {each["serial"]: each["status"] for each in serials.json()["results"]}
    assert shown == {"OLD": "scrapped", "NEW": "sold"}
