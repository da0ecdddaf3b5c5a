"""Settings: GRIDWIRE_... environment variables, read once by `gridwire.py` and passed down.

`.env.example` lists them; a test holds it against this class.
"""

import json
from decimal import Decimal
from pathlib import Path
from typing import Literal, TypeVar

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from deploy.messages import SetupError

T = TypeVar("T")
MIB = 1024 * 1024
SERVERS_FILE = "servers.json"  # where the servers of a running `gridwire up` are


class Settings(BaseSettings):
    """One frozen object a process. Each field's description is what `.env.example` says of it."""

    model_config = SettingsConfigDict(env_prefix="GRIDWIRE_", env_file=".env", extra="ignore", frozen=True)

    database_url: str | None = Field(None, description="TimescaleDB or PostgreSQL; `up` brings its own")
    nats_url: str | None = Field(None, description="nats-server with JetStream; `up` brings its own")
    mqtt_url: str | None = Field(None, description="MQTT 3.1.1 broker; `up` brings its own")
    secret_key: SecretStr | None = Field(None, description="signs tokens, 32 bytes or more; `up` makes one")

    data_dir: Path = Field(Path("data"), description="where `up` keeps database, log and secrets")
    listen_host: str = Field("127.0.0.1", description="address to listen on; 0.0.0.0 for real devices")
    http_port: int = Field(5000, description="API, /metrics, /api-docs")
    ocpp_port: int = Field(9000, description="OCPP WebSocket")
    ocpp_tls_port: int = Field(0, description="OCPP over TLS; 0 is none; `up --tls` takes 9443")
    ocpp_tls_certificates: str | None = Field(
        None, description="PEM files, each key and chain, with commas between; `up --tls` makes them"
    )
    ocpp_authority: Path | None = Field(
        None, description="PEM file of the root that chargers' certificates have"
    )
    ocpp_authority_key: Path | None = Field(
        None, description="PEM file of its key; without it none is signed"
    )
    ocpp_message_log: bool = Field(True, description="keep each OCPP frame, searchable, for 90 days")
    mqtt_port: int = Field(1883, description="embedded broker")
    nats_port: int = Field(4222, description="embedded bus, on loopback only")
    coap_port: int = Field(5683, description="CoAP of NB-IoT meters, UDP")
    udp_port: int = Field(5684, description="plain datagrams of NB-IoT meters, UDP")
    callbacks_port: int = Field(5080, description="HTTP callbacks of network servers and operators")
    metrics_port: int = Field(0, description="own /metrics of a role run by `serve`; 0 is none")

    unknown_devices: Literal["register", "quarantine", "reject"] = Field(
        "quarantine", description="what happens to a device that is not in the registry"
    )
    log_partitions: int = Field(1, ge=1, le=64, description="partitions of the log; one writer each")
    log_mib_max: int = Field(2048, ge=64, description="the log holds devices back beyond this")
    mqtt_client_id: str = Field("gridwire-ingestor", description="MQTT session; one for each ingestor")
    mqtt_shared_group: str | None = Field(None, description="$share group, for brokers that have it")
    lorawan_mqtt_url: str | None = Field(
        None, description="broker of ChirpStack or The Things Stack; GRIDWIRE_MQTT_URL if left out"
    )
    lorawan_mqtt_client_id: str = Field("gridwire-lorawan", description="MQTT session of the lorawan role")
    chirpstack_token: SecretStr | None = Field(None, description="that ChirpStack's callbacks must bear")
    things_stack_token: SecretStr | None = Field(None, description="the same for The Things Stack")
    nbiot_token: SecretStr | None = Field(None, description="the same for operators of NB-IoT")
    things_stack_url: str | None = Field(
        None, description="scheme and host of The Things Stack's API: downlinks, stored uplinks"
    )
    things_stack_api_key: SecretStr | None = Field(None, description="its key")
    things_stack_webhook: str = Field("gridwire", description="id of its webhook that leads here")
    sms_provider: Literal["log", "twilio", "clickatell", "bulksms"] = Field(
        "log", description="who sends text messages; log writes them to the jobs role's log"
    )
    sms_account: str = Field("", description="its account or user name")
    sms_secret: SecretStr | None = Field(None, description="its token, key or password")
    sms_sender: str = Field("", description="number or name that messages come from")
    fcm_credentials: Path | None = Field(
        None, description="service account file of Firebase for push; without it they go to the log"
    )
    smtp_host: str | None = Field(None, description="server that sends e-mail; without it e-mail is logged")
    smtp_port: int = Field(587, ge=1, le=65_535, description="its port; 465 is usual for tls")
    smtp_security: Literal["starttls", "tls", "none"] = Field("starttls", description="of that connection")
    smtp_user: str = Field("", description="its account")
    smtp_password: SecretStr | None = Field(None, description="its password")
    smtp_from: str = Field("", description="whom e-mail comes from: Gridwire <no-reply@example.com>")
    payment_sandbox_secret: SecretStr | None = Field(
        None, description="signs the sandbox payment provider's webhooks; without it there is none"
    )
    razorpay_key_id: str = Field("", description="Razorpay takes top-ups: id of its API key, as rzp_live_...")
    razorpay_key_secret: SecretStr | None = Field(None, description="that key's secret")
    razorpay_webhook_secret: SecretStr | None = Field(
        None, description="signs Razorpay's webhooks to /api/v1/payments/razorpay/webhook"
    )
    public_url: str | None = Field(
        None, description="where people reach the API, for links; this machine if left out"
    )
    web_origins: str = Field(
        "", description="pages of other hosts that may call the API and open sockets, by commas; * is any"
    )
    files_folder: Path | None = Field(
        None, description="where uploads are kept; files in GRIDWIRE_DATA_DIR if left out"
    )
    files_bucket: str = Field("", description="S3-compatible bucket that keeps them instead")
    files_endpoint: str | None = Field(None, description="URL of its store; Amazon's own if left out")
    files_region: str = Field("us-east-1", description="its region")
    files_key_id: str = Field("", description="access key to it")
    files_key_secret: SecretStr | None = Field(None, description="that key's secret")
    codec_workers: int = Field(1, ge=1, le=64, description="processes for JavaScript codecs, each role")

    database_pool_max: int = Field(10, ge=2, description="connections of one process")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="of stdout")

    evcms_requests_per_15_minutes: int = Field(100, ge=1, description="EV-CMS rate limit, each address")
    ienerzy_auth_per_minute: int = Field(5, ge=1, description="Ienerzy sign-in limit, each address")
    ienerzy_requests_per_minute: int = Field(100, ge=1, description="Ienerzy rate limit, each user")
    ienerzy_messages_per_minute: int = Field(30, ge=1, description="text messages that a dealer may send")
    ienerzy_uploads_per_minute: int = Field(10, ge=1, description="files that an Ienerzy user may send")
    lithovolt_auth_per_minute: int = Field(60, ge=1, description="Lithovolt sign-in limit, each address")
    lithovolt_verifications_per_minute: int = Field(
        60, ge=1, description="looks at the public verification of warranties, each address"
    )

    emi_method: Literal["reducing", "flat", "interest_free"] = Field(
        "reducing", description="how instalments are made"
    )
    emi_penalty_pct: Decimal = Field(Decimal(24), ge=0, le=100, description="a year, on what is overdue")
    foreclosure_fee_pct: Decimal = Field(Decimal(0), ge=0, le=100, description="of the principal left")
    disable_after_days: int = Field(7, ge=1, description="overdue, before a battery is disabled")
    disable_notice_days: int = Field(3, ge=0, description="before that, its consumer is told")
    nbfc_url: str | None = Field(None, description="NBFC that applications go to; none: dealers decide")
    nbfc_secret: SecretStr | None = Field(None, description="signs what is said to it and by it")
    seller_gstin: str = Field("", description="of the seller on invoices of Lithovolt's orders")
    seller_address: str = Field("", description="the same")

    @property
    def api_url(self) -> str:
        """Where people reach the API, without a slash at the end."""
        return (self.public_url or f"http://localhost:{self.http_port}").rstrip("/")

    @property
    def log_bytes_max(self) -> int:
        """Bytes of the durable log."""
        return self.log_mib_max * MIB


def needed(value: T | None, name: str) -> T:
    """Return a setting that must be there; `SetupError` names it if it is not."""
    if value is None:
        raise SetupError(f"{name} is not set.", "Set it, or run everything with: gridwire up")
    return value


def plain(secret: SecretStr | None) -> str:
    """Return a secret as text, empty where there is none."""
    return "" if secret is None else secret.get_secret_value()


def read_settings() -> Settings:
    """Read the environment and .env; `SetupError` names the first setting that is wrong.

    Where no database is named and a `gridwire up` runs on the data folder, its servers are meant.
    """
    try:
        settings = Settings()
        running = settings.data_dir / SERVERS_FILE
        if settings.database_url is None and running.exists():
            return settings.model_copy(update=json.loads(running.read_text()))
        return settings
    except ValidationError as error:
        first = error.errors()[0]
        raise SetupError(
            f"GRIDWIRE_{str(first['loc'][0]).upper()} is {first['input']!r}: {first['msg']}.",
            "The settings and their defaults are in .env.example.",
        ) from error
