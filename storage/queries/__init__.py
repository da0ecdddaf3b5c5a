"""One query module a noun: literal SQL, typed rows; the caller owns the transaction."""
