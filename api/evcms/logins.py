"""Logins of the family, in its own words; used by the EV-CMS sign-in."""

from api import logins
from api.context import Context
from api.evcms.callers import FAMILY
from api.evcms.schemas.users import Tokens
from api.logins import Lives, Pair
from storage.database import Connection
from storage.queries.users import User


async def begin(context: Context, db: Connection, user: User) -> Tokens:
    """Start a login of `user`."""
    return _shown(await logins.begin(context, db, user, _lives(context)))


async def go_on(context: Context, db: Connection, presented: str) -> Tokens:
    """Exchange a refresh token; raises 401 for one that is not good (any more), 403 for a blocked account."""
    return _shown(await logins.go_on(context, db, presented, FAMILY, _lives(context)))


def _lives(context: Context) -> Lives:
    return Lives(context.config.evcms_access_s, context.config.evcms_refresh_s)


def _shown(pair: Pair) -> Tokens:
    return Tokens(access_token=pair.access, refresh_token=pair.refresh)
