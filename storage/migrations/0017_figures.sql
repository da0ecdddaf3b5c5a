-- Figures of sessions: sums by charger and day that the database itself keeps in step, and the indexes of lists.

-- The platform's own day; `stream/figures/days.py` has the same zone.
CREATE FUNCTION platform_day(at timestamptz) RETURNS date LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN (at AT TIME ZONE 'Asia/Kolkata')::date;

-- A zone that the server does not know would stop every session of the station.
ALTER TABLE stations ADD CONSTRAINT stations_time_zone
    CHECK (timestamptz '2000-01-01 00:00Z' AT TIME ZONE time_zone IS NOT NULL);

-- A session counts on the day on which it started: the platform's (`day`) and that of its station (`local_day`).
-- Energy, time and money are those of latest records; money in INR only, with GST in the total.
CREATE TABLE session_days (
    device_id   integer NOT NULL,
    day         date NOT NULL,
    local_day   date NOT NULL,
    sessions    integer NOT NULL,
    completed   integer NOT NULL,
    failed      integer NOT NULL,
    rated       integer NOT NULL,
    energy_wh   bigint NOT NULL,
    duration_s  bigint NOT NULL,
    gst_minor   bigint NOT NULL,
    platform_fee_minor bigint NOT NULL,
    total_minor bigint NOT NULL,
    PRIMARY KEY (device_id, day, local_day)
) WITH (fillfactor = 70);
CREATE INDEX session_days_day ON session_days (day, device_id);

-- The same by month of the platform: what whole months and pages far down a list are read from.
CREATE TABLE session_months (
    device_id   integer NOT NULL,
    month       date NOT NULL,
    sessions    integer NOT NULL,
    completed   integer NOT NULL,
    failed      integer NOT NULL,
    rated       integer NOT NULL,
    energy_wh   bigint NOT NULL,
    duration_s  bigint NOT NULL,
    gst_minor   bigint NOT NULL,
    platform_fee_minor bigint NOT NULL,
    total_minor bigint NOT NULL,
    PRIMARY KEY (device_id, month)
) WITH (fillfactor = 70);

-- What one session adds, or (negative) takes away.
CREATE TYPE session_change AS (
    device_id integer, started_at timestamptz, sessions integer, completed integer, failed integer, rated integer,
    energy_wh bigint, duration_s bigint, gst_minor bigint, platform_fee_minor bigint, total_minor bigint
);

-- What each session adds as things stand.
CREATE VIEW counted_sessions AS
SELECT sessions.id, device_id, started_at, 1 AS sessions, (status = 'completed')::integer AS completed,
       (status = 'failed')::integer AS failed, (cdrs.session_id IS NOT NULL)::integer AS rated,
       coalesce(energy_wh, 0) AS energy_wh, coalesce(duration_s, 0) AS duration_s,
       CASE WHEN currency = 'INR' THEN gst_minor ELSE 0 END AS gst_minor,
       CASE WHEN currency = 'INR' THEN platform_fee_minor ELSE 0 END AS platform_fee_minor,
       CASE WHEN currency = 'INR' THEN total_minor ELSE 0 END AS total_minor
FROM sessions LEFT JOIN latest_cdrs AS cdrs ON cdrs.session_id = sessions.id;

-- Rows are locked in one order, so that two statements at the same time cannot deadlock. The advisory lock keeps
-- a charger's sessions from changing while its days are counted anew (`recount_session_days`).
CREATE FUNCTION add_to_session_days(changes session_change[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock_shared(hashtext('session_days'), device_id)
    FROM (SELECT DISTINCT device_id FROM unnest(changes) ORDER BY device_id) AS touched;
    INSERT INTO session_days AS known
    SELECT change.device_id, platform_day(started_at),
           (started_at AT TIME ZONE coalesce(time_zone, 'Asia/Kolkata'))::date AS local_day,
           sum(sessions), sum(completed), sum(failed), sum(rated), sum(energy_wh), sum(duration_s), sum(gst_minor),
           sum(platform_fee_minor), sum(total_minor)
    FROM unnest(changes) AS change
    LEFT JOIN chargers ON chargers.device_id = change.device_id
    LEFT JOIN stations ON stations.id = station_id
    GROUP BY change.device_id, platform_day(started_at), local_day
    ORDER BY 1, 2, 3
    ON CONFLICT (device_id, day, local_day) DO UPDATE
    SET sessions = known.sessions + excluded.sessions, completed = known.completed + excluded.completed,
        failed = known.failed + excluded.failed, rated = known.rated + excluded.rated,
        energy_wh = known.energy_wh + excluded.energy_wh, duration_s = known.duration_s + excluded.duration_s,
        gst_minor = known.gst_minor + excluded.gst_minor,
        platform_fee_minor = known.platform_fee_minor + excluded.platform_fee_minor, total_minor = known.total_minor + excluded.total_minor;
    INSERT INTO session_months AS known
    SELECT device_id, date_trunc('month', platform_day(started_at))::date AS month, sum(sessions), sum(completed),
           sum(failed), sum(rated), sum(energy_wh), sum(duration_s), sum(gst_minor), sum(platform_fee_minor),
           sum(total_minor)
    FROM unnest(changes)
    GROUP BY device_id, month
    ORDER BY 1, 2
    ON CONFLICT (device_id, month) DO UPDATE
    SET sessions = known.sessions + excluded.sessions, completed = known.completed + excluded.completed,
        failed = known.failed + excluded.failed, rated = known.rated + excluded.rated,
        energy_wh = known.energy_wh + excluded.energy_wh, duration_s = known.duration_s + excluded.duration_s,
        gst_minor = known.gst_minor + excluded.gst_minor,
        platform_fee_minor = known.platform_fee_minor + excluded.platform_fee_minor, total_minor = known.total_minor + excluded.total_minor;
END $$;

CREATE FUNCTION count_new_sessions() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM add_to_session_days(array_agg(ROW(
        device_id, started_at, 1, (status = 'completed')::integer, (status = 'failed')::integer, 0, 0, 0, 0, 0, 0
        )::session_change))
    FROM added HAVING count(*) > 0;
    RETURN NULL;
END $$;
CREATE TRIGGER sessions_counted AFTER INSERT ON sessions REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION count_new_sessions();

-- A session that starts at another time than was told takes its record with it.
CREATE FUNCTION count_changed_session() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    now_counted session_change;
    was_counted session_change;
BEGIN
    SELECT device_id, started_at, sessions, completed, failed, rated, energy_wh, duration_s, gst_minor,
           platform_fee_minor, total_minor
    INTO now_counted FROM counted_sessions WHERE id = NEW.id;
    was_counted := ROW(
        OLD.device_id, OLD.started_at, -1, -(OLD.status = 'completed')::integer, -(OLD.status = 'failed')::integer,
        -now_counted.rated, -now_counted.energy_wh, -now_counted.duration_s, -now_counted.gst_minor,
        -now_counted.platform_fee_minor, -now_counted.total_minor);
    PERFORM add_to_session_days(ARRAY[was_counted, now_counted]);
    RETURN NULL;
END $$;
CREATE TRIGGER sessions_changed AFTER UPDATE ON sessions FOR EACH ROW
    WHEN (OLD.status IS DISTINCT FROM NEW.status OR OLD.started_at IS DISTINCT FROM NEW.started_at
          OR OLD.device_id IS DISTINCT FROM NEW.device_id)
    EXECUTE FUNCTION count_changed_session();

-- Only a session without a record can be deleted.
CREATE FUNCTION count_deleted_session() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM add_to_session_days(ARRAY[ROW(
        OLD.device_id, OLD.started_at, -1, -(OLD.status = 'completed')::integer, -(OLD.status = 'failed')::integer,
        0, 0, 0, 0, 0, 0)::session_change]);
    RETURN NULL;
END $$;
CREATE TRIGGER sessions_deleted AFTER DELETE ON sessions FOR EACH ROW EXECUTE FUNCTION count_deleted_session();

CREATE FUNCTION count_new_cdrs() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM add_to_session_days(array_agg(ROW(
        device_id, started_at, 0, 0, 0, 1, energy_wh, duration_s,
        CASE WHEN currency = 'INR' THEN gst_minor ELSE 0 END,
        CASE WHEN currency = 'INR' THEN platform_fee_minor ELSE 0 END,
        CASE WHEN currency = 'INR' THEN total_minor ELSE 0 END
        )::session_change))
    FROM added JOIN sessions ON sessions.id = session_id HAVING count(*) > 0;
    RETURN NULL;
END $$;
CREATE TRIGGER cdrs_counted AFTER INSERT ON cdrs REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION count_new_cdrs();

CREATE FUNCTION count_new_corrections() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM add_to_session_days(array_agg(ROW(
        device_id, started_at, 0, 0, 0, 0, added.energy_wh - cdrs.energy_wh, added.duration_s - cdrs.duration_s,
        CASE WHEN currency = 'INR' THEN added.gst_minor - cdrs.gst_minor ELSE 0 END,
        CASE WHEN currency = 'INR' THEN added.platform_fee_minor - cdrs.platform_fee_minor ELSE 0 END,
        CASE WHEN currency = 'INR' THEN added.total_minor - cdrs.total_minor ELSE 0 END
        )::session_change))
    FROM added JOIN cdrs USING (session_id) JOIN sessions ON sessions.id = session_id HAVING count(*) > 0;
    RETURN NULL;
END $$;
CREATE TRIGGER cdr_corrections_counted AFTER INSERT ON cdr_corrections REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION count_new_corrections();

-- Counts a charger's days from its sessions: at first, and where its time zone became another.
CREATE FUNCTION recount_session_days(charger integer) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('session_days'), charger);
    DELETE FROM session_days WHERE device_id = charger;
    DELETE FROM session_months WHERE device_id = charger;
    PERFORM add_to_session_days(array_agg(ROW(
        device_id, started_at, sessions, completed, failed, rated, energy_wh, duration_s, gst_minor,
        platform_fee_minor, total_minor)::session_change))
    FROM counted_sessions WHERE device_id = charger HAVING count(*) > 0;
END $$;

CREATE FUNCTION recount_moved_charger() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (SELECT time_zone FROM stations WHERE id = OLD.station_id)
       IS DISTINCT FROM (SELECT time_zone FROM stations WHERE id = NEW.station_id) THEN
        PERFORM recount_session_days(NEW.device_id);
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER chargers_recounted AFTER UPDATE OF station_id ON chargers FOR EACH ROW
    WHEN (OLD.station_id IS DISTINCT FROM NEW.station_id) EXECUTE FUNCTION recount_moved_charger();

CREATE FUNCTION recount_station() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM recount_session_days(device_id)
    FROM (SELECT device_id FROM chargers WHERE station_id = NEW.id ORDER BY device_id) AS placed;
    RETURN NULL;
END $$;
CREATE TRIGGER stations_recounted AFTER UPDATE OF time_zone ON stations FOR EACH ROW
    WHEN (OLD.time_zone IS DISTINCT FROM NEW.time_zone) EXECUTE FUNCTION recount_station();

-- Sessions from before this migration.
DO $$
BEGIN
    PERFORM recount_session_days(device_id)
    FROM (SELECT DISTINCT device_id FROM sessions ORDER BY device_id) AS used;
END $$;

-- Lists are in order of the start; `storage/queries/session_pages.py` goes to a page by its day.
CREATE INDEX sessions_started_at ON sessions (started_at DESC, id DESC);
CREATE INDEX sessions_user_started ON sessions (user_id, started_at DESC, id DESC);
CREATE INDEX sessions_device_started ON sessions (device_id, started_at DESC, id DESC);
CREATE INDEX sessions_status_started ON sessions (status, started_at DESC, id DESC);

-- Which sessions a connector had within a span of time (`storage/queries/utilisation.py`).
CREATE INDEX sessions_span ON sessions USING gist (
    device_id,
    tstzrange(started_at, CASE WHEN ended_at < started_at THEN started_at ELSE ended_at END));

-- What was moved, billed, paid back and who came within a span of time.
CREATE INDEX transfers_created ON transfers (created_at);
CREATE INDEX invoices_created ON invoices (created_at);
CREATE INDEX refunds_processed ON refunds (processed_at) WHERE status = 'approved';
CREATE INDEX users_evcms_created ON users (created_at) WHERE system = 'evcms' AND deleted_at IS NULL;
