"""What the API can be told; `gridwire.py` fills it from the settings, tests by hand."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from api.otp import LogSender, OtpSender
from stream.files import DiskStore, FileStore
from stream.lending.terms import LendingTerms
from stream.nbfc.provider import HouseNbfc, NbfcProvider
from stream.payments import PaymentProvider
from stream.sms_status import SmsStatuses
from stream.stock.gst import Seller

SECRET_BYTES_MIN = 32  # of an HMAC-SHA256 key (RFC 7518 section 3.2)


@dataclass(frozen=True, slots=True)
class ApiConfig:
    """Lives, limits and timeouts; money in minor units of INR.

    Rate limits count in this process's memory: with N processes behind a balancer a client has up to N
    times as many requests. `trusted_proxies` (comma-separated addresses, or *) may say who the client is by
    X-Forwarded-For; by default nobody may, so a client behind a proxy shares the proxy's limit.
    `public_url`: where people reach this API, for links in e-mails; without a slash at the end.
    `web_origins` (comma-separated, or *): pages of other hosts that may call the API and open sockets.
    `files`: where uploads are kept. `seller`: of the batteries that Lithovolt's orders are invoiced for.
    `nbfc`: who lends; without `nbfc_secret` none of its webhooks is taken but a dealer's or an admin's.
    `sms_statuses`: who reads the callbacks of SMS providers, by provider; without one there are none.
    `payments`: payment providers by name, the first is the app's; without one the app orders no top-up.
    """

    secret_key: str = field(repr=False)
    host: str = "127.0.0.1"
    port: int = 5000
    public_url: str = "http://localhost:5000"
    trusted_proxies: str = ""
    web_origins: str = ""
    evcms_requests_per_15_minutes: int = 100
    ienerzy_auth_per_minute: int = 5
    ienerzy_requests_per_minute: int = 100
    evcms_access_s: int = 3_600
    evcms_refresh_s: int = 7 * 86_400
    ienerzy_access_s: int = 86_400
    ienerzy_uploads_per_minute: int = 10
    ienerzy_messages_per_minute: int = 30
    lithovolt_access_s: int = 3_600
    lithovolt_refresh_s: int = 7 * 86_400
    lithovolt_reset_s: int = 3_600
    lithovolt_auth_per_minute: int = 60
    lithovolt_verifications_per_minute: int = 60
    lithovolt_login_tries: int = 10
    lending: LendingTerms = field(default_factory=LendingTerms)
    seller: Seller = field(default_factory=Seller)
    nbfc: NbfcProvider = field(default_factory=HouseNbfc)
    nbfc_secret: str = field(default="", repr=False)
    otp_life_s: int = 300
    otp_tries: int = 5
    otp_sender: OtpSender = field(default_factory=LogSender)
    phone_region: str = "IN"
    mobile_logins_per_minute: int = 60
    mobile_login_tries: int = 10
    mobile_access_s: int = 30 * 86_400
    mobile_portal_access_s: int = 12 * 3_600
    payments: Mapping[str, PaymentProvider] = field(default_factory=dict)
    sms_statuses: Mapping[str, SmsStatuses] = field(default_factory=dict)
    files: FileStore = field(default_factory=lambda: DiskStore(Path("data/files")))
    upload_bytes_max: int = 10_551_296  # of the whole form: a document of 10 MiB, and what is around it
    charger_answer_s: float = 30.0
    session_start_s: float = 45.0
    session_stop_s: float = 45.0
    battery_answer_s: float = 5.0
    body_bytes_max: int = 1_048_576

    @property
    def origins(self) -> list[str]:
        """`web_origins` one by one."""
        return [each.strip() for each in self.web_origins.split(",") if each.strip()]

    def __post_init__(self) -> None:
        if len(self.secret_key.encode()) < SECRET_BYTES_MIN:
            raise ValueError(
                f"the secret key has {len(self.secret_key.encode())} bytes, {SECRET_BYTES_MIN} are needed:"
                " set GRIDWIRE_SECRET_KEY, for example to the output of `openssl rand -hex 32`"
            )
