-- What lateness and a foreclosure cost a loan. Fixed with its first payment: a setting that changes later must
-- not change what was paid before. The fee is recognised in the ledger as it is paid, as penalties are.
ALTER TABLE finance_applications
    ADD COLUMN fee_minor bigint NOT NULL DEFAULT 0,
    ADD COLUMN penalty_pct numeric(6, 3),
    ADD COLUMN fee_pct numeric(6, 3);
