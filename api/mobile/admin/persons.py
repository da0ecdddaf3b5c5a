"""Persons in the portal: /api/mobile/admin/persons."""

from typing import Annotated

from fastapi import Depends

from api.context import Db
from api.errors import Problem
from api.mobile.admin.callers import Admin
from api.mobile.admin.paging import Paging
from api.mobile.admin.schemas.people import NewPerson, PersonOut, PersonPage
from api.mobile.lookup import PersonId, find_person, hold_person
from api.routing import Router
from storage.errors import AlreadyExistsError
from storage.queries import persons

router = Router(prefix="/persons")


@router.post("", status_code=201)
async def add(body: NewPerson, caller: Admin, db: Db) -> PersonOut:
    """Enter a person. The user of the app comes when the person owns or rents a unit."""
    try:
        return PersonOut.of(await persons.insert_person(db, **body.model_dump()))
    except AlreadyExistsError as error:
        raise _phone_taken(body.phone) from error


@router.get("")
async def list_persons(caller: Admin, db: Db, paging: Annotated[Paging, Depends()]) -> PersonPage:
    """List persons; `q` looks into their names, phones and e-mails."""
    found = await persons.list_persons(db, query=paging.q, after_id=paging.after, limit=paging.limit)
    shown = [PersonOut.of(person) for person in found]
    return PersonPage(persons=shown, next_after=paging.next_after(found))


@router.get("/{person_id}")
async def detail(person_id: PersonId, caller: Admin, db: Db) -> PersonOut:
    """Show a person."""
    return PersonOut.of(await find_person(db, person_id))


@router.put("/{person_id}")
async def change(person_id: PersonId, body: NewPerson, caller: Admin, db: Db) -> PersonOut:
    """Change a person; the login of the app follows the phone."""
    person = await hold_person(db, (await find_person(db, person_id)).id)
    try:
        changed = await persons.update_person(db, person.id, **body.model_dump())
    except AlreadyExistsError as error:
        raise _phone_taken(body.phone) from error
    assert changed is not None, "persons are never deleted"
    return PersonOut.of(changed)


def _phone_taken(phone: str) -> Problem:
    return Problem(409, "Phone number already in use", f"A person has the phone number {phone} already")
