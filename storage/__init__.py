"""The only room that knows SQL: migrations, hypertables, binary COPY, queries, the ledger."""
