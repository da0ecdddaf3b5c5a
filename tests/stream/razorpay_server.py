"""A local HTTP server that behaves as Razorpay documents its orders, payments and webhooks."""

import base64
import hashlib
import hmac
import json
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from stream.razorpay import Razorpay

KEY_ID, KEY_SECRET, WEBHOOK_SECRET = "rzp_test_1", "key-secret", "webhook-secret"
RECEIPT_CHARACTERS_MAX = 40
AMOUNT_MIN = 100

Answer = tuple[int, dict[str, Any]]


def _refused(status: int, description: str) -> Answer:
    return status, {"error": {"code": "BAD_REQUEST_ERROR", "description": description}}


def sign(secret: str, text: bytes) -> str:
    return hmac.new(secret.encode(), text, hashlib.sha256).hexdigest()


@dataclass
class RazorpayServer:
    """What it has of orders and payments; `is_away`: it answers 503 to everything."""

    url: str = ""
    is_away: bool = False
    orders: dict[str, dict[str, Any]] = field(default_factory=dict)
    payments: dict[str, dict[str, Any]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def provider(self) -> Razorpay:
        return Razorpay(KEY_ID, KEY_SECRET, WEBHOOK_SECRET, self.url)

    def pay(self, order_id: str, status: str = "captured", **changes: Any) -> dict[str, Any]:
        """A client pays in Checkout; returns the payment."""
        order = self.orders[order_id]
        payment = {
            "id": f"pay_{uuid.uuid4().hex[:14]}",
            "entity": "payment",
            "amount": order["amount"],
            "currency": order["currency"],
            "status": status,
            "order_id": order_id,
            "method": "upi",
            "captured": status == "captured",
            "error_description": "Payment was declined" if status == "failed" else None,
            "notes": [],
            **changes,
        }
        self.payments[payment["id"]] = payment
        return payment

    def proof(self, payment: dict[str, Any]) -> dict[str, str]:
        """What Checkout hands to the client's handler."""
        signed = f"{payment['order_id']}|{payment['id']}".encode()
        return {
            "razorpay_order_id": payment["order_id"],
            "razorpay_payment_id": payment["id"],
            "razorpay_signature": sign(KEY_SECRET, signed),
        }

    def webhook(
        self, event: str, payment: dict[str, Any], refund: dict[str, Any] | None = None
    ) -> tuple[bytes, dict[str, str]]:
        """Body and headers of a webhook."""
        payload: dict[str, Any] = {"payment": {"entity": payment}}
        if refund is not None:
            payload["refund"] = {"entity": refund}
        if event == "order.paid":
            payload["order"] = {"entity": self.orders[payment["order_id"]]}
        contains = list(payload)
        body = json.dumps(
            {
                "entity": "event",
                "account_id": "acc_1",
                "event": event,
                "contains": contains,
                "payload": payload,
            }
        ).encode()
        headers = {
            "X-Razorpay-Signature": sign(WEBHOOK_SECRET, body),
            "X-Razorpay-Event-Id": uuid.uuid4().hex,
            "Content-Type": "application/json",
        }
        return body, headers

    def answer(self, method: str, path: str, authorization: str, body: Any) -> Answer:
        self.asked.append(f"{method} {path}")
        wanted = base64.b64encode(f"{KEY_ID}:{KEY_SECRET}".encode()).decode()
        if self.is_away:
            return 503, {}
        if authorization != f"Basic {wanted}":
            return _refused(401, "Authentication failed")
        if (method, path) == ("POST", "/v1/orders"):
            return self._order(body)
        payment = self.payments.get(path.split("/")[3]) if path.startswith("/v1/payments/") else None
        if payment is None:
            return _refused(400, "The id provided does not exist")
        if (method, path.rpartition("/")[2]) == ("POST", "capture"):
            return self._capture(payment, body)
        return 200, payment

    def _order(self, body: Any) -> Answer:
        if body["amount"] < AMOUNT_MIN:
            return _refused(400, "Order amount less than minimum amount allowed")
        if len(body["receipt"]) > RECEIPT_CHARACTERS_MAX:
            return _refused(400, "The receipt may not be greater than 40 characters.")
        order = {
            "id": f"order_{uuid.uuid4().hex[:14]}",
            "entity": "order",
            "amount": body["amount"],
            "amount_paid": 0,
            "amount_due": body["amount"],
            "currency": body["currency"],
            "receipt": body["receipt"],
            "status": "created",
            "attempts": 0,
            "notes": body["notes"],
            "created_at": 1_700_000_000,
        }
        self.orders[str(order["id"])] = order
        return 200, order

    def _capture(self, payment: dict[str, Any], body: Any) -> Answer:
        if payment["status"] != "authorized" or body["amount"] != payment["amount"]:
            return _refused(400, "This payment cannot be captured")
        payment.update(status="captured", captured=True)
        return 200, payment


@contextmanager
def running() -> Iterator[RazorpayServer]:
    server = RazorpayServer()

    class Handler(BaseHTTPRequestHandler):
        def _serve(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            authorization = self.headers.get("Authorization", "")
            status, said = server.answer(
                self.command, self.path, authorization, json.loads(body) if body else None
            )
            answer = json.dumps(said).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        do_GET = _serve  # noqa: N815 (the library's name)
        do_POST = _serve  # noqa: N815 (the library's name)

        def log_message(self, *args: Any) -> None:
            return

    listening = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    server.url = f"http://127.0.0.1:{listening.server_address[1]}"
    try:
        yield server
    finally:
        listening.shutdown()
        listening.server_close()
        thread.join()
