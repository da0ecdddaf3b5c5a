-- Estates, units and their people; meters, tariffs, prepaid wallets and what was debited from them.

CREATE TABLE estates (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name       text NOT NULL UNIQUE,
    address    text,
    time_zone  text NOT NULL DEFAULT 'Africa/Johannesburg', -- in which a day of usage begins and ends
    currency   char(3) NOT NULL DEFAULT 'ZAR',
    created_at timestamptz NOT NULL DEFAULT now(),
    archived_at timestamptz
);

CREATE TABLE units (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    estate_id   bigint NOT NULL REFERENCES estates (id),
    unit_number text NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now(),
    archived_at timestamptz,
    UNIQUE (estate_id, unit_number)
);

-- What the mobile family's users have beyond the others.
ALTER TABLE users
    ADD COLUMN password_must_change boolean NOT NULL DEFAULT false,
    ADD COLUMN last_login_at timestamptz;

CREATE TABLE persons (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    first_name text NOT NULL,
    last_name  text NOT NULL,
    phone      text NOT NULL UNIQUE CHECK (phone ~ '^\+[1-9][0-9]{6,14}$'), -- E.164
    email      text CHECK (email = lower(email)),
    user_id    bigint UNIQUE REFERENCES users (id),
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE unit_owners (
    id                     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    unit_id                bigint NOT NULL REFERENCES units (id),
    person_id              bigint NOT NULL REFERENCES persons (id),
    ownership_basis_points integer NOT NULL CHECK (ownership_basis_points BETWEEN 1 AND 10000),
    is_primary             boolean NOT NULL DEFAULT false,
    since                  date NOT NULL,
    until                  date,                        -- the day after the last; NULL: owns it still
    created_at             timestamptz NOT NULL DEFAULT now(),
    EXCLUDE USING gist (unit_id WITH =, person_id WITH =, daterange(since, until) WITH &&),
    CHECK (until > since)
);
CREATE INDEX unit_owners_person ON unit_owners (person_id);

CREATE TABLE tenancies (
    id                 bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    unit_id            bigint NOT NULL REFERENCES units (id),
    person_id          bigint NOT NULL REFERENCES persons (id),
    monthly_rent_minor bigint NOT NULL CHECK (monthly_rent_minor >= 0),
    is_primary         boolean NOT NULL DEFAULT false,
    lease_start_date   date NOT NULL,
    lease_end_date     date NOT NULL,                   -- the last day of it
    created_at         timestamptz NOT NULL DEFAULT now(),
    EXCLUDE USING gist (unit_id WITH =, person_id WITH =,
                        daterange(lease_start_date, lease_end_date, '[]') WITH &&),
    CHECK (lease_end_date >= lease_start_date)
);
CREATE INDEX tenancies_person ON tenancies (person_id);

-- A definition never changes: a new price is a new tariff, assigned from a date on.
CREATE TABLE meter_tariffs (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name       text NOT NULL UNIQUE,
    utility    text NOT NULL CHECK (utility IN ('electricity', 'water', 'gas', 'heat', 'cooling')),
    currency   char(3) NOT NULL DEFAULT 'ZAR',
    definition jsonb NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);

-- The point of supply that a unit pays for. Which device measures it, and since when, is below.
CREATE TABLE meters (
    id                 bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    unit_id            bigint NOT NULL REFERENCES units (id),
    serial_number      text NOT NULL,
    serial_key         text NOT NULL UNIQUE GENERATED ALWAYS AS (lower(serial_number)) STORED,
    meter_type         text NOT NULL DEFAULT 'prepaid' CHECK (meter_type IN ('prepaid', 'postpaid')),
    utility_type       text NOT NULL CHECK (utility_type IN ('electricity', 'water', 'gas', 'heat', 'cooling')),
    status             text NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'inactive', 'faulty')),
    device_type        text NOT NULL,
    communication_type text NOT NULL,
    supply             text NOT NULL DEFAULT 'open' CHECK (supply IN ('open', 'closed')), -- as last commanded
    created_at         timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX meters_unit ON meters (unit_id, id);

CREATE TABLE meter_installations (
    id               bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    meter_id         bigint NOT NULL REFERENCES meters (id),
    device_id        integer NOT NULL REFERENCES devices (id),
    channel          smallint NOT NULL DEFAULT 0,
    quantity         text NOT NULL,                     -- the register's, of protocols.quantities
    multiplier       numeric NOT NULL DEFAULT 1 CHECK (multiplier > 0), -- to the utility's unit: Wh or m3
    register_modulus numeric CHECK (register_modulus > 0), -- the register rolls over to 0 here; NULL: never
    since            timestamptz NOT NULL,
    until            timestamptz,
    created_at       timestamptz NOT NULL DEFAULT now(),
    EXCLUDE USING gist (meter_id WITH =, tstzrange(since, until) WITH &&),
    EXCLUDE USING gist (device_id WITH =, channel WITH =, quantity WITH =, tstzrange(since, until) WITH &&),
    CHECK (until > since)
);
CREATE INDEX meter_installations_device ON meter_installations (device_id);

CREATE TABLE meter_tariff_assignments (
    meter_id  bigint NOT NULL REFERENCES meters (id),
    tariff_id bigint NOT NULL REFERENCES meter_tariffs (id),
    since     timestamptz NOT NULL,
    PRIMARY KEY (meter_id, since)
);

-- A unit's prepaid wallet is an account of the ledger; it may fall below zero by what ran before its supply closed.
ALTER TABLE accounts ADD COLUMN unit_id bigint REFERENCES units (id);
DROP INDEX accounts_house;
CREATE UNIQUE INDEX accounts_house ON accounts (kind, currency) WHERE owner_id IS NULL AND unit_id IS NULL;
CREATE UNIQUE INDEX accounts_unit ON accounts (unit_id) WHERE unit_id IS NOT NULL;

CREATE TABLE unit_wallets (
    id                bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    unit_id           bigint NOT NULL UNIQUE REFERENCES units (id),
    account_id        bigint NOT NULL UNIQUE REFERENCES accounts (id),
    status            text NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'suspended')),
    low_balance_minor bigint NOT NULL DEFAULT 5000,
    created_at        timestamptz NOT NULL DEFAULT now()
);

-- What each meter was billed for a local day so far; the entries say how it came to that.
CREATE TABLE meter_bills (
    meter_id      bigint NOT NULL REFERENCES meters (id),
    day           date NOT NULL,
    consumption   numeric NOT NULL,                     -- Wh or m3
    cost_minor    bigint NOT NULL,
    entries       integer NOT NULL,
    PRIMARY KEY (meter_id, day)
);
CREATE TABLE meter_bill_entries (
    meter_id      bigint NOT NULL REFERENCES meters (id),
    day           date NOT NULL,
    number        integer NOT NULL,
    consumption   numeric NOT NULL,                     -- of the day, after this entry
    change_minor  bigint NOT NULL,
    transfer_id   bigint REFERENCES transfers (id),     -- NULL where nothing had to move
    reason        text NOT NULL CHECK (reason IN ('reading', 'late', 'reprocess', 'replacement')),
    created_at    timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (meter_id, day, number)
);
CREATE TRIGGER meter_bill_entries_immutable BEFORE UPDATE OR DELETE ON meter_bill_entries
    FOR EACH ROW EXECUTE FUNCTION refuse_change();

-- Which devices have new or changed samples since when: written in the transaction that stores them, only ever
-- inserted by the writer (two of its transactions must not wait for each other's rows), taken away by the jobs.
CREATE TABLE metering_due (
    id        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    device_id integer NOT NULL,
    since     timestamptz NOT NULL,
    reason    text NOT NULL DEFAULT 'reading' CHECK (reason IN ('reading', 'reprocess', 'replacement')),
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX metering_due_device ON metering_due (device_id, id);
