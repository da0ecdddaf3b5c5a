"""The user of the app that comes with an owner or a tenant (rules R611 to R614); used by the portal."""

from typing import Literal

from api.context import Context
from api.mobile.admin.schemas.people import MobileUser
from api.mobile.passwords import temporary_password
from api.passwords import hash_password
from storage.database import Connection
from storage.queries import residents
from storage.queries.persons import Person
from stream import notices

Role = Literal["owner", "tenant"]


async def ensure_account(context: Context, db: Connection, person: Person, role: Role) -> MobileUser:
    """Make the person's user of the app unless it has one, and text the temporary password to it.

    The caller holds the person (`hold_person`).
    """
    if person.user_id is not None:
        return MobileUser(
            mobile_user_created=False,
            phone_number=person.phone,
            temporary_password=None,
            message="This person has a mobile app account already.",
        )
    password = temporary_password()
    user_id = await residents.insert_account(db, person.id, await hash_password(password))
    account = await residents.get_account(db, user_id)
    assert account is not None
    body = (
        f"Welcome, {person.first_name}. Sign in to the app with {person.phone} and the temporary password"
        f" {password} and then choose your own."
    )
    await notices.tell_password(db, account, kind="welcome", body=body, now=context.now())
    return MobileUser(
        mobile_user_created=True,
        phone_number=person.phone,
        temporary_password=password,
        message=f"Mobile app account created. Please provide the temporary password to the {role}.",
    )


async def reset_password(context: Context, db: Connection, account: residents.Account) -> MobileUser:
    """Give the user a new temporary password, text it, and end all logins of this user."""
    password = temporary_password()
    await residents.reset_password(db, account.id, await hash_password(password))
    changed = await residents.get_account(db, account.id)
    assert changed is not None
    body = f"Your new temporary password for the app is {password}. Please sign in and choose your own."
    await notices.tell_password(db, changed, kind="password", body=body, now=context.now())
    return MobileUser(
        mobile_user_created=False,
        phone_number=account.phone,
        temporary_password=password,
        message="Password reset. Please provide the temporary password to the user.",
    )
