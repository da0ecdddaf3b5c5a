"""How EV-CMS accounts are shown: with wallet and vehicles, one query each however many accounts."""

from collections.abc import Sequence
from typing import TypeVar

from api.evcms.schemas.users import UserOut, WalletOut
from storage import ledger
from storage.database import Connection
from storage.queries import vehicles
from storage.queries.users import User
from stream.platform_settings import read_settings

Shown = TypeVar("Shown", bound=UserOut)


async def show(db: Connection, user: User) -> UserOut:
    """Show an account as its owner sees it."""
    (shown,) = await show_all(db, [user], UserOut)
    return shown


async def show_all(db: Connection, users: Sequence[User], as_: type[Shown]) -> list[Shown]:
    """Show accounts."""
    user_ids = [user.id for user in users]
    minimum_minor = (await read_settings(db)).payment.min_wallet_balance_minor
    wallets = await ledger.wallets(db, user_ids)
    owned = await vehicles.vehicles_of(db, user_ids)
    return [as_.of(user, WalletOut.of(wallets.get(user.id), minimum_minor), owned[user.id]) for user in users]
