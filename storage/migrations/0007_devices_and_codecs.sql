-- Device profiles, payload codecs, device keys, and commands for devices that are not chargers.

-- A codec's text never changes: a change is a new version.
CREATE TABLE codecs (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name        text NOT NULL CHECK (name ~ '^[a-z0-9][a-z0-9._-]{0,79}$'),
    version     integer NOT NULL CHECK (version > 0),
    source      text NOT NULL,
    sha256      text NOT NULL,
    examples    jsonb NOT NULL DEFAULT '[]',            -- inputs with the outputs that they must give
    is_stateful boolean NOT NULL DEFAULT false,         -- leaks state between calls: a fresh context each time
    created_by  bigint REFERENCES users (id),
    created_at  timestamptz NOT NULL DEFAULT now(),
    UNIQUE (name, version)
);

CREATE TABLE device_profiles (
    id          integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name        text NOT NULL UNIQUE,
    vendor      text,
    model       text,
    utility     text CHECK (utility IN ('electricity', 'water', 'gas', 'heat', 'cooling')), -- NULL: no meter
    decoder     text NOT NULL,                          -- a name of protocols.payloads, or 'js'
    codec_id    bigint REFERENCES codecs (id),
    mapping     jsonb NOT NULL DEFAULT '[]',            -- of a codec's output to quantities
    options     jsonb NOT NULL DEFAULT '{}',            -- of the decoder
    interval_s  integer CHECK (interval_s > 0),         -- expected between uplinks; NULL: not said
    downlinks   jsonb NOT NULL DEFAULT '{}',            -- action -> {"port", "payload_hex", "is_confirmed"}
    created_at  timestamptz NOT NULL DEFAULT now(),
    updated_at  timestamptz NOT NULL DEFAULT now(),
    CHECK ((decoder = 'js') = (codec_id IS NOT NULL))
);

ALTER TABLE devices
    ADD COLUMN profile_id integer REFERENCES device_profiles (id),
    ADD COLUMN replaced_by integer REFERENCES devices (id);
CREATE INDEX devices_profile ON devices (profile_id) WHERE profile_id IS NOT NULL;

-- 'token' is kept as its SHA-256; the others must be read to decode, and no answer ever shows them.
CREATE TABLE device_keys (
    device_id  integer NOT NULL REFERENCES devices (id) ON DELETE CASCADE,
    kind       text NOT NULL CHECK (kind IN ('token', 'payload_aes', 'dlms_authentication')),
    secret     bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (device_id, kind)
);

-- By which way a device was heard last, and so by which a downlink reaches it.
CREATE TABLE device_links (
    device_id  integer PRIMARY KEY REFERENCES devices (id) ON DELETE CASCADE,
    source     text NOT NULL,
    address    jsonb NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE device_commands (
    id           uuid PRIMARY KEY,
    device_id    integer NOT NULL REFERENCES devices (id),
    action       text NOT NULL,                         -- 'close', 'open', 'interval', 'raw', ...
    port         smallint NOT NULL DEFAULT 0,
    payload      bytea NOT NULL,
    is_confirmed boolean NOT NULL DEFAULT false,
    state        text NOT NULL DEFAULT 'pending'
                 CHECK (state IN ('pending', 'sent', 'acknowledged', 'failed', 'expired', 'superseded')),
    reason       text NOT NULL,                         -- why it was sent: 'wallet_empty', 'operator', ...
    requested_by bigint REFERENCES users (id),
    created_at   timestamptz NOT NULL,
    expires_at   timestamptz NOT NULL,
    sent_at      timestamptz,
    done_at      timestamptz,
    detail       text
);
CREATE INDEX device_commands_open ON device_commands (device_id, created_at) WHERE state IN ('pending', 'sent');
CREATE INDEX device_commands_device ON device_commands (device_id, created_at DESC);
