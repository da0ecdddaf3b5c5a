"""What Lithovolt tells people, kind by kind, in the words that hold until an admin changes them.

Used by `stream.lithovolt_words`. To add a kind: its entry in `KINDS`; who tells it calls `tell` there.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Channel = Literal["email", "sms"]
CHANNELS: tuple[Channel, ...] = ("email", "sms")
Name = Literal[
    "otp",
    "password_reset",
    "wholesaler_approved",
    "order_approved",
    "order_rejected",
    "low_stock",
    "warranty_activated",
    "warranty_expiring",
    "claim_update",
]


@dataclass(frozen=True, slots=True)
class Kind:
    """Templates of one kind of news: `subject` and `email` for e-mail, `sms` for a text message.

    `variables`: what a template may name beside `name` (of who is told), each with an example. `opens_with`
    is the one that opens an account: its message is blanked when it has gone, and no admin can switch it off.
    """

    description: str
    variables: Mapping[str, str]
    subject: str
    email: str
    sms: str
    opens_with: str | None = None


NAME_EXAMPLE = "Asha Rao"
_ORDER = {"order_number": "ORD-2024-000017"}
_WARRANTY = {
    "serial": "LV48-0000001-7",
    "model": "LV 48-100",
    "certificate_number": "WC-2024-000009",
    "expires_on": "2027-01-14",
}

KINDS: Mapping[Name, Kind] = {
    "otp": Kind(
        "A one-time password to sign in with.",
        {"code": "482913", "minutes": "5"},
        "Your sign-in code",
        "{{ code }} is your sign-in code. It is good for {{ minutes }} minutes.\n\n"
        "If you did not ask for it, there is nothing to do. Never give it to anybody.",
        "{{ code }} is your Lithovolt sign-in code, good for {{ minutes }} minutes.",
        opens_with="code",
    ),
    "password_reset": Kind(
        "A token that sets a new password.",
        {"token": "Zk3v9aQ0xJ5nS7wT", "minutes": "60"},
        "Set a new password",
        "Somebody, you we hope, asked to set a new password for your account.\n\n"
        "Your code for it, good for {{ minutes }} minutes and for one use:\n\n{{ token }}\n\n"
        "If you did not ask for it, there is nothing to do: your password is as it was.",
        "Your code to set a new Lithovolt password: {{ token }}",
        opens_with="token",
    ),
    "wholesaler_approved": Kind(
        "An admin has approved a wholesaler, who can sign in now.",
        {"company": "Rao Traders"},
        "Your account is approved",
        "Your wholesaler account{% if company %} of {{ company }}{% endif %} is approved."
        " You can sign in and order now.",
        "Your Lithovolt wholesaler account is approved. You can sign in now.",
    ),
    "order_approved": Kind(
        "An order was approved; its invoice is there.",
        {**_ORDER, "invoice_number": "INV-2024-000012", "total": "53100.00"},
        "Order {{ order_number }} is approved",
        "Your order {{ order_number }} is approved. Invoice {{ invoice_number }} is of INR {{ total }}.",
        "Order {{ order_number }} is approved. Invoice {{ invoice_number }}: INR {{ total }}.",
    ),
    "order_rejected": Kind(
        "An order was rejected.",
        {**_ORDER, "reason": "The model is out of stock until March."},
        "Order {{ order_number }} was rejected",
        "Your order {{ order_number }} was rejected.{% if reason %}\n\nReason: {{ reason }}{% endif %}",
        "Order {{ order_number }} was rejected.{% if reason %} Reason: {{ reason }}{% endif %}",
    ),
    "low_stock": Kind(
        "Told to admins: a model has as many in stock as its threshold, or fewer.",
        {"model": "LV 48-100", "code": "LV48", "in_stock": "4", "threshold": "10"},
        "Low stock: {{ model }}",
        "{{ model }} ({{ code }}) has {{ in_stock }} in stock; its threshold is {{ threshold }}.",
        "Low stock: {{ model }} has {{ in_stock }} left (threshold {{ threshold }}).",
    ),
    "warranty_activated": Kind(
        "A warranty began.",
        _WARRANTY,
        "Your warranty {{ certificate_number }}",
        "The warranty of your battery {{ serial }} ({{ model }}) is active until {{ expires_on }}.\n\n"
        "Its certificate is {{ certificate_number }}.",
        "Warranty {{ certificate_number }} of battery {{ serial }} is active until {{ expires_on }}.",
    ),
    "warranty_expiring": Kind(
        "A warranty will end soon.",
        {**_WARRANTY, "days": "30"},
        "Your warranty ends in {{ days }} days",
        "The warranty {{ certificate_number }} of your battery {{ serial }} ({{ model }}) ends on"
        " {{ expires_on }}, in {{ days }} days.",
        "The warranty of battery {{ serial }} ends on {{ expires_on }}, in {{ days }} days.",
    ),
    "claim_update": Kind(
        "A warranty claim came to another state.",
        {
            "claim_number": "CLM-2024-000003",
            "serial": "LV48-0000001-7",
            "status": "approved",
            "note": "A replacement is on its way.",
        },
        "Claim {{ claim_number }}: {{ status }}",
        "Your warranty claim {{ claim_number }} for battery {{ serial }} is now: {{ status }}."
        "{% if note %}\n\n{{ note }}{% endif %}",
        "Claim {{ claim_number }} is now: {{ status }}.",
    ),
}
