-- Tokens and transactions of OCPP 2.0.1 and 2.1, beside those of 1.6 in the same tables.

-- idToken: 20 characters in 1.6, 36 in 2.0.1, 255 in 2.1, all compared without case. A token with a type is
-- only that type's; one without is any type's. `group_id` is the parentIdTag of 1.6, the groupIdToken of 2.x.
ALTER TABLE id_tokens DROP CONSTRAINT id_tokens_id_tag_key_check;
ALTER TABLE id_tokens
    ADD CHECK (id_tag_key = lower(id_tag_key) AND length(id_tag_key) <= 255),
    ADD COLUMN type text,
    ADD COLUMN group_id text CHECK (length(group_id) BETWEEN 1 AND 255);

-- A transaction of 2.x is known by the charger's own id of it; what 1.6 is known by does not bind it.
ALTER TABLE sessions
    ADD COLUMN transaction_uid text CHECK (length(transaction_uid) BETWEEN 1 AND 255),
    ADD COLUMN evse_id smallint,
    ADD COLUMN id_token_type text,
    ADD COLUMN remote_start_id bigint,                  -- of the RequestStartTransaction that began it
    ADD COLUMN reservation_id bigint,
    ADD COLUMN charging_state text,                     -- as the newest event that said it
    ADD COLUMN meter_last_wh bigint,                    -- newest register reading, for a session without an end
    ADD COLUMN meter_last_at timestamptz,
    DROP CONSTRAINT sessions_device_id_connector_id_started_at_id_tag_meter_sta_key;
CREATE UNIQUE INDEX sessions_started ON sessions (device_id, connector_id, started_at, id_tag, meter_start_wh)
    WHERE transaction_uid IS NULL;
CREATE UNIQUE INDEX sessions_transaction_uid ON sessions (device_id, transaction_uid)
    WHERE transaction_uid IS NOT NULL;

-- What the events of a 2.x transaction have told so far (`protocols.ocpp.transactions.Progress`): enough to
-- take the next one in any order.
CREATE TABLE transaction_progress (
    session_id   bigint PRIMARY KEY REFERENCES sessions (id),
    progress     jsonb NOT NULL,
    seq_missing  bigint NOT NULL,                       -- numbers up to the newest that never came
    rating       text CHECK (rating IN ('waiting', 'due')),  -- its task in the outbox: for the gap, or for nothing
    updated_at   timestamptz NOT NULL
);
CREATE INDEX transaction_progress_missing ON transaction_progress (session_id) WHERE seq_missing > 0;

-- Connectors by EVSE. `connectors` has one row an EVSE, under its number: only one connector of it is in use
-- at a time, and that is what 1.6 calls a connector.
CREATE TABLE evse_connectors (
    device_id    integer NOT NULL REFERENCES chargers (device_id),
    evse_id      smallint NOT NULL CHECK (evse_id >= 0),
    connector_id smallint NOT NULL CHECK (connector_id >= 0),
    status       text NOT NULL,                         -- ConnectorStatusEnumType of OCPP 2.0.1
    status_at    timestamptz NOT NULL,
    PRIMARY KEY (device_id, evse_id, connector_id)
);
