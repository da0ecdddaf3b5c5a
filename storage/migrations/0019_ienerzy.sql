-- The Ienerzy family: consumers and their identity, loans, the NBFC's word, service. Money in minor units of INR,
-- rates in percent a year. Accounts are `users` of system 'ienerzy': dealer, consumer, technician, admin.

ALTER TABLE users
    ADD CONSTRAINT users_ienerzy_role CHECK (system <> 'ienerzy' OR role IN ('dealer', 'consumer', 'technician', 'admin'));
CREATE INDEX users_ienerzy ON users (role, id) WHERE system = 'ienerzy';

-- What a consumer is beside the account; made with it.
CREATE TABLE consumers (
    user_id        bigint PRIMARY KEY REFERENCES users (id),
    kyc_status     text NOT NULL DEFAULT 'pending' CHECK (kyc_status IN ('pending', 'verified', 'rejected')),
    pan_sealed     bytea,                               -- encrypted; `pan_mark` finds a number used twice
    pan_end        text,
    pan_mark       bytea,                               -- keyed hash
    aadhar_sealed  bytea,
    aadhar_end     text,
    aadhar_mark    bytea,
    credit_score   smallint CHECK (credit_score BETWEEN 300 AND 900),
    decided_by     bigint REFERENCES users (id),
    decided_at     timestamptz,
    CHECK ((pan_sealed IS NULL) = (pan_end IS NULL) AND (pan_sealed IS NULL) = (pan_mark IS NULL)),
    CHECK ((aadhar_sealed IS NULL) = (aadhar_end IS NULL) AND (aadhar_sealed IS NULL) = (aadhar_mark IS NULL))
);
CREATE INDEX consumers_pan ON consumers (pan_mark) WHERE pan_mark IS NOT NULL;
CREATE INDEX consumers_aadhar ON consumers (aadhar_mark) WHERE aadhar_mark IS NOT NULL;
INSERT INTO consumers (user_id) SELECT id FROM users WHERE system = 'ienerzy' AND role = 'consumer';

CREATE FUNCTION enter_consumer() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO consumers (user_id) VALUES (NEW.id) ON CONFLICT DO NOTHING;
    RETURN NULL;
END $$;
CREATE TRIGGER users_consumer AFTER INSERT ON users
    FOR EACH ROW WHEN (NEW.system = 'ienerzy' AND NEW.role = 'consumer') EXECUTE FUNCTION enter_consumer();

CREATE TABLE consumer_documents (
    id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    consumer_id     bigint NOT NULL REFERENCES consumers (user_id),
    document_type   text NOT NULL,
    document_url    text,                               -- where the sender keeps it; NULL: the file is ours
    file_name       text,                               -- in the file store, under 'consumer'
    mimetype        text,
    sha256          bytea,
    number_sealed   bytea,
    number_end      text,
    status          text NOT NULL DEFAULT 'pending_verification'
                    CHECK (status IN ('pending_verification', 'verified', 'rejected')),
    notes           text,
    uploaded_by     bigint NOT NULL REFERENCES users (id),
    uploaded_at     timestamptz NOT NULL,
    reviewed_by     bigint REFERENCES users (id),
    reviewed_at     timestamptz,
    CHECK ((document_url IS NULL) <> (file_name IS NULL)),
    CHECK ((number_sealed IS NULL) = (number_end IS NULL))
);
CREATE INDEX consumer_documents_consumer ON consumer_documents (consumer_id, id);

-- Who had a battery when. It follows from `batteries.owner_id`; the caller says who did it.
CREATE TABLE battery_assignments (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    battery_id  bigint NOT NULL REFERENCES batteries (id),
    consumer_id bigint NOT NULL REFERENCES users (id),
    assigned_by bigint REFERENCES users (id),
    assigned_at timestamptz NOT NULL,
    ended_at    timestamptz CHECK (ended_at >= assigned_at)
);
CREATE UNIQUE INDEX battery_assignments_open ON battery_assignments (battery_id) WHERE ended_at IS NULL;
CREATE INDEX battery_assignments_battery ON battery_assignments (battery_id, id);
CREATE INDEX battery_assignments_consumer ON battery_assignments (consumer_id, id);
INSERT INTO battery_assignments (battery_id, consumer_id, assigned_at)
SELECT id, owner_id, created_at FROM batteries WHERE owner_id IS NOT NULL;
CREATE INDEX battery_commands_battery ON battery_commands (battery_id, created_at DESC);
CREATE INDEX batteries_status ON batteries (status, id);

-- Loans. An application becomes a loan when it is approved: its instalments are made then.
CREATE TABLE finance_applications (
    id                bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    dealer_id         bigint NOT NULL REFERENCES users (id),
    consumer_id       bigint NOT NULL REFERENCES consumers (user_id),
    battery_id        bigint NOT NULL REFERENCES batteries (id),
    amount_minor      bigint NOT NULL CHECK (amount_minor > 0),
    tenure_months     smallint NOT NULL CHECK (tenure_months BETWEEN 1 AND 120),
    rate_pct          numeric(6, 3) CHECK (rate_pct BETWEEN 0 AND 100),  -- a year; NULL: not said, taken as 0
    method            text NOT NULL DEFAULT 'reducing' CHECK (method IN ('reducing', 'flat', 'interest_free', 'agreed')),
    status            text NOT NULL DEFAULT 'pending'
                      CHECK (status IN ('pending', 'submitted', 'approved', 'rejected', 'disbursed', 'closed')),
    approved_minor    bigint CHECK (approved_minor > 0),
    emi_minor         bigint CHECK (emi_minor > 0),     -- what the NBFC said that an instalment is
    starts_on         date,                             -- the first instalment is due a month later
    decision_reason   text,
    decided_by        bigint REFERENCES users (id),     -- NULL: the NBFC
    decided_at        timestamptz,
    disbursed_on      date,
    disbursed_minor   bigint CHECK (disbursed_minor > 0),
    closed_at         timestamptz,
    is_foreclosed     boolean NOT NULL DEFAULT false,
    excess_minor      bigint NOT NULL DEFAULT 0 CHECK (excess_minor >= 0),  -- paid beyond all that was due
    interest_minor    bigint NOT NULL DEFAULT 0,        -- of it recognised in the ledger as paid
    penalty_minor     bigint NOT NULL DEFAULT 0,        -- the same of penalties
    nbfc              text,                             -- adapter that it was submitted to
    nbfc_reference    text,
    submitted_at      timestamptz,
    created_by        bigint REFERENCES users (id),
    created_at        timestamptz NOT NULL,
    updated_at        timestamptz NOT NULL,
    CHECK (status NOT IN ('approved', 'disbursed', 'closed') OR approved_minor IS NOT NULL),
    CHECK (status <> 'disbursed' OR disbursed_on IS NOT NULL)
);
-- One open application a consumer and battery (conflict C16), and one running loan a battery.
CREATE UNIQUE INDEX finance_applications_open ON finance_applications (consumer_id, battery_id)
    WHERE status IN ('pending', 'submitted');
CREATE UNIQUE INDEX finance_applications_running ON finance_applications (battery_id)
    WHERE status IN ('approved', 'disbursed');
CREATE INDEX finance_applications_dealer ON finance_applications (dealer_id, id DESC);
CREATE INDEX finance_applications_consumer ON finance_applications (consumer_id, id DESC);
CREATE INDEX finance_applications_battery ON finance_applications (battery_id, id DESC);

-- `paid_minor` and `penalty_minor` follow from the loan's payments: `stream/lending` works them out anew at each.
-- An instalment that is overdue stays 'pending'; 'cancelled': the loan was foreclosed before it.
CREATE TABLE emi_schedules (
    id                 bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    application_id     bigint NOT NULL REFERENCES finance_applications (id),
    emi_number         smallint NOT NULL CHECK (emi_number >= 1),
    due_date           date NOT NULL,
    principal_minor    bigint NOT NULL CHECK (principal_minor >= 0),
    interest_minor     bigint NOT NULL CHECK (interest_minor >= 0),
    amount_minor       bigint NOT NULL CHECK (amount_minor > 0),
    paid_minor         bigint NOT NULL DEFAULT 0 CHECK (paid_minor BETWEEN 0 AND amount_minor),
    penalty_minor      bigint NOT NULL DEFAULT 0 CHECK (penalty_minor >= 0),       -- fixed by its payments so far
    penalty_paid_minor bigint NOT NULL DEFAULT 0 CHECK (penalty_paid_minor BETWEEN 0 AND penalty_minor),
    status             text NOT NULL DEFAULT 'pending' CHECK (status IN ('pending', 'paid', 'cancelled')),
    paid_on            date,                            -- the day of the payment that completed it
    UNIQUE (application_id, emi_number),
    CHECK (amount_minor = principal_minor + interest_minor),
    CHECK (status <> 'paid' OR (paid_minor = amount_minor AND paid_on IS NOT NULL))
);
CREATE INDEX emi_schedules_due ON emi_schedules (due_date, application_id) WHERE status = 'pending';

CREATE TABLE emi_payments (
    id             bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    key            text NOT NULL UNIQUE,                -- the caller's; the same one again is the same payment
    application_id bigint NOT NULL REFERENCES finance_applications (id),
    dealer_id      bigint NOT NULL REFERENCES users (id),
    amount_minor   bigint NOT NULL CHECK (amount_minor > 0),
    paid_on        date NOT NULL,
    kind           text NOT NULL DEFAULT 'instalment' CHECK (kind IN ('instalment', 'foreclosure')),
    method         text NOT NULL,                       -- 'cash', 'upi', ...
    reference      text,
    is_late        boolean NOT NULL DEFAULT false,      -- it paid something that was past due
    recorded_by    bigint REFERENCES users (id),        -- NULL: the NBFC
    transfer_id    bigint NOT NULL REFERENCES transfers (id),
    created_at     timestamptz NOT NULL
);
CREATE INDEX emi_payments_application ON emi_payments (application_id, id);
CREATE INDEX emi_payments_dealer ON emi_payments (dealer_id, paid_on, id);

-- A battery that is taken out of use until its loan is paid: notice, command, confirmation, and the way back.
CREATE TABLE battery_locks (
    id                 bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    application_id     bigint NOT NULL REFERENCES finance_applications (id),
    battery_id         bigint NOT NULL REFERENCES batteries (id),
    state              text NOT NULL CHECK (state IN ('noticed', 'disabling', 'disabled', 'enabling', 'ended')),
    noticed_at         timestamptz,
    disable_command_id uuid REFERENCES battery_commands (id),
    disable_asked_at   timestamptz,
    disabled_at        timestamptz,                     -- confirmed by the battery
    enable_command_id  uuid REFERENCES battery_commands (id),
    enable_asked_at    timestamptz,
    ended_at           timestamptz,                     -- enabled again, or paid before it was disabled
    created_at         timestamptz NOT NULL,
    CHECK ((state = 'ended') = (ended_at IS NOT NULL))
);
CREATE UNIQUE INDEX battery_locks_open ON battery_locks (application_id) WHERE state <> 'ended';
CREATE INDEX battery_locks_battery ON battery_locks (battery_id, id DESC);
CREATE INDEX battery_locks_state ON battery_locks (state, id) WHERE state <> 'ended';

-- What an NBFC told us, each once; the application's state follows from all of them, in whatever order they came.
CREATE TABLE nbfc_events (
    id             bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    application_id bigint NOT NULL REFERENCES finance_applications (id),
    key            text NOT NULL,                       -- of the event: its id, or what it says
    status         text NOT NULL,
    body           jsonb NOT NULL,
    occurred_at    timestamptz NOT NULL,
    received_at    timestamptz NOT NULL,
    UNIQUE (application_id, key)
);

CREATE TABLE nbfc_reports (
    id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    dealer_id       bigint NOT NULL REFERENCES users (id),
    report_date     date NOT NULL,
    collection_data jsonb NOT NULL,
    report_id       text UNIQUE,                        -- the NBFC's
    nbfc_response   jsonb,
    sent_at         timestamptz,
    created_at      timestamptz NOT NULL
);
CREATE INDEX nbfc_reports_dealer ON nbfc_reports (dealer_id, id DESC);

-- Service.
CREATE TABLE technicians (
    user_id          bigint PRIMARY KEY REFERENCES users (id),
    dealer_id        bigint REFERENCES users (id),      -- NULL: works for every dealer
    location         text NOT NULL DEFAULT '',
    latitude         double precision CHECK (latitude BETWEEN -90 AND 90),
    longitude        double precision CHECK (longitude BETWEEN -180 AND 180),
    skills           text[] NOT NULL DEFAULT '{}',
    rating           numeric(2, 1) NOT NULL DEFAULT 0 CHECK (rating BETWEEN 0 AND 5),
    ratings          integer NOT NULL DEFAULT 0,        -- how many; `rating` was entered while it is 0
    experience_years numeric(4, 1) NOT NULL DEFAULT 0 CHECK (experience_years >= 0),
    status           text NOT NULL DEFAULT 'available' CHECK (status IN ('available', 'busy', 'off_duty')),
    load_max         smallint NOT NULL DEFAULT 5 CHECK (load_max >= 1),
    CHECK ((latitude IS NULL) = (longitude IS NULL))
);
CREATE INDEX technicians_dealer ON technicians (dealer_id, user_id);

CREATE TABLE service_tickets (
    id               bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    dealer_id        bigint NOT NULL REFERENCES users (id),
    battery_id       bigint NOT NULL REFERENCES batteries (id),
    consumer_id      bigint REFERENCES users (id),      -- who had the battery then
    issue_category   text NOT NULL
                     CHECK (issue_category IN ('performance', 'charging', 'mechanical', 'electrical', 'other')),
    description      text NOT NULL,
    location         text,
    skill_required   text,
    priority         text NOT NULL DEFAULT 'medium' CHECK (priority IN ('low', 'medium', 'high', 'critical')),
    status           text NOT NULL DEFAULT 'open' CHECK (status IN ('open', 'assigned', 'in_progress', 'resolved')),
    assigned_to      bigint REFERENCES technicians (user_id),
    alarm_id         bigint UNIQUE REFERENCES battery_alarms (id),  -- the alarm that opened it
    opened_by        bigint REFERENCES users (id),      -- NULL: an alarm
    sla_due_at       timestamptz NOT NULL,
    assigned_at      timestamptz,
    started_at       timestamptz,
    resolved_at      timestamptz,
    resolution_notes text,
    parts_used       text,
    parts_cost_minor bigint CHECK (parts_cost_minor >= 0),
    labor_hours      numeric(6, 2) CHECK (labor_hours >= 0),
    satisfaction     smallint CHECK (satisfaction BETWEEN 1 AND 5),
    created_at       timestamptz NOT NULL,
    updated_at       timestamptz NOT NULL,
    CHECK ((status = 'open') <= (assigned_to IS NULL)),
    CHECK ((status IN ('assigned', 'in_progress')) <= (assigned_to IS NOT NULL)),
    CHECK ((status = 'resolved') = (resolved_at IS NOT NULL))
);
CREATE INDEX service_tickets_dealer ON service_tickets (dealer_id, id DESC);
CREATE INDEX service_tickets_battery ON service_tickets (battery_id, id DESC);
CREATE INDEX service_tickets_consumer ON service_tickets (consumer_id, id DESC);
CREATE INDEX service_tickets_technician ON service_tickets (assigned_to, id DESC);
CREATE INDEX service_tickets_load ON service_tickets (assigned_to) WHERE status IN ('assigned', 'in_progress');
CREATE INDEX service_tickets_active ON service_tickets (dealer_id, id DESC) WHERE status <> 'resolved';

CREATE TABLE service_ticket_events (
    id        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    ticket_id bigint NOT NULL REFERENCES service_tickets (id),
    kind      text NOT NULL,                            -- 'opened', 'assigned', 'status', 'noted', 'rated'
    actor_id  bigint REFERENCES users (id),
    detail    jsonb NOT NULL DEFAULT '{}',
    at        timestamptz NOT NULL
);
CREATE INDEX service_ticket_events_ticket ON service_ticket_events (ticket_id, id);

-- Messages: sent, and what became of them where the provider says so.
ALTER TABLE notices
    DROP CONSTRAINT notices_state_check,
    ADD CHECK (state IN ('pending', 'sent', 'delivered', 'failed')),
    ADD COLUMN delivered_at timestamptz;
