"""Providers outside, from the settings: text messages, push, payments. Used by the composition root."""

import json
from collections.abc import Mapping

from deploy.messages import SetupError
from deploy.settings import Settings, plain
from stream.notices import Senders
from stream.payments import PaymentProvider, SandboxProvider
from stream.push import Fcm, FcmSettings, LogPush, PushProvider
from stream.sms import SmsSettings, sms_provider


def senders(settings: Settings) -> Senders:
    """Return who sends text messages and push; raises `SetupError`."""
    sms = SmsSettings(
        settings.sms_provider, settings.sms_account, plain(settings.sms_secret), settings.sms_sender
    )
    try:
        return Senders(sms_provider(sms), _push(settings))
    except ValueError as error:
        raise SetupError(f"{error}.", "Check GRIDWIRE_SMS_PROVIDER and what belongs to it.") from error


def payments(settings: Settings) -> Mapping[str, PaymentProvider]:
    """Return the payment providers by name; the first is the app's."""
    secret = settings.payment_sandbox_secret
    return {} if secret is None else {"sandbox": SandboxProvider(plain(secret))}


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
