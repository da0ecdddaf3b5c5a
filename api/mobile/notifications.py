"""What the user wants to be told and how, and the phones that push messages reach (MO-X08)."""

from typing import Annotated, Literal

from pydantic import BaseModel, Field

from api.context import Db
from api.fields import Storable
from api.mobile.callers import Resident
from api.mobile.schemas.common import Body, Done, example
from api.routing import Router
from storage.queries import notices, residents
from storage.queries.residents import Account
from stream.notices import PREFERENCES, wants

router = Router(prefix="/notifications")

PUSH_TOKEN_CHARACTERS_MAX = 512

Token = Annotated[str, Field(min_length=1, max_length=PUSH_TOKEN_CHARACTERS_MAX), Storable]


class PreferencesIn(Body):
    """Channels (`sms`, `push`) and topics (`wallet`, `budget`, `meter`); what is left out stays as it is."""

    model_config = example(sms=False, push=True)

    sms: bool | None = None
    push: bool | None = None
    wallet: bool | None = None
    budget: bool | None = None
    meter: bool | None = None


class PreferencesOut(BaseModel):
    """Channels and topics, each wanted or not."""

    sms: bool
    push: bool
    wallet: bool
    budget: bool
    meter: bool

    @classmethod
    def of(cls, account: Account) -> "PreferencesOut":
        """Show what `account` wants: all that it did not switch off."""
        return cls.model_validate({name: wants(account, name) for name in PREFERENCES})


class NewPushToken(Body):
    """What the phone's push service calls this installation of the app."""

    model_config = example(token="fcm-registration-token", platform="android")  # noqa: S106

    token: Token
    platform: Literal["android", "ios", "web"]


class PushTokenIn(Body):
    """A token that was registered."""

    token: Token


@router.get("/preferences")
async def preferences(caller: Resident) -> PreferencesOut:
    """Show what the user wants to be told, and how."""
    return PreferencesOut.of(caller.account)


@router.put("/preferences")
async def set_preferences(body: PreferencesIn, caller: Resident, db: Db) -> PreferencesOut:
    """Switch channels and topics on or off. Temporary passwords are texted in any case."""
    await residents.change_preferences(db, caller.id, body.model_dump(exclude_none=True))
    changed = await residents.get_account(db, caller.id)
    assert changed is not None
    return PreferencesOut.of(changed)


@router.post("/push-tokens")
async def add_push_token(body: NewPushToken, caller: Resident, db: Db) -> Done:
    """Register this installation of the app; the user whose it was before is told nothing more by it."""
    await notices.put_push_token(db, caller.id, body.token, body.platform)
    return Done(message="Push token registered")


@router.delete("/push-tokens")
async def remove_push_token(body: PushTokenIn, caller: Resident, db: Db) -> Done:
    """Forget this installation of the app, as when the user signs out."""
    await notices.delete_push_token(db, caller.id, body.token)
    return Done(message="Push token removed")
