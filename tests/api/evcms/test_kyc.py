"""EV-CMS identity documents (EV-120 to EV-124): checked, sealed, masked, judged together."""

import asyncio
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.identity_numbers import has_check_digit, normalise
from api.sealing import UnsealError, seal, unseal
from storage.database import Pool
from tests.api.evcms.people import upload
from tests.api.helpers import SECRET, Person

URL = "/api/v1/kyc"
AADHAAR = "234123412346"
PAN = "ABCDE1234F"


def check_digit(digits: str) -> str:
    return next(each for each in "0123456789" if has_check_digit(digits + each))


@given(st.text("0123456789", min_size=1, max_size=20), st.data())
def test_the_check_digit_finds_a_wrong_digit_and_a_swap(digits: str, data: st.DataObject) -> None:
    good = digits + check_digit(digits)
    assert sum(has_check_digit(digits + each) for each in "0123456789") == 1
    place = data.draw(st.integers(0, len(good) - 1))
    other = data.draw(st.sampled_from("0123456789").filter(lambda each: each != good[place]))
    assert not has_check_digit(good[:place] + other + good[place + 1 :])
    if place and good[place] != good[place - 1]:
        assert not has_check_digit(good[: place - 1] + good[place] + good[place - 1] + good[place + 1 :])


@pytest.mark.parametrize(
    ("document_type", "text", "number"),
    [
        ("pan", "abcde 1234f", PAN),
        ("aadhaar", "2341 2341 2346", AADHAAR),
        ("driving_license", "MH12 20110012345", "MH1220110012345"),
        ("driving_license", "mh-14-20150062821", "MH1420150062821"),
        ("passport", "a1234567", "A1234567"),
    ],
)
def test_numbers_are_written_in_several_ways(document_type: Any, text: str, number: str) -> None:
    assert normalise(document_type, text) == number


@pytest.mark.parametrize(
    ("document_type", "text"),
    [
        ("pan", "ABCD1234F"), ("pan", "ABCDE12345"), ("pan", PAN + "x"), ("aadhaar", "234123412347"),
        ("aadhaar", "123412341230"), ("aadhaar", "23412341234"), ("aadhaar", "२३४१२३४१२३४६"),
        ("passport", "12345678"), ("passport", "A123456"), ("driving_license", "MH1218000012345"),
    ],
)  # fmt: skip
def test_what_is_no_number(document_type: Any, text: str) -> None:
    with pytest.raises(ValueError, match="is no number of this document"):
        normalise(document_type, text)


def test_what_is_sealed_opens_for_its_purpose_and_context_alone() -> None:
    sealed = seal(SECRET, "p", "user:1:pan", PAN)
    assert PAN.encode() not in sealed
    assert sealed != seal(SECRET, "p", "user:1:pan", PAN)
    assert unseal(SECRET, "p", "user:1:pan", sealed) == PAN
    changed = sealed[:-1] + bytes([sealed[-1] ^ 1])
    for key, purpose, context, bytes_ in (
        ("x" * 32, "p", "user:1:pan", sealed), (SECRET, "q", "user:1:pan", sealed),
        (SECRET, "p", "user:2:pan", sealed), (SECRET, "p", "user:1:pan", changed),
        (SECRET, "p", "user:1:pan", b""),
    ):  # fmt: skip
        with pytest.raises(UnsealError):
            unseal(key, purpose, context, bytes_)


async def submit(api: httpx.AsyncClient, person: Person, front: str, **changes: Any) -> httpx.Response:
    body = {"documentType": "pan", "documentNumber": PAN, "frontImage": front, **changes}
    return await api.post(f"{URL}/submit", json=body, headers=person.headers)


async def verify(api: httpx.AsyncClient, admin: Person, user_id: int, **body: Any) -> httpx.Response:
    return await api.put(f"{URL}/users/{user_id}/verify", json=body, headers=admin.headers)


async def status(api: httpx.AsyncClient, person: Person) -> dict[str, Any]:
    return dict((await api.get(f"{URL}/status", headers=person.headers)).json()["data"])


async def test_documents_go_from_submitted_to_decided(
    api: httpx.AsyncClient, driver: Person, admin: Person, pool: Pool
) -> None:
    front = await upload(pool, driver.id, "document", "front.png")
    assert await status(api, driver) == {"status": "not_submitted", "documents": []}
    made = await submit(api, driver, front, status="approved", userId="1")
    assert made.status_code == 201, made.text
    kyc = made.json()["data"]["kyc"]
    assert (kyc["status"], kyc["userId"]) == ("pending", str(driver.id))
    assert kyc["documents"][0]["documentNumber"] == "XXXX234F"
    replaced = await submit(api, driver, front, documentNumber="ZZZZZ9999Z")
    assert [each["documentNumber"] for each in replaced.json()["data"]["documents"]] == ["XXXX999Z"]

    rejected = await verify(api, admin, driver.id, status="rejected", notes="Blurred")
    assert rejected.json()["data"]["kyc"]["status"] == "rejected"
    assert (await status(api, driver))["notes"] == "Blurred"
    assert (await verify(api, admin, driver.id, status="approved")).status_code == 400
    assert (await submit(api, driver, front)).json()["data"]["status"] == "pending"
    aadhaar = await submit(
        api, driver, front, documentType="aadhaar", documentNumber=AADHAAR, backImage=front
    )
    assert aadhaar.status_code == 201
    assert (await verify(api, admin, driver.id, status="approved")).json()["data"]["status"] == "approved"
    assert {each["status"] for each in (await status(api, driver))["documents"]} == {"approved"}
    assert (await submit(api, driver, front)).status_code == 409
    assert (await status(api, driver))["status"] == "approved"
    async with pool.connection() as db:
        told = await (await db.execute("SELECT title FROM notifications ORDER BY id")).fetchall()
        done = await (await db.execute("SELECT action FROM admin_actions ORDER BY id")).fetchall()
    assert told == [("Documents rejected",), ("Documents approved",)]
    assert done == [("kyc.rejected",), ("kyc.approved",)]


async def test_numbers_are_sealed_in_the_database_and_whole_for_one_reader(
    api: httpx.AsyncClient, driver: Person, admin: Person, pool: Pool
) -> None:
    front = await upload(pool, driver.id, "document", "front.png")
    await submit(api, driver, front, documentType="aadhaar", documentNumber=AADHAAR)
    async with pool.connection() as db:
        (row,) = await (
            await db.execute("SELECT kyc_documents::text, number_sealed FROM kyc_documents")
        ).fetchall()
    assert AADHAAR not in row[0]
    assert AADHAAR.encode() not in row[1]
    listed = await api.get(f"{URL}/list", params={"status": "pending"}, headers=admin.headers)
    assert listed.json()["submissions"][0]["userEmail"] == "user@example.com"
    for masked in (listed, await api.get(f"{URL}/status", headers=driver.headers)):
        assert AADHAAR not in masked.text
        assert "XXXX2346" in masked.text
    whole = await api.get(f"{URL}/users/{driver.id}", headers=admin.headers)
    assert whole.json()["data"]["kyc"]["documents"][0]["documentNumber"] == AADHAAR
    async with pool.connection() as db:
        rows = await (
            await db.execute("SELECT actor_id, action, subject, detail FROM admin_actions")
        ).fetchall()
    assert rows == [(admin.id, "kyc.read", f"user:{driver.id}", {})]
    assert (await api.get(f"{URL}/list", params={"status": "approved"}, headers=admin.headers)).json()[
        "data"
    ] == []
    assert (await api.get(f"{URL}/list", params={"status": "x"}, headers=admin.headers)).status_code == 422


async def test_images_are_uploads_of_ones_own_of_the_right_type(
    api: httpx.AsyncClient, driver: Person, stranger: Person, pool: Pool
) -> None:
    own = await upload(pool, driver.id, "document", "own.png")
    foreign = await upload(pool, stranger.id, "document", "theirs.png")
    other = await upload(pool, driver.id, "profile", "me.png")
    for url in (
        foreign,
        other,
        "/uploads/document/none.png",
        "https://example.com/own.png",
        "own.png",
        "/",
        "x\x00",
    ):
        refused = await submit(api, driver, url)
        assert refused.status_code == 422, url
        assert refused.json()["errors"][0]["field"] == "frontImage"
    refused = await submit(api, driver, own, backImage=foreign)
    assert [each["field"] for each in refused.json()["errors"]] == ["backImage"]
    wrong = await submit(api, driver, own, documentNumber="12")
    assert [each["field"] for each in wrong.json()["errors"]] == ["documentNumber"]
    assert (await submit(api, driver, own, documentType="visa")).json()["errors"][0][
        "field"
    ] == "documentType"
    absolute = f"http://localhost:5000{own}"  # as the upload is answered
    for url in (own, absolute, f"{own}?signature=x"):
        documents = (await submit(api, driver, url)).json()["data"]["documents"]
        assert [each["frontImage"] for each in documents] == [absolute], url


async def test_only_another_admin_judges(
    api: httpx.AsyncClient, driver: Person, brand: Person, admin: Person, pool: Pool
) -> None:
    for person in (driver, brand):
        assert (await api.get(f"{URL}/list", headers=person.headers)).status_code == 403
        assert (await api.get(f"{URL}/users/{person.id}", headers=person.headers)).status_code == 403
        assert (await verify(api, person, person.id, status="approved")).status_code == 403
    for reference in (driver.id, 0, 10**25):
        assert (await api.get(f"{URL}/users/{reference}", headers=admin.headers)).status_code == 404
        assert (await verify(api, admin, reference, status="approved")).status_code == 404
    own = await upload(pool, admin.id, "document", "own.png")
    assert (await submit(api, admin, own)).status_code == 201
    assert (await verify(api, admin, admin.id, status="approved")).status_code == 403
    front = await upload(pool, driver.id, "document", "front.png")
    await submit(api, driver, front)
    assert (await verify(api, admin, driver.id, status="pending")).status_code == 422
    answers = await asyncio.gather(*(verify(api, admin, driver.id, status="approved") for _ in range(4)))
    assert sorted(answer.status_code for answer in answers) == [200, 400, 400, 400]
