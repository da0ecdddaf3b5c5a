"""Accounts, sign-in and the wallet."""

from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, EmailStr, Field

from api.evcms.schemas.common import Camel, Moment, Pagination
from api.fields import OptionalText, Text

PASSWORD_CHARACTERS_MIN = 6
PASSWORD_CHARACTERS_MAX = 256
EMAIL_CHARACTERS_MAX = 254
AMOUNT_MAX = 10_000_000


def _long_enough(password: str) -> str:
    if len(password) < PASSWORD_CHARACTERS_MIN:
        raise ValueError(f"Password must be at least {PASSWORD_CHARACTERS_MIN} characters")
    return password


NewPassword = Annotated[str, Field(max_length=PASSWORD_CHARACTERS_MAX), AfterValidator(_long_enough)]
GivenPassword = Annotated[str, Field(max_length=PASSWORD_CHARACTERS_MAX)]
Email = Annotated[EmailStr, Field(max_length=EMAIL_CHARACTERS_MAX)]


class Registration(Camel):
    """A new account; nobody makes himself an admin (conflict C36)."""

    email: Email
    password: NewPassword
    name: Text
    phone: OptionalText | None = None
    role: Literal["user", "brand", "admin"] = "user"


class Credentials(Camel):
    """Email and password; not checked for form, a wrong one is a wrong login."""

    email: Annotated[str, Field(max_length=EMAIL_CHARACTERS_MAX)]
    password: GivenPassword


class RefreshRequest(Camel):
    """The refresh token of the latest pair."""

    refresh_token: Annotated[str, Field(min_length=1, max_length=200)]


class PasswordChange(Camel):
    """The present password proves that it is the owner who changes it."""

    current_password: GivenPassword
    new_password: NewPassword


class WalletOut(Camel):
    """What may be spent, in the unit of the currency."""

    balance: float
    currency: str


class UserOut(Camel):
    """An account."""

    id: str
    email: str
    name: str
    phone: str
    role: str
    profile_picture: str
    is_email_verified: bool
    status: str
    vehicles: list[dict[str, Any]]
    wallet: WalletOut
    preferences: dict[str, Any]
    created_at: Moment
    updated_at: Moment


class UserData(UserOut):
    """The account's own fields, and the account under its name."""

    user: UserOut


class UserAnswer(Camel):
    """One account."""

    success: Literal[True]
    data: UserData


class TokenPair(Camel):
    """Good for an hour, and for seven days."""

    access_token: str
    refresh_token: str


class LoginData(TokenPair):
    """Tokens and whose they are."""

    user: UserOut


class LoginAnswer(Camel):
    """Signed in."""

    success: Literal[True]
    data: LoginData


class RegisterData(LoginData):
    """As for a login, and the tokens once more under their name (conflict C26)."""

    tokens: TokenPair


class RegisterAnswer(Camel):
    """Registered, and signed in."""

    success: Literal[True]
    data: RegisterData


class RefreshAnswer(TokenPair):
    """The next pair, at the top and under `data` (conflict C25)."""

    success: Literal[True]
    data: TokenPair


class TopUp(Camel):
    """Money for the wallet, in the unit of the currency."""

    amount: Annotated[Decimal, Field(gt=0, le=AMOUNT_MAX, decimal_places=2)]
    payment_method: Text


class TransactionOut(Camel):
    """A movement of the wallet; `sessionId` where a charging session was paid."""

    id: str
    type: Literal["credit", "debit"]
    amount: float
    description: str
    balance_after: float
    status: Literal["completed", "pending", "failed"]
    session_id: str | None = None
    created_at: Moment


class WalletData(WalletOut):
    """Balance and recent movements, newest first."""

    transactions: list[TransactionOut]


class WalletAnswer(Camel):
    """The wallet."""

    success: Literal[True]
    data: WalletData


class TopUpData(Camel):
    """The wallet after the top-up, and the movement."""

    wallet: WalletOut
    transaction: TransactionOut


class TopUpAnswer(Camel):
    """Topped up."""

    success: Literal[True]
    data: TopUpData


class TransactionsAnswer(Camel):
    """A page of movements, newest first."""

    success: Literal[True]
    data: list[TransactionOut]
    transactions: list[TransactionOut]
    pagination: Pagination
