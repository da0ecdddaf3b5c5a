"""EV-CMS transactions: /api/v1/billing/transactions (EV-063), the wallets' own data as billing sees it."""

from typing import Annotated

from fastapi import Depends, Query

from api.context import Db
from api.evcms.callers import AnyUser, wallet_filter
from api.evcms.envelope import Paging
from api.evcms.schemas.wallet import (
    BilledTransactionOut,
    BilledTransactionPage,
    TransactionStatus,
    TransactionType,
)
from api.routing import Router
from storage.queries import wallet_entries

router = Router(prefix="/billing/transactions")


@router.get("")
async def list_transactions(
    caller: AnyUser,
    db: Db,
    paging: Annotated[Paging, Depends()],
    type_: Annotated[TransactionType | None, Query(alias="type")] = None,
    status: TransactionStatus | None = None,
) -> BilledTransactionPage:
    """List transactions of wallets, newest first: the caller's own, an admin those of all users."""
    entries, total = await wallet_entries.list_entries(
        db,
        user_id=wallet_filter(caller),
        direction=type_,
        status=status,
        limit=paging.limit,
        offset=paging.offset,
    )
    rows = [BilledTransactionOut.of(entry) for entry in entries]
    return BilledTransactionPage(success=True, data=rows, transactions=rows, pagination=paging.of(total))
