-- Commands to chargers that outlive sockets and processes: storage/queries/commands.py says how they go on.
CREATE TABLE charger_commands (
    id            uuid PRIMARY KEY,
    seq           bigint GENERATED ALWAYS AS IDENTITY,  -- age: the order within a priority
    device_id     integer NOT NULL REFERENCES chargers (device_id),
    action        text NOT NULL,
    payload       json NOT NULL,                         -- as it goes out: jsonb would change the order of its keys
    priority      smallint NOT NULL DEFAULT 0,          -- higher goes first
    is_repeatable boolean NOT NULL,                     -- may be sent again when its outcome is not known
    supersede_key text,                                 -- action and target; a newer one takes a queued one's place
    state         text NOT NULL DEFAULT 'queued' CHECK (state IN
        ('queued', 'sent', 'accepted', 'rejected', 'failed', 'expired', 'superseded', 'cancelled')),
    attempts      integer NOT NULL DEFAULT 0,           -- how often it was sent
    generation    bigint,                               -- of the socket that it was sent over last
    requested_by  bigint REFERENCES users (id),
    created_at    timestamptz NOT NULL,
    due_at        timestamptz NOT NULL,                 -- not before; later with each try
    expires_at    timestamptz NOT NULL CHECK (expires_at > created_at),
    sent_at       timestamptz,
    finished_at   timestamptz,
    result        json,                                 -- the charger's answer
    error         text,                                 -- why there is none, or the CALLERROR
    CHECK ((state IN ('queued', 'sent')) = (finished_at IS NULL))
);
CREATE INDEX charger_commands_open ON charger_commands (device_id, priority DESC, seq)
    WHERE state IN ('queued', 'sent');
CREATE INDEX charger_commands_expiry ON charger_commands (expires_at) WHERE state IN ('queued', 'sent');
CREATE INDEX charger_commands_device ON charger_commands (device_id, seq DESC);
CREATE INDEX charger_commands_finished ON charger_commands (finished_at) WHERE finished_at IS NOT NULL;
