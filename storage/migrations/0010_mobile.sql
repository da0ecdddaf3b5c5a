-- What goes out to people (text messages, push), what they want to hear of, and payments by the app.

CREATE TABLE push_tokens (
    token      text PRIMARY KEY,
    user_id    bigint NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    platform   text NOT NULL CHECK (platform IN ('android', 'ios', 'web')),
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX push_tokens_user ON push_tokens (user_id);

-- One row a message and channel. A body with a secret in it is blanked once it has gone, or will not go.
CREATE TABLE notices (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    key         text NOT NULL UNIQUE,                   -- of what it tells, to whom, how: told once
    user_id     bigint REFERENCES users (id),
    channel     text NOT NULL CHECK (channel IN ('sms', 'push')),
    address     text NOT NULL,                          -- a phone in E.164, or a push token
    kind        text NOT NULL,                          -- 'welcome', 'password', 'wallet_low', ...
    body        text,
    has_secret  boolean NOT NULL DEFAULT false,
    state       text NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'sent', 'failed')),
    provider    text,
    provider_id text,                                   -- the provider's name for the message
    detail      text,                                   -- why it failed
    created_at  timestamptz NOT NULL DEFAULT now(),
    done_at     timestamptz,
    CHECK (state <> 'pending' OR body IS NOT NULL)
);
CREATE INDEX notices_user ON notices (user_id, id DESC);

-- Opened and closed by the metering jobs.
CREATE TABLE meter_alerts (
    id        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    meter_id  bigint NOT NULL REFERENCES meters (id),
    kind      text NOT NULL,                            -- 'silent', 'leak', 'tamper', 'low_battery', ...
    opened_at timestamptz NOT NULL,
    closed_at timestamptz,
    detail    jsonb NOT NULL DEFAULT '{}'
);
CREATE UNIQUE INDEX meter_alerts_open ON meter_alerts (meter_id, kind) WHERE closed_at IS NULL;
CREATE INDEX meter_alerts_meter ON meter_alerts (meter_id, id DESC);

CREATE TABLE unit_budgets (
    unit_id       bigint NOT NULL REFERENCES units (id),
    utility       text NOT NULL CHECK (utility IN ('electricity', 'water', 'gas', 'heat', 'cooling')),
    limit_minor   bigint NOT NULL CHECK (limit_minor > 0), -- of a month of the estate's time zone
    updated_by    bigint REFERENCES users (id),
    updated_at    timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (unit_id, utility)
);

-- Once a threshold and month, whatever the budget becomes afterwards.
CREATE TABLE budget_alerts (
    id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    unit_id       bigint NOT NULL REFERENCES units (id),
    utility       text NOT NULL,
    month         date NOT NULL,
    threshold_pct smallint NOT NULL,
    limit_minor   bigint NOT NULL,
    spent_minor   bigint NOT NULL,
    created_at    timestamptz NOT NULL DEFAULT now(),
    UNIQUE (unit_id, utility, month, threshold_pct)
);

-- A wallet's top-up by the app: paid once the provider says so, whatever came before or comes after.
CREATE TABLE top_ups (
    id           uuid PRIMARY KEY,
    unit_id      bigint NOT NULL REFERENCES units (id),
    user_id      bigint NOT NULL REFERENCES users (id),
    provider     text NOT NULL,
    request_key  text NOT NULL,                         -- the app's Idempotency-Key
    amount_minor bigint NOT NULL CHECK (amount_minor > 0),
    currency     char(3) NOT NULL,
    state        text NOT NULL DEFAULT 'created' CHECK (state IN ('created', 'paid', 'failed')),
    provider_id  text,                                  -- the provider's name for the order
    checkout     jsonb NOT NULL DEFAULT '{}',           -- what the app opens to pay
    transfer_id  bigint REFERENCES transfers (id),
    detail       text,
    created_at   timestamptz NOT NULL DEFAULT now(),
    done_at      timestamptz,
    UNIQUE (user_id, request_key),
    CHECK ((state = 'paid') = (transfer_id IS NOT NULL))
);
CREATE UNIQUE INDEX top_ups_provider ON top_ups (provider, provider_id);
CREATE INDEX top_ups_unit ON top_ups (unit_id, created_at DESC);

-- Events of payment providers that were taken: the same one again changes nothing.
CREATE TABLE payment_events (
    provider    text NOT NULL,
    event_id    text NOT NULL,
    top_up_id   uuid REFERENCES top_ups (id),
    outcome     text NOT NULL,
    received_at timestamptz NOT NULL,
    PRIMARY KEY (provider, event_id)
);
