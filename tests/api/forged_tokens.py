"""Tokens of an account that must let nobody in, by what is wrong with them; for all families' tests."""

import base64
import hashlib
import hmac
import json
from typing import Any

import jwt

from api import tokens
from tests.api.helpers import SECRET


def forged_tokens(good: str, *, user_id: int, admin_id: int, audience: str, now_us: int) -> dict[str, str]:
    """Make them of a good access token of a user, for this audience at this time (the service's)."""
    head, payload, signature = good.split(".")
    claims = jwt.decode(good, options={"verify_signature": False})

    def altered(**changes: Any) -> str:
        return base64.urlsafe_b64encode(json.dumps({**claims, **changes}).encode()).decode().rstrip("=")

    def issued(user_id: int, **changes: Any) -> str:
        call = {"secret_key": SECRET, "audience": audience, "now_us": now_us, "life_s": 60, **changes}
        return tokens.issue(claims=tokens.Claims(user_id, 0, None), **call)

    none = base64.urlsafe_b64encode(b'{"alg":"none","typ":"JWT"}').decode().rstrip("=")
    keyless = hmac.new(b"", f"{head}.{payload}".encode(), hashlib.sha256).digest()
    unkeyed = base64.urlsafe_b64encode(keyless).decode().rstrip("=")
    return {
        "expired": issued(user_id, life_s=-1),
        "of another audience": issued(user_id, audience="ienerzy" if audience == "evcms" else "evcms"),
        "of another key": issued(admin_id, secret_key="another secret of 32 bytes or more"),
        "of an empty key": f"{head}.{payload}.{unkeyed}",
        "unsigned": f"{none}.{payload}.",
        "unsigned, with a signature": f"{none}.{payload}.{signature}",
        "with altered claims": f"{head}.{altered(sub=str(admin_id))}.{signature}",
        "of another algorithm": jwt.encode(claims, SECRET * 2, "HS512"),
        "of nobody": issued(10**9),
        "of no number": jwt.encode({**claims, "sub": "1 OR 1=1"}, SECRET, "HS256"),
        "empty": "",
        "long": "x" * 5_000,
    }
