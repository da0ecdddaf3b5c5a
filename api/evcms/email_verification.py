"""E-mail verification: a signed token that is good for this alone, for a day; used by the EV-CMS sign-in."""

from datetime import timedelta
from urllib.parse import urlencode

from api import tokens
from api.context import Context
from api.errors import Problem
from storage.database import Connection
from storage.queries import users
from storage.queries.users import User
from stream.notify import Kind, News, notify

# Of its own, so that it opens nothing else, and an access token does not verify.
AUDIENCE = "evcms:verify-email"
PATH = "/api/v1/auth/verify-email"
LIFE = timedelta(hours=24)
# At most one e-mail in this time, however often it is asked for.
INTERVAL_S = 60


async def send_link(context: Context, db: Connection, user: User) -> None:
    """Send the link to the account's address, as soon as the transaction is committed."""
    token = tokens.issue(
        context.config.secret_key,
        AUDIENCE,
        tokens.Claims(user.id, user.token_version, None),
        now_us=context.clock(),
        life_s=int(LIFE.total_seconds()),
    )
    link = f"{context.config.public_url}{PATH}?{urlencode({'token': token})}"
    values = {"name": user.name, "link": link, "hours": str(LIFE // timedelta(hours=1))}
    key = f"verify-email:{user.id}:{context.clock() // (INTERVAL_S * 1_000_000)}"
    await notify(db, user.id, News(key, Kind.VERIFY_EMAIL, values), context.now())


async def verify(context: Context, db: Connection, token: str) -> None:
    """Note that the address of the token's account is its owner's; raises 400 for no good token."""
    config = context.config
    try:
        claims = tokens.read(config.secret_key, AUDIENCE, token, now_us=context.clock())
    except Problem as error:
        raise _refusal() from error
    user = await users.get_user(db, claims.user_id)
    if user is None or user.token_version != claims.token_version:
        raise _refusal()
    await users.verify_email(db, user.id, context.now())


def _refusal() -> Problem:
    details = "The token is not valid, or is older than a day: ask for a new e-mail"
    return Problem(400, "E-mail cannot be verified", details)
