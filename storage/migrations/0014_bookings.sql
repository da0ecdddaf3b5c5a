-- What a booking needs to reach its charger.
ALTER TABLE bookings
    -- The token of its reservation and of its start: whoever starts with it starts this booking. 20 characters
    -- in hexadecimal, all that a CiString20 of OCPP 1.6 holds.
    ADD COLUMN id_tag text NOT NULL UNIQUE DEFAULT left(replace(gen_random_uuid()::text, '-', ''), 20),
    ADD COLUMN reserve_command_id uuid,                 -- the ReserveNow in charger_commands
    ADD COLUMN starting_until timestamptz,              -- somebody has the charger begin it, at the latest until then
    ADD COLUMN has_start_failed boolean NOT NULL DEFAULT false;

CREATE INDEX bookings_asked ON bookings (id) WHERE reservation_state = 'asked';
CREATE INDEX bookings_active ON bookings (id) WHERE status = 'active';
