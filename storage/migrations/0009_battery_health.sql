-- Battery health: what is known of a battery when new, the state between runs, figures by day, alarms.

-- NULL: nobody entered it; the first confident measurement takes its place. `alarm_limits`: kind -> limits,
-- where a battery's are not the default ones.
ALTER TABLE batteries
    ADD COLUMN rated_capacity_ah real CHECK (rated_capacity_ah > 0),
    ADD COLUMN alarm_limits jsonb NOT NULL DEFAULT '{}';

-- Whoever works on a battery holds its row.
CREATE TABLE battery_health_states (
    battery_id  bigint PRIMARY KEY REFERENCES batteries (id),
    state       jsonb NOT NULL DEFAULT '{}',            -- see stream.health.assess.State
    looked_at   timestamptz NOT NULL DEFAULT '-infinity', -- alarms and cycles
    is_behind   boolean NOT NULL DEFAULT false,         -- the last look did not reach the newest sample
    assessed_at timestamptz NOT NULL DEFAULT '-infinity'  -- everything
);
CREATE INDEX battery_health_states_looked ON battery_health_states (looked_at);

-- A day's last assessment of a battery; the latest is the one that the score comes from.
CREATE TABLE battery_health (
    battery_id         bigint NOT NULL REFERENCES batteries (id),
    day                date NOT NULL,
    assessed_at        timestamptz NOT NULL,
    since              timestamptz NOT NULL,
    until              timestamptz NOT NULL,
    samples            integer NOT NULL,
    health_score       numeric(4, 1) CHECK (health_score BETWEEN 0 AND 100), -- NULL: too little is known
    known              real NOT NULL,                   -- weight times confidence of all parts
    penalty            real NOT NULL,                   -- for open alarms
    capacity_ah        real,
    soh_capacity_pct   real,
    resistance_ohm     real,
    soh_resistance_pct real,
    reported_soh_pct   real,
    imbalance_mv       real,
    weakest_cell       smallint,
    full_cycles        real NOT NULL,
    cycle_depths       real[] NOT NULL,
    anomaly_score      real,
    figures            jsonb NOT NULL,                  -- what later days and peers are held against
    parts              jsonb NOT NULL,                  -- of the score: name, value, confidence, weight, text
    PRIMARY KEY (battery_id, day)
);

CREATE TABLE battery_alarms (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    battery_id bigint NOT NULL REFERENCES batteries (id),
    kind       text NOT NULL,
    severity   text NOT NULL CHECK (severity IN ('warning', 'critical')),
    opened_at  timestamptz NOT NULL,                    -- by the battery's clock
    closed_at  timestamptz CHECK (closed_at >= opened_at),
    worst      real NOT NULL,
    cell       smallint,                                -- from 1; NULL: of the pack
    UNIQUE (battery_id, kind, opened_at)
);
CREATE UNIQUE INDEX battery_alarms_open ON battery_alarms (battery_id, kind) WHERE closed_at IS NULL;
