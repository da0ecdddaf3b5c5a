-- Tariffs with elements, receipts with lines, sessions that the central system had to end itself.

-- NULL: the simple columns are the tariff. The form is that of stream/rating/definition.py.
ALTER TABLE tariffs ADD COLUMN definition jsonb CHECK (jsonb_typeof(definition) = 'object');

-- An IANA name: hours and days of a tariff are those of the wall clock where the charger stands.
ALTER TABLE stations ADD COLUMN time_zone text NOT NULL DEFAULT 'Asia/Kolkata';

ALTER TABLE cdrs
    ADD COLUMN flat_minor bigint NOT NULL DEFAULT 0,
    ADD COLUMN adjustment_minor bigint NOT NULL DEFAULT 0,  -- by the minimum, or (negative) the maximum
    ADD COLUMN lines jsonb NOT NULL DEFAULT '[]',
    ADD COLUMN periods jsonb NOT NULL DEFAULT '[]',
    ADD COLUMN is_estimated boolean NOT NULL DEFAULT false,
    ADD COLUMN has_meter_reset boolean NOT NULL DEFAULT false,
    DROP CONSTRAINT cdrs_check,
    ADD CONSTRAINT cdrs_sum CHECK (
        total_minor = energy_minor + time_minor + parking_minor + gst_minor + flat_minor + adjustment_minor);

-- A session that was ended by a rule (stream/reconcile.py) and not by its charger. It is in force while the
-- session still has this end. `corrected_at`: when the charger's own end came after all.
CREATE TABLE session_closures (
    session_id    bigint PRIMARY KEY REFERENCES sessions (id),
    rule          text NOT NULL CHECK (rule IN ('superseded', 'available', 'silent')),
    ended_at      timestamptz NOT NULL,
    received_at   timestamptz NOT NULL,                 -- when the last that is known of it came
    register_wh   bigint,                               -- what the end rests on; NULL: nothing was known
    closed_at     timestamptz NOT NULL,
    corrected_at  timestamptz
);

-- What a session came to when the charger's own end arrived after its record was written. The record stays;
-- the difference of the totals was moved, or is owed.
CREATE TABLE cdr_corrections (
    session_id        bigint PRIMARY KEY REFERENCES cdrs (session_id),
    energy_wh         bigint NOT NULL,
    duration_s        bigint NOT NULL,
    energy_minor      bigint NOT NULL,
    time_minor        bigint NOT NULL,
    parking_minor     bigint NOT NULL,
    flat_minor        bigint NOT NULL,
    adjustment_minor  bigint NOT NULL,
    gst_minor         bigint NOT NULL,
    total_minor       bigint NOT NULL,
    lines             jsonb NOT NULL,
    periods           jsonb NOT NULL,
    is_estimated      boolean NOT NULL,
    has_meter_reset   boolean NOT NULL,
    created_at        timestamptz NOT NULL DEFAULT now(),
    CHECK (total_minor = energy_minor + time_minor + parking_minor + gst_minor + flat_minor + adjustment_minor)
);
CREATE TRIGGER cdr_corrections_immutable BEFORE UPDATE OR DELETE ON cdr_corrections
    FOR EACH ROW EXECUTE FUNCTION refuse_change();

-- What a session came to as is known now: its record, or what corrects that.
CREATE VIEW latest_cdrs AS
SELECT cdrs.session_id, cdrs.user_id, cdrs.tariff_id, cdrs.currency, cdrs.energy_minor_per_kwh,
       coalesce(correction.energy_wh, cdrs.energy_wh) AS energy_wh,
       coalesce(correction.duration_s, cdrs.duration_s) AS duration_s,
       coalesce(correction.energy_minor, cdrs.energy_minor) AS energy_minor,
       coalesce(correction.time_minor, cdrs.time_minor) AS time_minor,
       coalesce(correction.parking_minor, cdrs.parking_minor) AS parking_minor,
       coalesce(correction.gst_minor, cdrs.gst_minor) AS gst_minor,
       coalesce(correction.total_minor, cdrs.total_minor) AS total_minor,
       coalesce(correction.flat_minor, cdrs.flat_minor) AS flat_minor,
       coalesce(correction.adjustment_minor, cdrs.adjustment_minor) AS adjustment_minor,
       coalesce(correction.lines, cdrs.lines) AS lines,
       coalesce(correction.periods, cdrs.periods) AS periods,
       coalesce(correction.is_estimated, cdrs.is_estimated) AS is_estimated,
       coalesce(correction.has_meter_reset, cdrs.has_meter_reset) AS has_meter_reset,
       correction.session_id IS NOT NULL AS is_corrected
FROM cdrs LEFT JOIN cdr_corrections AS correction ON correction.session_id = cdrs.session_id;
