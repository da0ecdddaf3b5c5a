-- The Lithovolt family: battery models, serial numbers, stock, orders, warranties, claims, words of notifications.
-- Money in minor units of INR, tax in basis points. Accounts are `users` of system 'lithovolt': admin, wholesaler,
-- consumer. A serial number is the same battery as `batteries.serial_number` and a device's identity (no case).

ALTER TABLE users
    ADD CONSTRAINT users_lithovolt_role CHECK (system <> 'lithovolt' OR role IN ('admin', 'wholesaler', 'consumer'));
CREATE INDEX users_lithovolt ON users (role, id) WHERE system = 'lithovolt';
CREATE UNIQUE INDEX users_lithovolt_phone ON users (phone) WHERE system = 'lithovolt' AND phone IS NOT NULL;

-- What an account is beside `users`; `users.name` is both names.
CREATE TABLE lithovolt_profiles (
    user_id     bigint PRIMARY KEY REFERENCES users (id),
    first_name  text NOT NULL DEFAULT '',
    last_name   text NOT NULL DEFAULT '',
    company     text NOT NULL DEFAULT '',
    gstin       text NOT NULL DEFAULT '',               -- of a wholesaler, for invoices
    address     text NOT NULL DEFAULT '',
    is_approved boolean NOT NULL DEFAULT true           -- a wholesaler waits for an admin
);

CREATE TABLE password_resets (
    token_hash bytea PRIMARY KEY,                       -- SHA-256
    user_id    bigint NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    expires_at timestamptz NOT NULL
);
CREATE INDEX password_resets_user ON password_resets (user_id);

CREATE TABLE battery_models (
    id                  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name                text NOT NULL,
    code                text NOT NULL,                  -- begins its serial numbers, as in LV48
    chemistry           text NOT NULL DEFAULT 'LFP',
    nominal_voltage_v   numeric(6, 2) NOT NULL CHECK (nominal_voltage_v > 0),
    capacity_ah         numeric(8, 2) NOT NULL CHECK (capacity_ah > 0),
    description         text NOT NULL DEFAULT '',
    price_minor         bigint NOT NULL CHECK (price_minor >= 0),  -- to a wholesaler, without tax
    tax_basis_points    integer NOT NULL DEFAULT 1800 CHECK (tax_basis_points BETWEEN 0 AND 10000),
    hsn_code            text NOT NULL DEFAULT '850760', -- lithium-ion accumulators
    warranty_months     smallint NOT NULL CHECK (warranty_months BETWEEN 1 AND 240),
    warranty_terms      jsonb NOT NULL DEFAULT '{}',    -- limits that a claim is judged by: see `stream/warranty`
    low_stock_threshold integer NOT NULL DEFAULT 10 CHECK (low_stock_threshold >= 0),
    is_active           boolean NOT NULL DEFAULT true,
    created_by          bigint REFERENCES users (id),
    created_at          timestamptz NOT NULL,
    updated_at          timestamptz NOT NULL
);
CREATE UNIQUE INDEX battery_models_code ON battery_models (upper(code));
CREATE UNIQUE INDEX battery_models_name ON battery_models (lower(name));

CREATE TABLE orders (
    id             bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    order_number   text NOT NULL UNIQUE,
    buyer_id       bigint NOT NULL REFERENCES users (id),
    status         text NOT NULL DEFAULT 'pending' CHECK (status IN ('pending', 'approved', 'rejected', 'cancelled')),
    notes          text NOT NULL DEFAULT '',
    subtotal_minor bigint NOT NULL CHECK (subtotal_minor >= 0),
    tax_minor      bigint NOT NULL CHECK (tax_minor >= 0),
    total_minor    bigint NOT NULL,
    invoice_number text UNIQUE,
    invoiced_at    timestamptz,
    decided_by     bigint REFERENCES users (id),
    decided_at     timestamptz,
    reason         text,                                -- of a rejection or cancellation
    request_key    text,                                -- the client's Idempotency-Key
    created_at     timestamptz NOT NULL,
    CHECK (total_minor = subtotal_minor + tax_minor),
    CHECK ((status = 'approved') = (invoice_number IS NOT NULL)),
    CHECK ((invoice_number IS NULL) = (invoiced_at IS NULL))
);
CREATE UNIQUE INDEX orders_request ON orders (buyer_id, request_key) WHERE request_key IS NOT NULL;
CREATE INDEX orders_buyer ON orders (buyer_id, id DESC);
CREATE INDEX orders_status ON orders (status, id DESC);

CREATE TABLE order_items (
    order_id         bigint NOT NULL REFERENCES orders (id),
    position         smallint NOT NULL,
    model_id         bigint NOT NULL REFERENCES battery_models (id),
    quantity         integer NOT NULL CHECK (quantity > 0),
    price_minor      bigint NOT NULL CHECK (price_minor >= 0),  -- of one, when it was ordered
    tax_basis_points integer NOT NULL,
    amount_minor     bigint NOT NULL,                   -- without tax
    tax_minor        bigint NOT NULL,
    PRIMARY KEY (order_id, position),
    UNIQUE (order_id, model_id)
);
CREATE INDEX order_items_model ON order_items (model_id, order_id);

-- `status`: in_stock (ours), allocated (a wholesaler's), sold (a customer's), returned, scrapped.
CREATE TABLE serial_numbers (
    id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    serial        text NOT NULL,
    serial_key    text NOT NULL UNIQUE GENERATED ALWAYS AS (lower(serial)) STORED,
    model_id      bigint NOT NULL REFERENCES battery_models (id),
    status        text NOT NULL DEFAULT 'in_stock'
                  CHECK (status IN ('in_stock', 'allocated', 'sold', 'returned', 'scrapped')),
    wholesaler_id bigint REFERENCES users (id),         -- who has or had it
    batch         text NOT NULL DEFAULT '',
    created_at    timestamptz NOT NULL,
    updated_at    timestamptz NOT NULL,
    CHECK ((status = 'allocated') <= (wholesaler_id IS NOT NULL))
);
CREATE INDEX serial_numbers_stock ON serial_numbers (model_id, status, id);
CREATE INDEX serial_numbers_wholesaler ON serial_numbers (wholesaler_id, status, id) WHERE wholesaler_id IS NOT NULL;
CREATE INDEX serial_numbers_status ON serial_numbers (status, id);

-- The number of the last serial of a model; no number is used twice.
CREATE TABLE serial_counters (
    model_id bigint PRIMARY KEY REFERENCES battery_models (id),
    value    bigint NOT NULL
);

CREATE TABLE serial_events (
    id        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    serial_id bigint NOT NULL REFERENCES serial_numbers (id),
    kind      text NOT NULL,                            -- 'generated', 'imported', 'allocated', 'released', 'sold', ...
    actor_id  bigint REFERENCES users (id),
    detail    jsonb NOT NULL DEFAULT '{}',
    at        timestamptz NOT NULL
);
CREATE INDEX serial_events_serial ON serial_events (serial_id, id);

CREATE TABLE stock_allocations (
    id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    wholesaler_id bigint NOT NULL REFERENCES users (id),
    model_id      bigint NOT NULL REFERENCES battery_models (id),
    order_id      bigint REFERENCES orders (id),        -- NULL: by hand
    quantity      integer NOT NULL CHECK (quantity > 0),
    notes         text NOT NULL DEFAULT '',
    created_by    bigint REFERENCES users (id),
    created_at    timestamptz NOT NULL
);
CREATE INDEX stock_allocations_wholesaler ON stock_allocations (wholesaler_id, id DESC);
CREATE INDEX stock_allocations_model ON stock_allocations (model_id, id DESC);
CREATE INDEX stock_allocations_order ON stock_allocations (order_id) WHERE order_id IS NOT NULL;

CREATE TABLE stock_allocation_serials (
    allocation_id bigint NOT NULL REFERENCES stock_allocations (id),
    serial_id     bigint NOT NULL REFERENCES serial_numbers (id),
    released_at   timestamptz,
    PRIMARY KEY (allocation_id, serial_id)
);
-- A serial that was allocated cannot be allocated again until it was given back.
CREATE UNIQUE INDEX stock_allocation_serials_open ON stock_allocation_serials (serial_id) WHERE released_at IS NULL;

-- Open while a model's stock is at or below its threshold; admins were told once.
CREATE TABLE low_stock_alerts (
    id        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    model_id  bigint NOT NULL REFERENCES battery_models (id),
    in_stock  integer NOT NULL,
    threshold integer NOT NULL,
    opened_at timestamptz NOT NULL,
    closed_at timestamptz
);
CREATE UNIQUE INDEX low_stock_alerts_open ON low_stock_alerts (model_id) WHERE closed_at IS NULL;

CREATE TABLE warranties (
    id                 bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    certificate_number text NOT NULL UNIQUE,
    serial_id          bigint NOT NULL REFERENCES serial_numbers (id),
    consumer_id        bigint REFERENCES users (id),    -- NULL: has no account
    seller_id          bigint REFERENCES users (id),    -- the wholesaler
    customer_name      text NOT NULL,
    customer_phone     text,
    customer_email     text,
    starts_on          date NOT NULL,
    expires_on         date NOT NULL CHECK (expires_on > starts_on),
    terms              jsonb NOT NULL,                  -- the model's, as they were then
    is_void            boolean NOT NULL DEFAULT false,
    void_reason        text,
    activated_by       bigint NOT NULL REFERENCES users (id),
    activated_at       timestamptz NOT NULL,
    signature          bytea NOT NULL                   -- over what the certificate says
);
CREATE UNIQUE INDEX warranties_serial ON warranties (serial_id) WHERE NOT is_void;
CREATE INDEX warranties_consumer ON warranties (consumer_id, id DESC) WHERE consumer_id IS NOT NULL;
CREATE INDEX warranties_seller ON warranties (seller_id, id DESC) WHERE seller_id IS NOT NULL;
CREATE INDEX warranties_expiry ON warranties (expires_on, id) WHERE NOT is_void;

CREATE TABLE warranty_reminders (
    warranty_id bigint NOT NULL REFERENCES warranties (id),
    days        smallint NOT NULL,                      -- before the end
    told_at     timestamptz NOT NULL,
    PRIMARY KEY (warranty_id, days)
);

CREATE TABLE warranty_claims (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    claim_number text NOT NULL UNIQUE,
    warranty_id  bigint NOT NULL REFERENCES warranties (id),
    claimant_id  bigint NOT NULL REFERENCES users (id),
    issue        text NOT NULL,
    description  text NOT NULL,
    status       text NOT NULL DEFAULT 'submitted'
                 CHECK (status IN ('submitted', 'under_review', 'approved', 'rejected', 'resolved', 'withdrawn')),
    evidence     jsonb NOT NULL,                        -- what the battery's own telemetry said when it was made
    resolution   text,
    replacement_serial_id bigint REFERENCES serial_numbers (id),
    decided_by   bigint REFERENCES users (id),
    decided_at   timestamptz,
    created_at   timestamptz NOT NULL,
    updated_at   timestamptz NOT NULL
);
CREATE UNIQUE INDEX warranty_claims_open ON warranty_claims (warranty_id)
    WHERE status IN ('submitted', 'under_review', 'approved');
CREATE INDEX warranty_claims_claimant ON warranty_claims (claimant_id, id DESC);
CREATE INDEX warranty_claims_status ON warranty_claims (status, id DESC);

CREATE TABLE warranty_claim_events (
    id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    claim_id bigint NOT NULL REFERENCES warranty_claims (id),
    kind     text NOT NULL,                             -- 'submitted', 'status', 'noted', 'attached'
    actor_id bigint REFERENCES users (id),
    detail   jsonb NOT NULL DEFAULT '{}',
    at       timestamptz NOT NULL
);
CREATE INDEX warranty_claim_events_claim ON warranty_claim_events (claim_id, id);

CREATE TABLE warranty_claim_files (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    claim_id    bigint NOT NULL REFERENCES warranty_claims (id),
    file_name   text NOT NULL,                          -- in the file store, under 'claim'
    original    text NOT NULL,
    mimetype    text NOT NULL,
    size_bytes  integer NOT NULL,
    uploaded_by bigint NOT NULL REFERENCES users (id),
    uploaded_at timestamptz NOT NULL
);
CREATE INDEX warranty_claim_files_claim ON warranty_claim_files (claim_id, id);

-- Only what an admin changed; the rest is as `stream/lithovolt_words.py` has it.
CREATE TABLE notification_templates (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    system     text NOT NULL DEFAULT 'lithovolt',
    kind       text NOT NULL,
    channel    text NOT NULL CHECK (channel IN ('email', 'sms')),
    subject    text,
    body       text NOT NULL,
    is_active  boolean NOT NULL DEFAULT true,
    version    integer NOT NULL DEFAULT 1,
    updated_by bigint REFERENCES users (id),
    updated_at timestamptz NOT NULL,
    UNIQUE (system, kind, channel),
    CHECK ((channel = 'email') = (subject IS NOT NULL))
);
