"""The outside world of Plug and Charge (OCPP 2.0.1 part 2, block M): who vouches for contracts of vehicles.

Used by `ingest.ocpp.v2`. Contract certificates, their chains and their revocation are the business of
a provider and its pool; a gateway that is connected to one gets it as `Services.contracts`. Without one,
each question is answered so that the charger falls back to another way of authorisation.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class EvCertificate:
    """A CertificateInstallationRes or CertificateUpdateRes: `exi` in base64, "" where there is none."""

    is_accepted: bool
    exi: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class ChainStatus:
    """`status`: Good, Revoked, Unknown or Failed; `next_update_us`: until when it holds (2.1 part 2, M)."""

    status: str
    next_update_us: int


class ContractCertificates(Protocol):
    """What a provider of contract certificates is asked. Each may take as long as the charger waits."""

    async def ev_certificate(self, schema_version: str, action: str, exi: str) -> EvCertificate:
        """Install or update a vehicle's contract certificate (M01, M02); `exi` is its request in base64."""

    async def ocsp_result(self, request: Mapping[str, Any]) -> str | None:
        """The OCSP response for an OCSPRequestDataType (M06), base64 of its DER; None: not to be had."""

    async def chain_status(self, request: Mapping[str, Any], now_us: int) -> ChainStatus:
        """The state of one certificate of a chain (2.1, CertificateStatusRequestInfoType)."""

    async def contract_status(self, certificate: str | None, hashes: Sequence[Mapping[str, Any]]) -> str:
        """An AuthorizeCertificateStatusEnumType (C07) for a contract: its PEM chain, OCSP data, or both."""


class NoContracts:
    """Nobody vouches: requests fail, and no contract is accepted."""

    async def ev_certificate(self, schema_version: str, action: str, exi: str) -> EvCertificate:
        """None is to be had."""
        return EvCertificate(is_accepted=False, reason="NotConfigured")

    async def ocsp_result(self, request: Mapping[str, Any]) -> str | None:
        """None is to be had."""
        return None

    async def chain_status(self, request: Mapping[str, Any], now_us: int) -> ChainStatus:
        """Failed, to be asked again at once."""
        return ChainStatus("Failed", now_us)

    async def contract_status(self, certificate: str | None, hashes: Sequence[Mapping[str, Any]]) -> str:
        """Nobody has the certificate."""
        return "NoCertificateAvailable"
