"""Prices: from rules, connectors, tariffs and settings to one calculation, for quotes and for sessions.

Used by `stream.records` (what a session is rated by), the API and bookings. `rules` is what a pricing rule
says, `compose` makes one tariff of everything that has a say, `quotes` prices a session that is to come.
"""

from stream.pricing.compose import Price, keep, price_of_place, price_of_row, prices_of_places
from stream.pricing.quotes import Quote, quote, quote_of
from stream.pricing.rules import PriceRules

__all__ = [
    "Price",
    "PriceRules",
    "Quote",
    "keep",
    "price_of_place",
    "price_of_row",
    "prices_of_places",
    "quote",
    "quote_of",
]
