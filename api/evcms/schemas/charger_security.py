"""EV-CMS security of a charger: its profile, its new password, its certificates."""

from typing import Annotated, Literal

from pydantic import BaseModel, Field

from api.evcms.envelope import Maybe, Out, Time
from api.fields import Text
from storage.queries.certificates import ChargerCertificate, InstalledCertificate
from storage.queries.charger_security import PROFILE_MAX, ChargerSecurity
from stream.charger_passwords import Rotation, State

ALIASES_MAX = 8
CertificateState = Literal["rejected", "signed", "accepted", "refused", "failed"]


class ProfileIn(BaseModel):
    """The least security profile that may connect; with `upgrade` a connection above it raises it.

    `aliases`: names beside its identity that the charger may use as user name and in its certificate (a
    serial number); left out they stay as they are.
    """

    profile: Annotated[int, Field(ge=0, le=PROFILE_MAX)]
    upgrade: bool = False
    aliases: Annotated[list[Text], Field(max_length=ALIASES_MAX)] | None = None


class SecurityOut(Out):
    """`required_profile` is 1 at least where the charger has a password. `last_profile`: as it connected."""

    profile: int
    upgrade: bool
    required_profile: int
    aliases: list[str]
    last_profile: Maybe[int]
    certificate_until: Maybe[Time]

    @classmethod
    def of(cls, security: ChargerSecurity) -> "SecurityOut":
        """Show `security`."""
        return cls(
            profile=security.profile,
            upgrade=security.may_upgrade,
            required_profile=security.required,
            aliases=security.aliases,
            last_profile=security.seen_profile,
            certificate_until=security.certificate_until,
        )


class PasswordOut(Out):
    """A new password, shown this once; `state` as in `stream.charger_passwords`."""

    password: str
    state: State

    @classmethod
    def of(cls, password: str, rotation: Rotation) -> "PasswordOut":
        """Show the password and what the charger said to it."""
        return cls(password=password, state=rotation.state)


class SignedOut(Out):
    """One request of the charger for a certificate; `reason` says why it is not accepted."""

    id: str
    type: str
    state: CertificateState
    reason: Maybe[str]
    serial_number: Maybe[str]
    valid_until: Maybe[Time]
    chain: Maybe[str]
    requested_at: Time
    answered_at: Maybe[Time]

    @classmethod
    def of(cls, certificate: ChargerCertificate) -> "SignedOut":
        """Show `certificate`."""
        return cls.model_validate(
            {
                "id": str(certificate.id),
                "type": certificate.kind,
                "state": certificate.state,
                "reason": certificate.reason,
                "serial_number": certificate.serial_number,
                "valid_until": certificate.not_after,
                "chain": certificate.chain_pem,
                "requested_at": certificate.requested_at,
                "answered_at": certificate.answered_at,
            }
        )


class InstalledOut(Out):
    """OCPP CertificateHashData with its use; `certificate` where it was installed from here."""

    type: str
    hash_algorithm: str
    issuer_name_hash: str
    issuer_key_hash: str
    serial_number: str
    certificate: Maybe[str]
    stored_at: Time

    @classmethod
    def of(cls, installed: InstalledCertificate) -> "InstalledOut":
        """Show `installed`."""
        return cls(
            type=installed.kind,
            hash_algorithm=installed.hash_algorithm,
            issuer_name_hash=installed.issuer_name_hash,
            issuer_key_hash=installed.issuer_key_hash,
            serial_number=installed.serial_number,
            certificate=installed.certificate_pem,
            stored_at=installed.stored_at,
        )


class CertificatesOut(Out):
    """What was signed for the charger, the newest first, and what it says it has installed."""

    signed: list[SignedOut]
    installed: list[InstalledOut]
