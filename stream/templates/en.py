"""What EV-CMS users are told, in English. Jinja over the values of the news; see `stream.templates`."""

from collections.abc import Mapping

from stream.templates.words import Language, Words

_WORDS: Mapping[str, Words] = {
    "booking_confirmed": Words(
        "Booking confirmed",
        "{{ number }} at {{ station }} from {{ time }}.",
        "Your booking {{ number }} is confirmed.\n\n"
        "The connector at {{ station }} is held for you from {{ time }}. "
        "Start charging in the app when you are there.",
    ),
    "booking_cancelled": Words(
        "Booking cancelled",
        "{{ number }} at {{ station }} was cancelled.",
        "Your booking {{ number }} at {{ station }} was cancelled.\n\n"
        "What is due back to you is in your wallet.",
    ),
    "booking_expired": Words(
        "Booking expired",
        "{{ number }} at {{ station }} was not started.",
        "Your booking {{ number }} at {{ station }} has expired: charging was not started in time.",
    ),
    "booking_reminder": Words(
        "Your booking begins soon",
        "{{ number }} at {{ station }} at {{ time }}.",
    ),
    "session_started": Words(
        "Charging has started",
        "Connector {{ connector }} of {{ charger }}.",
    ),
    "session_completed": Words(
        "Charging is complete",
        "{{ energy }} kWh for {{ amount }}.",
        "Your charging session is complete: {{ energy }} kWh for {{ amount }}."
        "{% if charger is defined %}\n\nCharger: {{ charger }}.{% endif %}"
        "{% if is_owed is defined %}\n\n"
        "Your wallet had too little for it. It is paid as soon as you top up.{% endif %}",
    ),
    "payment_received": Words(
        "Payment received",
        "{{ amount }} was added to your wallet.",
        "We have received your payment: {{ amount }} was added to your wallet.",
    ),
    "payment_made": Words(
        "Payment made",
        "{{ amount }} for {{ description }}.",
        "Your wallet has paid {{ amount }} for {{ description }}.",
    ),
    "refund_decided": Words(
        "Refund {{ decision }}",
        "Your refund of {{ amount }} was {{ decision }}.",
    ),
    "low_balance": Words(
        "Wallet balance low",
        "Your balance is {{ amount }}. Please top up.",
    ),
    "invoice_sent": Words(
        "Invoice {{ number }}",
        "{{ amount }}, due {{ due }}.",
        "Your invoice {{ number }} of {{ amount }} is attached. It is due {{ due }}.",
    ),
    "ticket_answered": Words(
        "Ticket {{ number }}",
        "Support has answered: {{ subject }}",
        "Support has answered your ticket {{ number }}, {{ subject }}.\n\nThe answer is in the app.",
    ),
    "kyc_decided": Words(
        "Documents {{ decision }}",
        "Your documents were {{ decision }}. {{ notes }}",
    ),
    "verify_email": Words(
        "Confirm your e-mail",
        "Please follow the link in our e-mail.",
        "Please confirm that this address is yours:\n\n{{ link }}\n\n"
        "{% if hours is defined %}The link is good for {{ hours }} hours. {% endif %}"
        "If you did not sign up, there is nothing to do.",
    ),
    "system": Words("{{ title }}", "{{ message }}"),
    "promotion": Words("{{ title }}", "{{ message }}"),
}

ENGLISH = Language(
    code="en",
    words=_WORDS,
    greeting="Hello {name},",
    closing="{site}. Questions? {support}",
)
