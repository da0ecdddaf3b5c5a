"""What the sign-in and the users' endpoints of Lithovolt take and give (conflict C91)."""

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from api.fields import Email, OptionalText, Storable, Text
from api.lithovolt.gstin import normalise
from api.lithovolt.schemas import Time
from storage.queries.lithovolt_users import Account

Role = Literal["admin", "wholesaler", "consumer"]
Status = Literal["active", "blocked", "suspended"]
ADDRESS_CHARACTERS_MAX = 500
PASSWORD_CHARACTERS_MIN = 8
PASSWORD_CHARACTERS_MAX = 128
TOKEN_CHARACTERS_MAX = 200

NewPassword = Annotated[
    str, Field(min_length=PASSWORD_CHARACTERS_MIN, max_length=PASSWORD_CHARACTERS_MAX), Storable
]
Password = Annotated[str, Field(min_length=1, max_length=PASSWORD_CHARACTERS_MAX), Storable]
Phone = Annotated[str, Field(min_length=1, max_length=32, examples=["+919876543210"]), Storable]
Gstin = Annotated[
    str, Field(max_length=20, examples=["27AAPFU0939F1ZV"]), Storable, AfterValidator(normalise)
]
PostalAddress = Annotated[str, Field(max_length=ADDRESS_CHARACTERS_MAX), Storable]
Token = Annotated[str, Field(min_length=1, max_length=TOKEN_CHARACTERS_MAX)]

_PERSON: dict[str, Any] = {"first_name": "Asha", "last_name": "Rao", "phone": "+919876543210"}
_USER: dict[str, Any] = {
    "id": 7,
    "email": "asha@example.com",
    **_PERSON,
    "role": "wholesaler",
    "company": "Rao Traders",
    "gstin": "27AAPFU0939F1ZV",
    "address": "12 MG Road, Pune",
    "is_approved": True,
    "is_email_verified": False,
    "status": "active",
    "status_reason": None,
    "created_at": "2024-01-15T10:30:00Z",
}
_TOKENS: dict[str, Any] = {"access": "eyJhbGciOiJIUzI1NiJ9...", "refresh": "kq3uX0vP8mJrW2yT"}


def _example(example: dict[str, Any]) -> ConfigDict:
    return ConfigDict(json_schema_extra={"examples": [example]})


class _Person(BaseModel):
    first_name: Text
    last_name: OptionalText = ""
    phone: Phone | None = None
    company: OptionalText = ""
    gstin: Gstin = ""
    address: PostalAddress = ""


class RegisterIn(_Person):
    """A new account. A wholesaler cannot sign in until an admin has approved it."""

    model_config = _example(
        {"email": "asha@example.com", "password": "correct horse", **_PERSON, "role": "consumer"}
    )
    email: Email
    password: NewPassword
    role: Literal["consumer", "wholesaler"] = "consumer"


class UserIn(_Person):
    """An account that an admin makes. Without a password its owner is sent a token to set one."""

    model_config = _example(
        {
            "email": "ravi@example.com",
            **_PERSON,
            "phone": "+919876543211",
            "first_name": "Ravi",
            "role": "wholesaler",
        }
    )
    email: Email
    role: Role
    password: NewPassword | None = None


class ProfileIn(BaseModel):
    """What an account's owner changes; what is not there stays. A `phone` of null takes it away."""

    model_config = _example(
        {"company": "Rao Traders", "gstin": "27AAPFU0939F1ZV", "address": "12 MG Road, Pune"}
    )
    first_name: Text | None = None
    last_name: OptionalText | None = None
    phone: Phone | None = None
    company: OptionalText | None = None
    gstin: Gstin | None = None
    address: PostalAddress | None = None


class StandingIn(ProfileIn):
    """What an admin changes; what is not there stays. `status_reason` goes with the status."""

    model_config = _example({"is_approved": True})
    role: Role | None = None
    status: Status | None = None
    status_reason: OptionalText | None = None
    is_approved: bool | None = None


class LoginIn(BaseModel):
    """Sign in by e-mail and password."""

    model_config = _example({"email": "asha@example.com", "password": "correct horse"})
    email: Email
    password: Password


class Addressed(BaseModel):
    """A consumer's phone or e-mail: one of both."""

    model_config = _example({"phone": "+919876543210"})
    phone: Phone | None = None
    email: Email | None = None

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.phone is None) == (self.email is None):
            raise ValueError("Give a phone or an email, one of both.")
        return self


class OtpIn(Addressed):
    """A one-time password, and the phone or e-mail that it was sent to."""

    model_config = _example({"phone": "+919876543210", "otp": "482913"})
    otp: Annotated[str, Field(min_length=1, max_length=16)]


class RefreshIn(BaseModel):
    """The refresh token of the last answer."""

    model_config = _example({"refresh": _TOKENS["refresh"]})
    refresh: Token


class ResetIn(BaseModel):
    """Whose password is to be set anew."""

    model_config = _example({"email": "asha@example.com"})
    email: Email


class ResetConfirmIn(BaseModel):
    """The token of the e-mail, and the new password."""

    model_config = _example({"token": "Zk3v9aQ0xJ5nS7wT", "password": "correct horse battery"})
    token: Token
    password: NewPassword


class PasswordIn(BaseModel):
    """The password as it is, and as it will be."""

    model_config = _example({"current_password": "correct horse", "new_password": "correct horse battery"})
    current_password: Password
    new_password: NewPassword


class UserOut(BaseModel):
    """An account."""

    model_config = _example(_USER)
    id: int
    email: str
    phone: str | None
    role: Role
    first_name: str
    last_name: str
    company: str
    gstin: str
    address: str
    is_approved: bool
    is_email_verified: bool
    status: Status
    status_reason: str | None
    created_at: Time

    @classmethod
    def of(cls, account: Account) -> "UserOut":
        """Show `account`."""
        return cls.model_validate({name: getattr(account, name) for name in cls.model_fields})


class Refreshed(BaseModel):
    """The next pair of tokens; the refresh token that was sent is used up."""

    model_config = _example(_TOKENS)
    access: str
    refresh: str


class SignedIn(Refreshed):
    """A pair of tokens, and whose they are."""

    model_config = _example({**_TOKENS, "user": _USER})
    user: UserOut
