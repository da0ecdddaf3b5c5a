-- What a charger is made of and what it was told to keep: variables, profiles, reservations, local list,
-- messages, monitors, and the work that it does on our behalf. As the charger last confirmed it.

-- OCPP 2.x variables by component; an OCPP 1.6 configuration key is a variable of the component ''.
-- No EVSE, connector or instance is 0 or ''.
CREATE TABLE charger_variables (
    device_id          integer NOT NULL REFERENCES devices (id),
    component          text NOT NULL,
    component_instance text NOT NULL DEFAULT '',
    evse_id            integer NOT NULL DEFAULT 0,
    connector_id       integer NOT NULL DEFAULT 0,
    variable           text NOT NULL,
    variable_instance  text NOT NULL DEFAULT '',
    attribute          text NOT NULL DEFAULT 'Actual',  -- Actual, Target, MinSet, MaxSet
    value              text,                            -- NULL: write-only or not set
    mutability         text,                            -- ReadOnly, WriteOnly, ReadWrite
    is_persistent      boolean,
    is_constant        boolean,
    characteristics    jsonb,
    updated_at         timestamptz NOT NULL
);
-- Names are compared without case (OCPP 2.0.1 part 2, CiString).
CREATE UNIQUE INDEX charger_variables_key ON charger_variables (
    device_id, lower(component), lower(component_instance), evse_id, connector_id,
    lower(variable), lower(variable_instance), lower(attribute)
);

CREATE TABLE charging_profiles (
    device_id      integer NOT NULL REFERENCES devices (id),
    profile_id     integer NOT NULL,
    evse_id        integer NOT NULL,                    -- the connector in 1.6; 0 is the whole charger
    purpose        text NOT NULL,
    stack_level    integer NOT NULL,
    transaction_id text,
    source         text NOT NULL,                       -- OCPP 2.x ChargingLimitSource; CSO is us
    profile        jsonb NOT NULL,                      -- as the version that set it writes it
    updated_at     timestamptz NOT NULL,
    PRIMARY KEY (device_id, profile_id)
);

CREATE TABLE reservations (
    device_id      integer NOT NULL REFERENCES devices (id),
    reservation_id integer NOT NULL,
    evse_id        integer NOT NULL,                    -- the connector in 1.6; 0 is any
    connector_type text,
    id_token       text NOT NULL,
    token_type     text NOT NULL,                       -- '' in 1.6
    group_token    text,
    expires_at     timestamptz NOT NULL,
    status         text NOT NULL DEFAULT 'active'
                   CHECK (status IN ('active', 'used', 'cancelled', 'expired', 'removed')),
    created_at     timestamptz NOT NULL,
    updated_at     timestamptz NOT NULL,
    PRIMARY KEY (device_id, reservation_id)
);

-- `version` is that of the last list we sent and the charger took; `reported_version` what it says itself.
CREATE TABLE local_lists (
    device_id        integer PRIMARY KEY REFERENCES devices (id),
    version          integer NOT NULL,
    is_in_doubt      boolean NOT NULL DEFAULT false,    -- an update failed, or the versions differ
    sent_at          timestamptz,
    reported_version integer,
    reported_at      timestamptz
);

CREATE TABLE local_list_entries (
    device_id   integer NOT NULL REFERENCES local_lists (device_id),
    id_token    text NOT NULL,
    token_type  text NOT NULL,                          -- '' in 1.6
    info        jsonb NOT NULL
);
CREATE UNIQUE INDEX local_list_entries_key ON local_list_entries (device_id, lower(id_token), lower(token_type));

CREATE TABLE display_messages (
    device_id      integer NOT NULL REFERENCES devices (id),
    message_id     integer NOT NULL,
    priority       text NOT NULL,
    state          text,
    transaction_id text,
    message        jsonb NOT NULL,                      -- MessageInfoType, whole
    updated_at     timestamptz NOT NULL,
    PRIMARY KEY (device_id, message_id)
);

CREATE TABLE variable_monitors (
    device_id          integer NOT NULL REFERENCES devices (id),
    monitor_id         integer NOT NULL,
    component          text NOT NULL,
    component_instance text NOT NULL DEFAULT '',
    evse_id            integer NOT NULL DEFAULT 0,
    connector_id       integer NOT NULL DEFAULT 0,
    variable           text NOT NULL,
    variable_instance  text NOT NULL DEFAULT '',
    type               text NOT NULL,                   -- UpperThreshold, LowerThreshold, Delta, Periodic, ...
    value              double precision NOT NULL,
    severity           smallint NOT NULL,               -- 0 danger to 9 debug
    is_transaction     boolean NOT NULL,                -- only while a transaction runs
    kind               text NOT NULL                    -- where the charger did not say: CustomMonitor
                       CHECK (kind IN ('HardWiredMonitor', 'PreconfiguredMonitor', 'CustomMonitor')),
    updated_at         timestamptz NOT NULL,
    PRIMARY KEY (device_id, monitor_id)
);

-- Work that a charger does after it answered: uploads, firmware, reports. One row a request.
CREATE TABLE charger_jobs (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    device_id   integer NOT NULL REFERENCES devices (id),
    kind        text NOT NULL CHECK (kind IN (
                    'firmware', 'publish_firmware', 'log', 'diagnostics', 'report', 'monitoring_report',
                    'charging_profiles', 'display_messages', 'customer_information')),
    request_id  integer,                                -- NULL: 1.6's UpdateFirmware and GetDiagnostics
    status      text NOT NULL,                          -- the charger's word, of its answer or of a later message
    is_finished boolean NOT NULL,
    is_failed   boolean NOT NULL DEFAULT false,
    request     jsonb,                                  -- NULL: the charger began it by itself
    answer      jsonb NOT NULL DEFAULT '{}',
    created_at  timestamptz NOT NULL,
    updated_at  timestamptz NOT NULL
);
CREATE UNIQUE INDEX charger_jobs_request ON charger_jobs (device_id, kind, request_id) WHERE request_id IS NOT NULL;
CREATE INDEX charger_jobs_device ON charger_jobs (device_id, id DESC);

-- What came for a job in parts, by number: the text of customer information, else that a part came.
CREATE TABLE charger_job_parts (
    job_id      bigint NOT NULL REFERENCES charger_jobs (id) ON DELETE CASCADE,
    seq_no      integer NOT NULL,
    is_last     boolean NOT NULL,
    data        text,
    received_at timestamptz NOT NULL,
    PRIMARY KEY (job_id, seq_no)
);
