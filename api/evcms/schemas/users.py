"""EV-CMS accounts and tokens."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, Field

from api.evcms.envelope import Answer, Named, Out, Time
from api.fields import Email, OptionalText, Text, money
from storage.ledger import Account
from storage.queries.users import User

PASSWORD_CHARACTERS_MIN = 6
PASSWORD_CHARACTERS_MAX = 128
TOKEN_CHARACTERS_MAX = 512
CURRENCY = "INR"
PREFERENCES: dict[str, Any] = {"notifications": True, "language": "en", "theme": "light"}


def _password(text: str) -> str:
    if len(text) < PASSWORD_CHARACTERS_MIN:
        raise ValueError(f"Password must be at least {PASSWORD_CHARACTERS_MIN} characters")
    return text


NewPassword = Annotated[str, Field(max_length=PASSWORD_CHARACTERS_MAX), AfterValidator(_password)]
Password = Annotated[str, Field(max_length=PASSWORD_CHARACTERS_MAX)]
Phone = Annotated[OptionalText, Field(max_length=32)]


class Register(BaseModel):
    """A new account; nobody can make himself an admin."""

    email: Email
    password: NewPassword
    name: Text
    phone: Phone | None = None
    role: Literal["user", "brand"] = "user"


class Login(BaseModel):
    """Sign in."""

    email: Email
    password: Password


class Refresh(BaseModel):
    """Exchange a refresh token; it is good for one exchange."""

    refresh_token: Annotated[str, Field(alias="refreshToken", max_length=TOKEN_CHARACTERS_MAX)]


class ChangePassword(BaseModel):
    """Both passwords, the old one to prove who asks."""

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
    role: Literal["user", "brand", "admin"]
    profile_picture: str
    is_email_verified: bool
    status: Literal["active", "blocked", "suspended"]
    vehicles: list[dict[str, Any]]
    wallet: WalletOut
    preferences: dict[str, Any]
    created_at: Time
    updated_at: Time

    @classmethod
    def of(cls, user: User, wallet: WalletOut) -> "UserOut":
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
                "vehicles": [],
                "wallet": wallet,
                "preferences": {**PREFERENCES, **user.preferences},
                "created_at": user.created_at,
                "updated_at": user.updated_at,
            }
        )


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
