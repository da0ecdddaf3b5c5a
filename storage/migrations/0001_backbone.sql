-- Accounts, devices, sessions, money and the bookkeeping of the pipeline.
-- Time series are not here: storage/hypertables.py declares them and storage/partitions.py makes them.

CREATE EXTENSION IF NOT EXISTS btree_gist;

-- One table for the people of all four API families; a login never crosses families (conflict C30).
CREATE TABLE users (
    id             bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    system         text NOT NULL CHECK (system IN ('evcms', 'ienerzy', 'lithovolt', 'mobile')),
    role           text NOT NULL,
    name           text NOT NULL,
    email          text CHECK (email = lower(email)),
    phone          text,
    password_hash  text,
    status         text NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'blocked', 'suspended')),
    is_email_verified boolean NOT NULL DEFAULT false,
    profile_picture text,
    preferences    jsonb NOT NULL DEFAULT '{}',
    dealer_id      bigint REFERENCES users (id),        -- an Ienerzy consumer's dealer
    token_version  integer NOT NULL DEFAULT 0,          -- raised by logout-everywhere and password change
    created_at     timestamptz NOT NULL DEFAULT now(),
    updated_at     timestamptz NOT NULL DEFAULT now(),
    CHECK (email IS NOT NULL OR phone IS NOT NULL)
);
CREATE UNIQUE INDEX users_email ON users (system, email) WHERE email IS NOT NULL AND system <> 'ienerzy';
CREATE UNIQUE INDEX users_phone_role ON users (system, phone, role) WHERE system IN ('ienerzy', 'mobile');
CREATE INDEX users_dealer ON users (dealer_id) WHERE dealer_id IS NOT NULL;

-- Refresh tokens are kept as SHA-256; a family is what one login began, and dies as a whole on reuse.
CREATE TABLE refresh_tokens (
    token_hash  bytea PRIMARY KEY,
    family      uuid NOT NULL,
    user_id     bigint NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    expires_at  timestamptz NOT NULL,
    used_at     timestamptz,
    revoked_at  timestamptz,
    created_at  timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX refresh_tokens_family ON refresh_tokens (family);
CREATE INDEX refresh_tokens_user ON refresh_tokens (user_id);

-- One pending one-time password a phone; the user type is that of the latest request (rule R006).
CREATE TABLE one_time_passwords (
    system      text NOT NULL,
    phone       text NOT NULL,
    user_id     bigint NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    code_hash   bytea NOT NULL,
    tries_left  smallint NOT NULL,
    expires_at  timestamptz NOT NULL,
    PRIMARY KEY (system, phone)
);

-- The device registry: external identity to integer id. Series carry the integer only.
CREATE TABLE devices (
    id           integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind         text NOT NULL CHECK (kind IN ('charger', 'battery', 'meter')),
    identity     text NOT NULL,                         -- as the device writes it
    identity_key text NOT NULL GENERATED ALWAYS AS (lower(identity)) STORED,
    status       text NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'quarantined', 'archived')),
    owner_id     bigint REFERENCES users (id),
    name         text,
    vendor       text,
    model        text,
    firmware     text,
    serial       text,
    secret_hash  text,                                  -- argon2 of the charger's Basic password
    last_seen_at timestamptz,
    created_at   timestamptz NOT NULL DEFAULT now(),
    UNIQUE (kind, identity_key)
);
CREATE INDEX devices_owner ON devices (owner_id) WHERE owner_id IS NOT NULL;

-- Prices in minor units (paise); percentages in basis points (1 % = 100).
CREATE TABLE tariffs (
    id                        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name                      text NOT NULL UNIQUE,
    currency                  char(3) NOT NULL DEFAULT 'INR',
    energy_minor_per_kwh      bigint NOT NULL CHECK (energy_minor_per_kwh >= 0),
    time_minor_per_minute     bigint NOT NULL DEFAULT 0 CHECK (time_minor_per_minute >= 0),
    parking_minor_per_minute  bigint NOT NULL DEFAULT 0 CHECK (parking_minor_per_minute >= 0),
    gst_basis_points          integer NOT NULL DEFAULT 1800 CHECK (gst_basis_points BETWEEN 0 AND 10000),
    created_at                timestamptz NOT NULL DEFAULT now()
);
INSERT INTO tariffs (name, energy_minor_per_kwh) VALUES ('default', 1500);

CREATE TABLE stations (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name       text NOT NULL,
    owner_id   bigint REFERENCES users (id),
    tariff_id  bigint REFERENCES tariffs (id),
    created_at timestamptz NOT NULL DEFAULT now()
);

-- What a charger is besides a device. `generation` is that of its newest authenticated socket: the late
-- close of an older one cannot mark it offline.
CREATE TABLE chargers (
    device_id         integer PRIMARY KEY REFERENCES devices (id),
    station_id        bigint REFERENCES stations (id),
    maintenance       boolean NOT NULL DEFAULT false,
    is_connected      boolean NOT NULL DEFAULT false,
    generation        bigint NOT NULL DEFAULT 0,
    gateway           text,                             -- the gateway process that holds the socket
    ocpp_version      text,
    registration      text NOT NULL DEFAULT 'Accepted' CHECK (registration IN ('Accepted', 'Pending', 'Rejected')),
    last_heartbeat_at timestamptz
);
CREATE INDEX chargers_station ON chargers (station_id);

-- Connector 0 is the charger itself (OCPP 1.6 section 4.9).
CREATE TABLE connectors (
    device_id    integer NOT NULL REFERENCES chargers (device_id),
    connector_id smallint NOT NULL CHECK (connector_id >= 0),
    type         text NOT NULL DEFAULT 'Type2' CHECK (type IN ('Type2', 'CCS', 'CHAdeMO')),
    power_kw     real NOT NULL DEFAULT 22,
    status       text NOT NULL DEFAULT 'Unavailable',   -- OCPP 1.6 ChargePointStatus
    error_code   text NOT NULL DEFAULT 'NoError',
    status_at    timestamptz,
    PRIMARY KEY (device_id, connector_id)
);

-- RFID cards and the app's own tokens. OCPP 1.6 idToken is a CiString20: compared without case.
CREATE TABLE id_tokens (
    id_tag_key text PRIMARY KEY CHECK (id_tag_key = lower(id_tag_key) AND length(id_tag_key) <= 20),
    user_id    bigint NOT NULL REFERENCES users (id),
    status     text NOT NULL DEFAULT 'Accepted' CHECK (status IN ('Accepted', 'Blocked')),
    expires_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX id_tokens_user ON id_tokens (user_id);

-- Transaction ids are positive int32, never reused (many chargers mishandle others).
CREATE SEQUENCE ocpp_transaction_id AS integer MINVALUE 1 START 1 NO CYCLE;

CREATE TABLE sessions (
    id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    device_id       integer NOT NULL REFERENCES devices (id),
    connector_id    smallint NOT NULL,
    user_id         bigint REFERENCES users (id),
    vehicle_id      text,
    id_tag          text NOT NULL,
    transaction_id  integer NOT NULL UNIQUE DEFAULT nextval('ocpp_transaction_id'),
    status          text NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'completed', 'failed')),
    payment_status  text NOT NULL DEFAULT 'pending' CHECK (payment_status IN ('pending', 'paid', 'failed')),
    started_at      timestamptz NOT NULL,               -- by the charger's clock
    start_received_at timestamptz NOT NULL,             -- by ours
    meter_start_wh  bigint NOT NULL,
    ended_at        timestamptz,
    stop_received_at timestamptz,
    meter_stop_wh   bigint,
    stop_reason     text,
    -- A StartTransaction sent again is the same row, whatever its message id (field note R5).
    UNIQUE (device_id, connector_id, started_at, id_tag, meter_start_wh),
    CHECK ((status = 'active') = (ended_at IS NULL))
);
CREATE INDEX sessions_active ON sessions (device_id, connector_id) WHERE status = 'active';
CREATE INDEX sessions_user ON sessions (user_id, id DESC);
CREATE INDEX sessions_device ON sessions (device_id, id DESC);
CREATE INDEX sessions_status ON sessions (status, id DESC);

-- Charge detail records: written once, never changed. Money in minor units.
CREATE TABLE cdrs (
    session_id            bigint PRIMARY KEY REFERENCES sessions (id),
    user_id               bigint REFERENCES users (id),
    tariff_id             bigint NOT NULL REFERENCES tariffs (id),
    currency              char(3) NOT NULL,
    energy_wh             bigint NOT NULL,
    duration_s            bigint NOT NULL,
    energy_minor_per_kwh  bigint NOT NULL,
    energy_minor          bigint NOT NULL,
    time_minor            bigint NOT NULL,
    parking_minor         bigint NOT NULL,
    gst_minor             bigint NOT NULL,
    total_minor           bigint NOT NULL,
    created_at            timestamptz NOT NULL DEFAULT now(),
    CHECK (total_minor = energy_minor + time_minor + parking_minor + gst_minor)
);

-- The ledger. Balances are kept beside the transfers that make them, in the same transaction.
CREATE TABLE accounts (
    id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind            text NOT NULL,                      -- 'wallet', 'revenue', 'tax', 'funding', ...
    owner_id        bigint REFERENCES users (id),
    currency        char(3) NOT NULL,
    may_be_negative boolean NOT NULL DEFAULT false,
    balance_minor   bigint NOT NULL DEFAULT 0,          -- posted credits less posted debits
    held_minor      bigint NOT NULL DEFAULT 0 CHECK (held_minor >= 0),  -- pending debits
    created_at      timestamptz NOT NULL DEFAULT now(),
    CHECK (may_be_negative OR balance_minor - held_minor >= 0)
);
CREATE UNIQUE INDEX accounts_owned ON accounts (kind, owner_id, currency) WHERE owner_id IS NOT NULL;
CREATE UNIQUE INDEX accounts_house ON accounts (kind, currency) WHERE owner_id IS NULL;

CREATE TABLE transfers (
    id                   bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    key                  text NOT NULL UNIQUE,          -- the caller's idempotency key
    debit_account_id     bigint NOT NULL REFERENCES accounts (id),
    credit_account_id    bigint NOT NULL REFERENCES accounts (id),
    amount_minor         bigint NOT NULL CHECK (amount_minor > 0),
    state                text NOT NULL CHECK (state IN ('posted', 'pending', 'post_pending', 'void_pending')),
    pending_id           bigint UNIQUE REFERENCES transfers (id),  -- the hold that this one posts or voids
    description          text NOT NULL,
    session_id           bigint REFERENCES sessions (id),
    debit_balance_minor  bigint NOT NULL,               -- balances after this transfer
    credit_balance_minor bigint NOT NULL,
    created_at           timestamptz NOT NULL DEFAULT now(),
    CHECK (debit_account_id <> credit_account_id),
    CHECK ((state IN ('post_pending', 'void_pending')) = (pending_id IS NOT NULL))
);
CREATE INDEX transfers_debit ON transfers (debit_account_id, id DESC);
CREATE INDEX transfers_credit ON transfers (credit_account_id, id DESC);
CREATE INDEX transfers_session ON transfers (session_id) WHERE session_id IS NOT NULL;

CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% rows are immutable: write a new row that corrects the old one', TG_TABLE_NAME
        USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER transfers_immutable BEFORE UPDATE OR DELETE ON transfers FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER cdrs_immutable BEFORE UPDATE OR DELETE ON cdrs FOR EACH ROW EXECUTE FUNCTION refuse_change();

-- What follows from a committed fact, written in that fact's transaction and carried out by the jobs role.
CREATE TABLE outbox (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind        text NOT NULL,
    payload     jsonb NOT NULL,
    attempts    integer NOT NULL DEFAULT 0,
    due_at      timestamptz NOT NULL DEFAULT now(),
    done_at     timestamptz,
    last_error  text,
    created_at  timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX outbox_due ON outbox (due_at, id) WHERE done_at IS NULL;

-- Ienerzy batteries: the asset, linked to the device that reports for it. owner_id is a consumer.
CREATE TABLE batteries (
    id             bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    serial_number  text NOT NULL,
    serial_key     text NOT NULL UNIQUE GENERATED ALWAYS AS (lower(serial_number)) STORED,
    device_id      integer UNIQUE REFERENCES devices (id),
    status         text NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'inactive', 'maintenance')),
    health_score   numeric(4, 1) NOT NULL DEFAULT 100 CHECK (health_score BETWEEN 0 AND 100),
    dealer_id      bigint REFERENCES users (id),
    owner_id       bigint REFERENCES users (id),
    created_at     timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX batteries_dealer ON batteries (dealer_id, id);
CREATE INDEX batteries_owner ON batteries (owner_id);

CREATE TABLE battery_commands (
    id            uuid PRIMARY KEY,
    battery_id    bigint NOT NULL REFERENCES batteries (id),
    action        text NOT NULL CHECK (action IN ('activate', 'deactivate')),
    state         text NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'confirmed', 'refused', 'superseded')),
    requested_by  bigint REFERENCES users (id),
    created_at    timestamptz NOT NULL DEFAULT now(),
    answered_at   timestamptz,
    answer        jsonb
);
CREATE UNIQUE INDEX battery_commands_pending ON battery_commands (battery_id) WHERE state = 'pending';

-- Where the writer stands in each partition of the log; moved in the transaction that stores the rows.
CREATE TABLE log_positions (
    partition   smallint PRIMARY KEY,
    position    bigint NOT NULL,                        -- stream sequence of the last frame stored
    updated_at  timestamptz NOT NULL DEFAULT now()
);

-- What each publisher of frames has had stored so far. `seq` makes a frame that was published twice
-- visible as such, for ever; the counts are the publisher's own, cumulative, as of that frame.
CREATE TABLE producers (
    producer    text PRIMARY KEY,
    source      text NOT NULL,
    seq         bigint NOT NULL,
    received    bigint NOT NULL,
    decoded     bigint NOT NULL,
    refused     jsonb NOT NULL DEFAULT '{}',            -- reason -> count
    updated_at  timestamptz NOT NULL DEFAULT now()
);

-- Samples by outcome: what became of every decoded sample that the writer has seen.
CREATE TABLE sample_totals (
    table_name  text NOT NULL,
    outcome     text NOT NULL CHECK (outcome IN ('stored', 'duplicate', 'quarantined')),
    reason      text NOT NULL DEFAULT '',
    samples     bigint NOT NULL,
    PRIMARY KEY (table_name, outcome, reason)
);
