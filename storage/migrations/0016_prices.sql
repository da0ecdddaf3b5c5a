-- Prices of the EV-CMS family in what sessions are rated by and what they came to.

-- By which tariff a session is rated: that of its start, however prices change while it lasts.
ALTER TABLE sessions ADD COLUMN tariff_id bigint REFERENCES tariffs (id);

ALTER TABLE cdrs
    ADD COLUMN peak_minor bigint NOT NULL DEFAULT 0,          -- what peak hours add to the energy's price
    ADD COLUMN discount_minor bigint NOT NULL DEFAULT 0 CHECK (discount_minor >= 0),  -- taken off
    ADD COLUMN platform_fee_minor bigint NOT NULL DEFAULT 0,
    DROP CONSTRAINT cdrs_sum,
    ADD CONSTRAINT cdrs_sum CHECK (
        total_minor = energy_minor + time_minor + parking_minor + peak_minor + flat_minor + adjustment_minor
                      - discount_minor + platform_fee_minor + gst_minor);

ALTER TABLE cdr_corrections
    ADD COLUMN peak_minor bigint NOT NULL DEFAULT 0,
    ADD COLUMN discount_minor bigint NOT NULL DEFAULT 0 CHECK (discount_minor >= 0),
    ADD COLUMN platform_fee_minor bigint NOT NULL DEFAULT 0,
    DROP CONSTRAINT cdr_corrections_check,
    ADD CONSTRAINT cdr_corrections_sum CHECK (
        total_minor = energy_minor + time_minor + parking_minor + peak_minor + flat_minor + adjustment_minor
                      - discount_minor + platform_fee_minor + gst_minor);

CREATE OR REPLACE VIEW latest_cdrs AS
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
       correction.session_id IS NOT NULL AS is_corrected,
       coalesce(correction.peak_minor, cdrs.peak_minor) AS peak_minor,
       coalesce(correction.discount_minor, cdrs.discount_minor) AS discount_minor,
       coalesce(correction.platform_fee_minor, cdrs.platform_fee_minor) AS platform_fee_minor
FROM cdrs LEFT JOIN cdr_corrections AS correction ON correction.session_id = cdrs.session_id;
