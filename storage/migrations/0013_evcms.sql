-- The EV-CMS family: places, bookings, prices, bills, what people are told, and the people beside the drivers.
-- Money in minor units of INR, percentages in basis points (1 % = 100), unless a column says otherwise.

CREATE EXTENSION IF NOT EXISTS pg_trgm;

-- People. A deleted account cannot sign in, keeps its email, and can be restored.
ALTER TABLE users
    ADD COLUMN deleted_at timestamptz,
    ADD COLUMN status_reason text;
CREATE INDEX users_evcms ON users (id DESC) WHERE system = 'evcms';
CREATE INDEX users_evcms_filter ON users (role, status, id DESC) WHERE system = 'evcms';
CREATE INDEX users_search ON users USING gin ((name || ' ' || coalesce(email, '')) gin_trgm_ops) WHERE system = 'evcms';

CREATE TABLE vehicles (
    id                   bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    user_id              bigint NOT NULL REFERENCES users (id),
    make                 text NOT NULL,
    model                text NOT NULL,
    year                 smallint NOT NULL,
    battery_capacity_kwh numeric(8, 2) NOT NULL CHECK (battery_capacity_kwh > 0),
    registration_number  text NOT NULL,                 -- as the owner writes it
    registration_key     text NOT NULL GENERATED ALWAYS AS (upper(regexp_replace(registration_number, '[\s-]', '', 'g'))) STORED,
    is_default           boolean NOT NULL DEFAULT false,
    created_at           timestamptz NOT NULL DEFAULT now(),
    deleted_at           timestamptz
);
CREATE UNIQUE INDEX vehicles_registration ON vehicles (user_id, registration_key) WHERE deleted_at IS NULL;
CREATE UNIQUE INDEX vehicles_default ON vehicles (user_id) WHERE is_default AND deleted_at IS NULL;
CREATE INDEX vehicles_user ON vehicles (user_id, id);
CREATE INDEX sessions_vehicle ON sessions (vehicle_id, id DESC) WHERE vehicle_id IS NOT NULL;

-- One record a person; its documents are judged together (conflict C96).
CREATE TABLE kyc_records (
    user_id      bigint PRIMARY KEY REFERENCES users (id),
    status       text NOT NULL DEFAULT 'pending' CHECK (status IN ('pending', 'approved', 'rejected')),
    notes        text,
    submitted_at timestamptz NOT NULL,
    verified_by  bigint REFERENCES users (id),
    verified_at  timestamptz
);
CREATE INDEX kyc_records_status ON kyc_records (status, submitted_at DESC, user_id DESC);
CREATE INDEX kyc_records_submitted ON kyc_records (submitted_at DESC, user_id DESC);

CREATE TABLE kyc_documents (
    id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    user_id         bigint NOT NULL REFERENCES kyc_records (user_id),
    document_type   text NOT NULL CHECK (document_type IN ('aadhaar', 'pan', 'driving_license', 'passport')),
    number_sealed   bytea NOT NULL,                     -- encrypted; only the end of it is ever shown
    number_end      text NOT NULL,
    front_image     text NOT NULL,
    back_image      text,
    status          text NOT NULL DEFAULT 'pending' CHECK (status IN ('pending', 'approved', 'rejected')),
    created_at      timestamptz NOT NULL,
    UNIQUE (user_id, document_type)
);

-- Files that people sent; the bytes are in the file store under `type/filename`.
CREATE TABLE uploads (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    user_id     bigint NOT NULL REFERENCES users (id),
    type        text NOT NULL CHECK (type IN ('profile', 'vehicle', 'document', 'station')),
    filename    text NOT NULL,                          -- made by us
    original    text NOT NULL,                          -- what the sender called it
    mimetype    text NOT NULL,
    size_bytes  integer NOT NULL,
    sha256      bytea NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now(),
    UNIQUE (type, filename)
);
CREATE INDEX uploads_user ON uploads (user_id, id DESC);

CREATE TABLE partners (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name       text NOT NULL,
    email      text NOT NULL CHECK (email = lower(email)),
    phone      text NOT NULL,
    type       text NOT NULL,
    address    text NOT NULL,
    status     text NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'inactive')),
    created_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (email)
);
CREATE INDEX partners_filter ON partners (type, status, id DESC);

CREATE TABLE franchises (
    id             bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    owner_id       bigint NOT NULL REFERENCES users (id),  -- the brand
    name           text NOT NULL,
    location       text NOT NULL,
    contact_person text NOT NULL,
    phone          text,
    email          text CHECK (email = lower(email)),
    agreement      text,
    status         text NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'inactive', 'suspended')),
    created_at     timestamptz NOT NULL DEFAULT now(),
    updated_at     timestamptz NOT NULL DEFAULT now(),
    deleted_at     timestamptz
);
CREATE UNIQUE INDEX franchises_name ON franchises (owner_id, lower(name)) WHERE deleted_at IS NULL;
CREATE INDEX franchises_owner ON franchises (owner_id, id DESC);
CREATE INDEX franchises_search ON franchises USING gin ((name || ' ' || location) gin_trgm_ops);

CREATE TABLE franchise_staff (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    franchise_id bigint NOT NULL REFERENCES franchises (id),
    name         text NOT NULL,
    role         text NOT NULL,
    phone        text,
    email        text CHECK (email = lower(email)),
    created_at   timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX franchise_staff_franchise ON franchise_staff (franchise_id, id);

-- Places.
ALTER TABLE stations
    ADD COLUMN address text NOT NULL DEFAULT '',
    ADD COLUMN city text NOT NULL DEFAULT '',
    ADD COLUMN state text NOT NULL DEFAULT '',
    ADD COLUMN pincode text NOT NULL DEFAULT '',
    ADD COLUMN latitude double precision CHECK (latitude BETWEEN -90 AND 90),
    ADD COLUMN longitude double precision CHECK (longitude BETWEEN -180 AND 180),
    ADD COLUMN status text NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'inactive', 'maintenance')),
    ADD COLUMN is_verified boolean NOT NULL DEFAULT false,
    ADD COLUMN verify_notes text,
    ADD COLUMN rating numeric(3, 2) NOT NULL DEFAULT 0,     -- mean of the reviews that count
    ADD COLUMN total_reviews integer NOT NULL DEFAULT 0,
    ADD COLUMN amenities text[] NOT NULL DEFAULT '{}',
    ADD COLUMN opens_at text NOT NULL DEFAULT '00:00' CHECK (opens_at ~ '^([01]\d|2[0-3]):[0-5]\d$'),
    ADD COLUMN closes_at text NOT NULL DEFAULT '23:59' CHECK (closes_at ~ '^([01]\d|2[0-3]):[0-5]\d$'),
    ADD COLUMN images text[] NOT NULL DEFAULT '{}',
    ADD COLUMN franchise_id bigint REFERENCES franchises (id),
    ADD COLUMN updated_at timestamptz NOT NULL DEFAULT now(),
    ADD COLUMN deleted_at timestamptz,
    ADD CHECK ((latitude IS NULL) = (longitude IS NULL));
CREATE INDEX devices_vendor ON devices (lower(vendor)) WHERE kind = 'charger';
CREATE INDEX stations_owner ON stations (owner_id, id);
CREATE INDEX stations_status ON stations (status, id) WHERE deleted_at IS NULL;
CREATE INDEX stations_place ON stations USING gist (point(longitude, latitude)) WHERE deleted_at IS NULL AND latitude IS NOT NULL;
CREATE INDEX stations_search ON stations USING gin ((name || ' ' || address || ' ' || city) gin_trgm_ops);

-- What a station offers, by the label that drivers and bookings know. The charger behind it may come later:
-- `link_connector` gives each connector that a charger reports the next free label.
CREATE TABLE station_connectors (
    id                       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    station_id               bigint NOT NULL REFERENCES stations (id),
    label                    text NOT NULL,             -- `connectorId` of the API
    type                     text NOT NULL DEFAULT 'Type2' CHECK (type IN ('Type2', 'CCS', 'CHAdeMO')),
    power_kw                 numeric(7, 2) NOT NULL DEFAULT 22 CHECK (power_kw > 0),
    base_price_minor         bigint CHECK (base_price_minor >= 0),   -- per kWh; NULL: the platform's price
    parking_fee_minor        bigint CHECK (parking_fee_minor >= 0),  -- per minute; NULL: none
    reservation_fee_minor    bigint CHECK (reservation_fee_minor >= 0),
    device_id                integer,
    connector_id             smallint,
    created_at               timestamptz NOT NULL DEFAULT now(),
    UNIQUE (station_id, label),
    UNIQUE (device_id, connector_id),
    FOREIGN KEY (device_id, connector_id) REFERENCES connectors (device_id, connector_id),
    CHECK ((device_id IS NULL) = (connector_id IS NULL))
);
CREATE INDEX station_connectors_type ON station_connectors (type, station_id);

-- Gives a charger's connector its label at the charger's station: the first free one, else a new one.
CREATE FUNCTION link_connector(charger integer, number smallint) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    place bigint;
    own connectors%ROWTYPE;
    linked bigint;
BEGIN
    -- a charger that is being placed is waited for: one of the two then sees the other
    SELECT station_id INTO place FROM chargers WHERE device_id = charger FOR SHARE;
    UPDATE station_connectors SET device_id = NULL, connector_id = NULL
    WHERE device_id = charger AND connector_id = number AND station_id IS DISTINCT FROM place;
    IF place IS NULL OR number = 0
       OR EXISTS (SELECT FROM station_connectors WHERE device_id = charger AND connector_id = number) THEN
        RETURN;
    END IF;
    PERFORM FROM stations WHERE id = place FOR UPDATE;  -- one connector of a station after the other
    SELECT * INTO own FROM connectors WHERE device_id = charger AND connector_id = number;
    UPDATE station_connectors SET device_id = charger, connector_id = number
    WHERE id = (SELECT id FROM station_connectors WHERE station_id = place AND device_id IS NULL
                ORDER BY id LIMIT 1)
    RETURNING id INTO linked;
    IF linked IS NULL THEN
        INSERT INTO station_connectors (station_id, label, type, power_kw, device_id, connector_id)
        SELECT place, (coalesce(max(label::bigint), 0) + 1)::text, own.type, own.power_kw, charger, number
        FROM station_connectors WHERE station_id = place AND label ~ '^\d{1,9}$';
    ELSE
        UPDATE connectors SET type = offered.type, power_kw = offered.power_kw
        FROM station_connectors AS offered
        WHERE offered.id = linked AND connectors.device_id = charger AND connectors.connector_id = number;
    END IF;
END $$;

CREATE FUNCTION link_new_connector() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM link_connector(NEW.device_id, NEW.connector_id);
    RETURN NULL;
END $$;
CREATE TRIGGER connectors_linked AFTER INSERT ON connectors FOR EACH ROW EXECUTE FUNCTION link_new_connector();

CREATE FUNCTION link_moved_charger() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM link_connector(device_id, connector_id) FROM connectors
    WHERE device_id = NEW.device_id ORDER BY connector_id;
    RETURN NULL;
END $$;
CREATE TRIGGER chargers_linked AFTER UPDATE OF station_id ON chargers FOR EACH ROW
    WHEN (OLD.station_id IS DISTINCT FROM NEW.station_id) EXECUTE FUNCTION link_moved_charger();

-- Chargers that have a station already.
DO $$
BEGIN
    PERFORM link_connector(device_id, connector_id)
    FROM (SELECT device_id, connector_id FROM connectors ORDER BY device_id, connector_id) AS known;
END $$;

CREATE TABLE favourite_stations (
    user_id    bigint NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    station_id bigint NOT NULL REFERENCES stations (id),
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (user_id, station_id)
);

-- Prices. A rule becomes a tariff of its own each time it changes: what was rated by the old one stays so.
CREATE TABLE pricing_rules (
    id             bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name           text NOT NULL,
    station_id     bigint REFERENCES stations (id),     -- NULL: every station
    connector_type text CHECK (connector_type IN ('Type2', 'CCS', 'CHAdeMO')),  -- NULL: every type
    rules          jsonb NOT NULL CHECK (jsonb_typeof(rules) = 'object'),
    is_active      boolean NOT NULL DEFAULT true,
    created_by     bigint REFERENCES users (id),
    created_at     timestamptz NOT NULL DEFAULT now(),
    updated_at     timestamptz NOT NULL DEFAULT now(),
    deleted_at     timestamptz
);
CREATE UNIQUE INDEX pricing_rules_name ON pricing_rules (lower(name)) WHERE deleted_at IS NULL;
CREATE INDEX pricing_rules_scope ON pricing_rules (station_id, connector_type) WHERE is_active AND deleted_at IS NULL;
CREATE INDEX pricing_rules_active ON pricing_rules (is_active, id DESC) WHERE deleted_at IS NULL;

-- Bookings hold one connector for one span of time; the database lets no two overlap.
CREATE TABLE bookings (
    id                    bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    booking_number        text NOT NULL UNIQUE,
    user_id               bigint NOT NULL REFERENCES users (id),
    station_id            bigint NOT NULL REFERENCES stations (id),
    station_connector_id  bigint NOT NULL REFERENCES station_connectors (id),
    vehicle_id            bigint REFERENCES vehicles (id),
    status                text NOT NULL CHECK (status IN ('pending', 'confirmed', 'active', 'completed', 'cancelled')),
    scheduled_at          timestamptz NOT NULL,
    estimated_minutes     integer NOT NULL CHECK (estimated_minutes > 0),
    during                tstzrange NOT NULL,           -- what is held: [scheduled, scheduled + estimated)
    started_at            timestamptz,
    ended_at              timestamptz,
    session_id            bigint UNIQUE REFERENCES sessions (id),
    energy_wh             bigint,
    initial_soc_pct       real,
    final_soc_pct         real,
    reservation_fee_minor bigint NOT NULL DEFAULT 0,
    hold_id               bigint REFERENCES transfers (id),
    cost                  jsonb NOT NULL DEFAULT '{}',  -- the parts of its price, in minor units
    cancellation_reason   text,
    ocpp_reservation_id   integer,
    reservation_state     text NOT NULL DEFAULT 'none' CHECK (reservation_state IN ('none', 'asked', 'accepted', 'refused', 'cancelled')),
    reminded_at           timestamptz,
    request_key           text,                         -- the client's Idempotency-Key
    logs                  jsonb NOT NULL DEFAULT '[]',  -- [{"event", "timestamp"}]
    created_at            timestamptz NOT NULL,
    updated_at            timestamptz NOT NULL,
    CONSTRAINT bookings_overlap EXCLUDE USING gist (station_connector_id WITH =, during WITH &&)
        WHERE (status IN ('pending', 'confirmed', 'active'))
);
CREATE UNIQUE INDEX bookings_request ON bookings (user_id, request_key) WHERE request_key IS NOT NULL;
CREATE INDEX bookings_user ON bookings (user_id, id DESC);
CREATE INDEX bookings_station ON bookings (station_id, id DESC);
CREATE INDEX bookings_connector ON bookings (station_connector_id);
CREATE INDEX bookings_status ON bookings (status, id DESC);
CREATE INDEX bookings_due ON bookings (scheduled_at) WHERE status IN ('pending', 'confirmed', 'active');

CREATE TABLE reviews (
    id             bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    booking_id     bigint NOT NULL UNIQUE REFERENCES bookings (id),
    user_id        bigint NOT NULL REFERENCES users (id),
    station_id     bigint NOT NULL REFERENCES stations (id),
    score          smallint NOT NULL CHECK (score BETWEEN 1 AND 5),
    review         text NOT NULL DEFAULT '',
    images         text[] NOT NULL DEFAULT '{}',
    status         text NOT NULL DEFAULT 'pending' CHECK (status IN ('pending', 'approved', 'rejected')),
    reason         text,                                -- of a rejection
    moderated_by   bigint REFERENCES users (id),
    created_at     timestamptz NOT NULL
);
CREATE INDEX reviews_station ON reviews (station_id, id DESC);
CREATE INDEX reviews_score ON reviews (score, id DESC);

-- Bills.
CREATE TABLE counters (
    name  text PRIMARY KEY,
    value bigint NOT NULL                               -- the last number given; no number is left out
);

CREATE TABLE invoices (
    id             bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    invoice_number text NOT NULL UNIQUE,
    user_id        bigint NOT NULL REFERENCES users (id),
    session_id     bigint UNIQUE REFERENCES sessions (id),  -- of a charging session's own invoice
    currency       char(3) NOT NULL DEFAULT 'INR',
    subtotal_minor bigint NOT NULL CHECK (subtotal_minor >= 0),
    tax_minor      bigint NOT NULL CHECK (tax_minor >= 0),
    total_minor    bigint NOT NULL,
    is_cancelled   boolean NOT NULL DEFAULT false,
    due_at         timestamptz NOT NULL,
    paid_at        timestamptz,
    transfer_id    bigint REFERENCES transfers (id),
    sent_at        timestamptz,
    created_by     bigint REFERENCES users (id),
    created_at     timestamptz NOT NULL,
    CHECK (total_minor = subtotal_minor + tax_minor)
);
CREATE INDEX invoices_user ON invoices (user_id, id DESC);
CREATE INDEX invoices_open ON invoices (due_at, id) WHERE paid_at IS NULL AND NOT is_cancelled;

CREATE TABLE invoice_lines (
    invoice_id  bigint NOT NULL REFERENCES invoices (id),
    position    smallint NOT NULL,
    description text NOT NULL,
    quantity    numeric(14, 3) NOT NULL CHECK (quantity > 0),
    rate_minor  bigint NOT NULL CHECK (rate_minor >= 0),
    amount_minor bigint NOT NULL,
    PRIMARY KEY (invoice_id, position)
);

CREATE TABLE refunds (
    id                 bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    user_id            bigint NOT NULL REFERENCES users (id),
    transfer_id        bigint NOT NULL REFERENCES transfers (id),
    amount_minor       bigint NOT NULL CHECK (amount_minor > 0),
    reason             text NOT NULL,
    status             text NOT NULL DEFAULT 'pending' CHECK (status IN ('pending', 'approved', 'rejected')),
    admin_notes        text,
    processed_by       bigint REFERENCES users (id),
    processed_at       timestamptz,
    refund_transfer_id bigint REFERENCES transfers (id),
    created_at         timestamptz NOT NULL,
    CHECK ((status = 'approved') = (refund_transfer_id IS NOT NULL))
);
CREATE UNIQUE INDEX refunds_pending ON refunds (transfer_id) WHERE status = 'pending';
CREATE INDEX refunds_transfer ON refunds (transfer_id);
CREATE INDEX refunds_user ON refunds (user_id, id DESC);
CREATE INDEX refunds_status ON refunds (status, id DESC);

-- A user's wallet is topped up the same way as a unit's: `unit_id` is NULL then.
ALTER TABLE top_ups
    ALTER COLUMN unit_id DROP NOT NULL,
    ADD COLUMN payment_method text;
CREATE INDEX top_ups_user ON top_ups (user_id, created_at DESC);

-- What a request with an Idempotency-Key was answered; written in the transaction of what it did.
CREATE TABLE idempotent_requests (
    user_id    bigint NOT NULL REFERENCES users (id),
    key        text NOT NULL,
    route      text NOT NULL,                           -- method and path
    digest     bytea NOT NULL,                          -- of the body
    status     smallint NOT NULL,
    answer     jsonb NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (user_id, key)
);
CREATE INDEX idempotent_requests_age ON idempotent_requests (created_at);

-- What people are told.
CREATE TABLE notifications (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    key        text NOT NULL,                           -- of the fact: told once
    user_id    bigint NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    type       text NOT NULL CHECK (type IN ('booking', 'session', 'payment', 'system', 'promotion')),
    title      text NOT NULL,
    message    text NOT NULL,
    data       jsonb NOT NULL DEFAULT '{}',
    read_at    timestamptz,
    created_at timestamptz NOT NULL,
    UNIQUE (user_id, key)
);
CREATE INDEX notifications_user ON notifications (user_id, id DESC);
CREATE INDEX notifications_unread ON notifications (user_id, id DESC) WHERE read_at IS NULL;
CREATE INDEX notifications_type ON notifications (user_id, type, id DESC);

-- Only what somebody changed; the rest is as `stream/notify.py` has it.
CREATE TABLE notification_preferences (
    user_id     bigint PRIMARY KEY REFERENCES users (id) ON DELETE CASCADE,
    preferences jsonb NOT NULL,
    updated_at  timestamptz NOT NULL
);

-- E-mail goes the way of text messages; what is attached is made when it is sent.
ALTER TABLE notices
    DROP CONSTRAINT notices_channel_check,
    ADD CHECK (channel IN ('sms', 'push', 'email')),
    ADD COLUMN subject text,
    ADD COLUMN attachment jsonb,                        -- {"kind", "id"}
    ADD CHECK ((channel = 'email') = (subject IS NOT NULL));

-- Work and talk.
CREATE TABLE maintenance_records (
    id             bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    device_id      integer NOT NULL REFERENCES chargers (device_id),
    type           text NOT NULL CHECK (type IN ('preventive', 'corrective', 'emergency')),
    description    text NOT NULL,
    status         text NOT NULL DEFAULT 'scheduled' CHECK (status IN ('scheduled', 'in-progress', 'completed', 'cancelled')),
    priority       text NOT NULL DEFAULT 'medium' CHECK (priority IN ('low', 'medium', 'high', 'critical')),
    scheduled_at   timestamptz NOT NULL,
    started_at     timestamptz,
    completed_at   timestamptz,
    assigned_to    text,
    notes          text,
    parts_replaced text[] NOT NULL DEFAULT '{}',
    cost_minor     bigint CHECK (cost_minor >= 0),
    created_by     bigint REFERENCES users (id),
    created_at     timestamptz NOT NULL,
    deleted_at     timestamptz
);
CREATE INDEX maintenance_records_device ON maintenance_records (device_id, id DESC);
CREATE INDEX maintenance_records_status ON maintenance_records (status, id DESC);
CREATE INDEX maintenance_records_due ON maintenance_records (scheduled_at) WHERE status = 'scheduled' AND deleted_at IS NULL;

CREATE TABLE support_tickets (
    id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    ticket_number   text NOT NULL UNIQUE,
    user_id         bigint NOT NULL REFERENCES users (id),
    subject         text NOT NULL,
    description     text NOT NULL,
    category        text NOT NULL CHECK (category IN ('technical', 'billing', 'general', 'complaint')),
    priority        text NOT NULL DEFAULT 'medium' CHECK (priority IN ('low', 'medium', 'high')),
    status          text NOT NULL DEFAULT 'open' CHECK (status IN ('open', 'in-progress', 'resolved', 'closed')),
    assigned_to     bigint REFERENCES users (id),
    rating_score    smallint CHECK (rating_score BETWEEN 1 AND 5),
    rating_feedback text,
    rated_at        timestamptz,
    due_at          timestamptz NOT NULL,               -- by its service level
    first_answer_at timestamptz,
    resolved_at     timestamptz,
    created_at      timestamptz NOT NULL,
    updated_at      timestamptz NOT NULL
);
CREATE INDEX support_tickets_user ON support_tickets (user_id, id DESC);
CREATE INDEX support_tickets_status ON support_tickets (status, id DESC);
CREATE INDEX support_tickets_priority ON support_tickets (priority, id DESC);

CREATE TABLE ticket_comments (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    ticket_id   bigint NOT NULL REFERENCES support_tickets (id),
    author_id   bigint NOT NULL REFERENCES users (id),
    author_type text NOT NULL CHECK (author_type IN ('user', 'support')),
    comment     text NOT NULL,
    attachments text[] NOT NULL DEFAULT '{}',
    created_at  timestamptz NOT NULL
);
CREATE INDEX ticket_comments_ticket ON ticket_comments (ticket_id, id);

-- One row: what differs from the defaults of `storage/queries/platform_settings.py`.
CREATE TABLE platform_settings (
    is_only    boolean PRIMARY KEY DEFAULT true CHECK (is_only),
    settings   jsonb NOT NULL DEFAULT '{}',
    version    bigint NOT NULL DEFAULT 1,
    updated_by bigint REFERENCES users (id),
    updated_at timestamptz NOT NULL DEFAULT now()
);
INSERT INTO platform_settings DEFAULT VALUES;

-- What admins and brands did, written in the transaction that did it; never changed.
CREATE TABLE admin_actions (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    actor_id    bigint NOT NULL REFERENCES users (id),
    action      text NOT NULL,                          -- as in 'user.block'
    subject     text NOT NULL,                          -- as in 'user:12'
    detail      jsonb NOT NULL DEFAULT '{}',            -- what changed; never a secret
    created_at  timestamptz NOT NULL
);
CREATE INDEX admin_actions_subject ON admin_actions (subject, id DESC);
CREATE INDEX admin_actions_actor ON admin_actions (actor_id, id DESC);
CREATE TRIGGER admin_actions_immutable BEFORE UPDATE OR DELETE ON admin_actions
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
