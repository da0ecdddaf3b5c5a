"""EV-CMS accounts and tokens."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, JsonValue

from api.evcms.envelope import Answer, Maybe, Named, Out, Page, Time
from api.evcms.schemas.vehicles import VehicleOut
from api.fields import Email, OptionalText, Storable, Text, money
from storage.ledger import Account
from storage.queries.users import User
from storage.queries.vehicles import Vehicle

PASSWORD_CHARACTERS_MIN = 6
PASSWORD_CHARACTERS_MAX = 128
TOKEN_CHARACTERS_MAX = 512
CURRENCY = "INR"
PREFERENCES: dict[str, Any] = {"notifications": True, "language": "en", "theme": "light"}
URL_CHARACTERS_MAX = 500
SWITCHES_MAX = 50  # of preferences.notifications
SWITCH_CHARACTERS_MAX = 64

Role = Literal["user", "brand", "admin"]
Status = Literal["active", "blocked", "suspended"]


def _password(text: str) -> str:
    if len(text) < PASSWORD_CHARACTERS_MIN:
        raise ValueError(f"Password must be at least {PASSWORD_CHARACTERS_MIN} characters")
    return text


NewPassword = Annotated[str, Field(max_length=PASSWORD_CHARACTERS_MAX), AfterValidator(_password)]
Password = Annotated[str, Field(max_length=PASSWORD_CHARACTERS_MAX)]
Phone = Annotated[OptionalText, Field(max_length=32)]


def _picture(text: str) -> str:
    is_ours = text.startswith("/uploads/profile/")
    if text and not is_ours and (urlsplit(text).scheme not in {"http", "https"} or not urlsplit(text).netloc):
        raise ValueError("must be the url of an upload of type profile, or an http(s) URL")
    return text


Picture = Annotated[str, Field(max_length=URL_CHARACTERS_MAX), Storable, AfterValidator(_picture)]
# RFC 5646: a language, and what makes it more exact.
Language = Annotated[str, Field(max_length=35, pattern=r"^[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*$")]


def _switches(value: object) -> object:
    if isinstance(value, dict) and len(value) <= SWITCHES_MAX and all(map(_is_switch, value.items())):
        return value
    if value is None or isinstance(value, bool):
        return value
    raise ValueError(f"must be true, false, or an object of at most {SWITCHES_MAX} of these by name")


def _is_switch(item: tuple[object, object]) -> bool:
    name, is_on = item
    is_name = isinstance(name, str) and 0 < len(name) <= SWITCH_CHARACTERS_MAX and name.isprintable()
    return is_name and isinstance(is_on, bool)


Notifications = Annotated[bool | dict[str, bool] | None, BeforeValidator(_switches)]


def _example(body: dict[str, JsonValue]) -> ConfigDict:
    return ConfigDict(json_schema_extra={"examples": [body]})


class Register(BaseModel):
    """A new account; nobody can make himself an admin."""

    model_config = _example(
        {"email": "asha@example.com", "password": "correct horse", "name": "Asha", "role": "user"}
    )

    email: Email
    password: NewPassword
    name: Text
    phone: Phone | None = None
    role: Literal["user", "brand"] = "user"


class Login(BaseModel):
    """Sign in."""

    model_config = _example({"email": "asha@example.com", "password": "correct horse"})

    email: Email
    password: Password


class Refresh(BaseModel):
    """Exchange a refresh token; it is good for one exchange."""

    refresh_token: Annotated[str, Field(alias="refreshToken", max_length=TOKEN_CHARACTERS_MAX)]


class VerifyEmail(BaseModel):
    """What the link in our e-mail carries."""

    token: Annotated[str, Field(max_length=TOKEN_CHARACTERS_MAX)]


class ProfileIn(BaseModel):
    """What its owner may change of an account; an empty phone or picture takes it away."""

    model_config = _example({"name": "Asha", "phone": "+919876543210"})

    name: Text | None = None
    phone: Phone | None = None
    profile_picture: Annotated[Picture | None, Field(alias="profilePicture")] = None


class PreferencesIn(BaseModel):
    """What is left out stays as it is. `notifications`: all or none, or a switch by name (conflict C66)."""

    model_config = _example({"notifications": True, "language": "en", "theme": "dark"})

    notifications: Notifications = None
    language: Language | None = None
    theme: Literal["light", "dark", "system"] | None = None


class UserChange(BaseModel):
    """What an admin may change of an account."""

    model_config = _example({"name": "Asha", "role": "brand"})

    name: Text | None = None
    role: Role | None = None
    status: Status | None = None


class StatusChange(BaseModel):
    """Whether an account may be used, and why not."""

    model_config = _example({"status": "blocked", "reason": "Chargebacks"})

    status: Status
    reason: OptionalText | None = None


class ChangePassword(BaseModel):
    """Both passwords, the old one to prove who asks."""

    model_config = _example({"currentPassword": "correct horse", "newPassword": "battery staple"})

    current_password: Annotated[Password, Field(alias="currentPassword")]
    new_password: Annotated[NewPassword, Field(alias="newPassword")]


class WalletOut(Out):
    """What a wallet holds. `low_balance`: it is below the operator's minimum."""

    balance: float
    currency: str
    low_balance: bool

    @classmethod
    def of(cls, account: Account | None, minimum_minor: int) -> "WalletOut":
        """Show a wallet; one that was never used is empty."""
        minor = account.balance_minor if account else 0
        currency = account.currency if account else CURRENCY
        return cls(balance=money(minor), currency=currency, low_balance=minor < minimum_minor)


class UserOut(Out):
    """An account as its owner sees it. Texts that are not known are empty."""

    id: str
    email: str
    name: str
    phone: str
    role: Role
    profile_picture: str
    is_email_verified: bool
    status: Status
    vehicles: list[VehicleOut]
    wallet: WalletOut
    preferences: dict[str, Any]
    created_at: Time
    updated_at: Time

    @classmethod
    def of(cls, user: User, wallet: WalletOut, vehicles: Sequence[Vehicle]) -> Self:
        """Show `user`."""
        return cls.model_validate(
            {
                "id": str(user.id),
                "email": user.email or "",
                "name": user.name,
                "phone": user.phone or "",
                "role": user.role,
                "profile_picture": user.profile_picture or "",
                "is_email_verified": user.is_email_verified,
                "status": user.status,
                "status_reason": user.status_reason,
                "vehicles": [VehicleOut.of(vehicle) for vehicle in vehicles],
                "wallet": wallet,
                "preferences": {**PREFERENCES, **user.preferences},
                "created_at": user.created_at,
                "updated_at": user.updated_at,
            }
        )


class ManagedUserOut(UserOut):
    """An account as admins see it: with the reason that was given for its status."""

    status_reason: Maybe[str]


class NamedManagedUser(ManagedUserOut, Named):
    """`data` of an answer to an admin about one account."""

    user: ManagedUserOut


class UserPage(Page[ManagedUserOut]):
    """One page of accounts, newest first."""

    users: list[ManagedUserOut]


class PreferencesOut(Out):
    """An account's own preferences; which messages come by which channel is asked for elsewhere."""

    notifications: bool | dict[str, bool]
    language: str
    theme: str

    @classmethod
    def of(cls, user: User) -> "PreferencesOut":
        """Show the preferences of `user`."""
        return cls.model_validate({**PREFERENCES, **user.preferences})


class NamedPreferences(PreferencesOut, Named):
    """`data` of an answer about preferences."""

    preferences: PreferencesOut


class NamedUser(UserOut, Named):
    """`data` of an answer about one account."""

    user: UserOut


class Tokens(Out):
    """A pair of tokens: the access token is short-lived, the refresh token is good for one exchange."""

    access_token: str
    refresh_token: str


class SignedIn(Tokens):
    """Who signed in, and the tokens."""

    user: UserOut


class Registered(SignedIn):
    """The same; the documentation has the tokens in an object of their own here (conflict C26)."""

    tokens: Tokens


class Refreshed(Tokens, Answer[Tokens]):
    """The tokens, where the documentation has them and where its client reads them (conflict C25)."""
