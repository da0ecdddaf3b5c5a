"""People of the Lithovolt family, with a password, a profile and a token."""

from api import tokens
from storage.database import Pool
from storage.queries import users
from tests.api.helpers import SECRET, Clock, Person, bearer

ACCESS_S = 3_600
_PROFILE = """
INSERT INTO lithovolt_profiles (user_id, first_name, last_name, company, gstin, address, is_approved)
VALUES (%(id)s, %(first_name)s, 'Test', %(company)s, '', '12 MG Road, Pune', %(is_approved)s)
"""


async def lithovolt_person(
    pool: Pool,
    clock: Clock,
    role: str,
    name: str | None = None,
    *,
    phone: str | None = None,
    password_hash: str | None = None,
    is_approved: bool = True,
) -> Person:
    """An account `<name>@example.com` with a token of no login in particular."""
    name = name or role
    async with pool.connection() as db:
        user = await users.insert_user(
            db,
            system="lithovolt",
            role=role,
            name=f"{name.title()} Test",
            email=f"{name}@example.com",
            phone=phone,
            password_hash=password_hash,
        )
        company = f"{name.title()} Traders" if role == "wholesaler" else ""
        facts = {"first_name": name.title(), "company": company, "is_approved": is_approved}
        await db.execute(_PROFILE, {"id": user.id, **facts})
    claims = tokens.Claims(user.id, user.token_version, None)
    token = tokens.issue(SECRET, "lithovolt", claims, now_us=clock(), life_s=ACCESS_S)
    return Person(user.id, bearer(token))
