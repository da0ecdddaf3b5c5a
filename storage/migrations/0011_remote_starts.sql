-- Whose the starts are that chargers of 2.x are asked for: some say only the number of the start back.
CREATE TABLE remote_starts (
    device_id     integer NOT NULL REFERENCES chargers (device_id),
    number        bigint NOT NULL,                      -- remoteStartId
    id_token      text NOT NULL,
    id_token_type text NOT NULL,
    asked_at      timestamptz NOT NULL,
    PRIMARY KEY (device_id, number)
);

-- The caller's own name for an order, so that a request that is sent again makes no second command. The digest
-- is that of the order, with a key: it tells nothing of the passwords in it.
ALTER TABLE charger_commands
    ADD COLUMN idempotency_key text,
    ADD COLUMN order_digest text,
    ADD CHECK ((idempotency_key IS NULL) = (order_digest IS NULL));
CREATE UNIQUE INDEX charger_commands_key ON charger_commands (requested_by, idempotency_key)
    WHERE idempotency_key IS NOT NULL;
