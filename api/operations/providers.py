"""Providers outside, from the settings: SMS, push, e-mail, payments, files. Used by the composition root."""

import json
from collections.abc import Mapping

from deploy.clock import clock
from deploy.messages import SetupError
from deploy.settings import Settings, needed, plain
from stream.files import DiskStore, FileStore
from stream.lending.terms import LendingTerms
from stream.mail import LogMail, MailProvider, MailSettings, SmtpMail
from stream.nbfc.provider import HouseNbfc, HttpNbfc, NbfcProvider
from stream.notices import Senders
from stream.payments import PaymentProvider, SandboxProvider
from stream.push import Fcm, FcmSettings, LogPush, PushProvider
from stream.razorpay import Razorpay
from stream.sms import SmsSettings, sms_provider
from stream.sms_status import callback_url


def senders(settings: Settings) -> Senders:
    """Return who sends text messages, push and e-mail; raises `SetupError`."""
    sms = SmsSettings(
        settings.sms_provider,
        settings.sms_account,
        plain(settings.sms_secret),
        settings.sms_sender,
        callback_url=callback_url(settings.api_url),
    )
    try:
        return Senders(sms_provider(sms), _push(settings), _mail(settings))
    except ValueError as error:
        raise SetupError(f"{error}.", "Check GRIDWIRE_SMS_PROVIDER and what belongs to it.") from error


def payments(settings: Settings) -> Mapping[str, PaymentProvider]:
    """Return the payment providers by name; who names none gets the first. Raises `SetupError`."""
    found: dict[str, PaymentProvider] = {}
    razorpay = (
        settings.razorpay_key_id,
        plain(settings.razorpay_key_secret),
        plain(settings.razorpay_webhook_secret),
    )
    if all(razorpay):
        found["razorpay"] = Razorpay(*razorpay)
    elif any(razorpay):
        problem = "Razorpay needs a key id, the key's secret and the secret of its webhooks."
        raise SetupError(problem, "Set GRIDWIRE_RAZORPAY_KEY_ID, _KEY_SECRET and _WEBHOOK_SECRET, or none.")
    if settings.payment_sandbox_secret is not None:
        found["sandbox"] = SandboxProvider(plain(settings.payment_sandbox_secret))
    return found


def files(settings: Settings) -> FileStore:
    """Return where uploads are kept: a folder, or a bucket where one is named. Raises `SetupError`."""
    if not settings.files_bucket:
        return DiskStore(settings.files_folder or settings.data_dir / "files")
    if not settings.files_key_id or settings.files_key_secret is None:
        problem = "GRIDWIRE_FILES_BUCKET needs a key."
        raise SetupError(problem, "Set GRIDWIRE_FILES_KEY_ID and GRIDWIRE_FILES_KEY_SECRET.")
    from stream.files.s3 import S3Settings, S3Store

    bucket = S3Settings(
        bucket=settings.files_bucket,
        key_id=settings.files_key_id,
        secret=plain(settings.files_key_secret),
        endpoint=settings.files_endpoint,
        region=settings.files_region,
    )
    try:
        return S3Store(bucket)
    except ValueError as error:
        raise SetupError(f"{error}.", "Check GRIDWIRE_FILES_ENDPOINT and GRIDWIRE_FILES_REGION.") from error


def lending(settings: Settings) -> LendingTerms:
    """Return what the house lends by."""
    return LendingTerms(
        method=settings.emi_method,
        penalty_pct=settings.emi_penalty_pct,
        foreclosure_fee_pct=settings.foreclosure_fee_pct,
        disable_after_days=settings.disable_after_days,
        notice_days=settings.disable_notice_days,
    )


def nbfc(settings: Settings) -> NbfcProvider:
    """Return who lends: the NBFC at an address, else the house. Raises `SetupError`."""
    if not settings.nbfc_url:
        return HouseNbfc()
    secret = plain(needed(settings.nbfc_secret, "GRIDWIRE_NBFC_SECRET"))
    return HttpNbfc(settings.nbfc_url.rstrip("/"), secret, clock)


def _mail(settings: Settings) -> MailProvider:
    if settings.smtp_host is None:
        return LogMail()
    server = MailSettings(
        host=settings.smtp_host,
        sender=settings.smtp_from,
        port=settings.smtp_port,
        security=settings.smtp_security,
        user=settings.smtp_user,
        password=plain(settings.smtp_password),
    )
    try:
        return SmtpMail(server)
    except ValueError as error:
        raise SetupError(f"{error}.", "Check GRIDWIRE_SMTP_FROM and GRIDWIRE_SMTP_SECURITY.") from error


def _push(settings: Settings) -> PushProvider:
    file = settings.fcm_credentials
    if file is None:
        return LogPush()
    try:
        account = json.loads(file.read_text(encoding="utf-8"))
        named = [str(account[name]) for name in ("project_id", "client_email", "private_key")]
    except (OSError, ValueError, KeyError, TypeError) as error:
        problem = f"{file} is no service account of Firebase: {error!r}."
        raise SetupError(problem, "Check GRIDWIRE_FCM_CREDENTIALS.") from error
    return Fcm(FcmSettings(*named))
