"""How many segments a text message is sent in (3GPP TS 23.038, 23.040); a bound of the Ienerzy API."""

# The default alphabet, and what takes two places of it (TS 23.038 clause 6.2.1).
_BASIC = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿"
    "abcdefghijklmnopqrstuvwxyzäöñüà"
)
_EXTENDED = frozenset("\f^{}\\[~]|€")
# Of one segment alone, and of each of several, which lose six octets to a header (TS 23.040 clause 9.2.3.24).
_BASIC_MAX, _BASIC_PART_MAX = 160, 153
_UCS2_MAX, _UCS2_PART_MAX = 70, 67


def segments(text: str) -> int:
    """Return how many segments `text` takes; what is not in the default alphabet makes all of it UCS-2."""
    if all(character in _BASIC or character in _EXTENDED for character in text):
        length = len(text) + sum(character in _EXTENDED for character in text)
        return _parts(length, _BASIC_MAX, _BASIC_PART_MAX)
    return _parts(len(text.encode("utf-16-le", "surrogatepass")) // 2, _UCS2_MAX, _UCS2_PART_MAX)


def _parts(length: int, alone_max: int, part_max: int) -> int:
    return 1 if length <= alone_max else -(-length // part_max)
