-- Battery health by month, kept in step by the database: trends of a fleet are read from a row a month and battery
-- and not from a row a day. `score_sum` / `scores` is the mean of the month's daily scores.
CREATE TABLE battery_health_months (
    battery_id bigint NOT NULL REFERENCES batteries (id),
    month      date NOT NULL,
    scores     smallint NOT NULL,                       -- days with a score
    score_sum  numeric(6, 1) NOT NULL,
    PRIMARY KEY (battery_id, month)
);

-- Counted anew from the month's days, so that whatever changed in them counts. Rows are never deleted.
CREATE FUNCTION count_battery_months() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO battery_health_months (battery_id, month, scores, score_sum)
    SELECT touched.battery_id, touched.month, count(health_score), coalesce(sum(health_score), 0)
    FROM (SELECT DISTINCT battery_id, date_trunc('month', day::timestamp)::date AS month FROM changed) AS touched
    JOIN battery_health AS health ON health.battery_id = touched.battery_id
     AND day >= touched.month AND day < touched.month + interval '1 month'
    GROUP BY touched.battery_id, touched.month
    ORDER BY touched.battery_id, touched.month
    ON CONFLICT (battery_id, month) DO UPDATE SET scores = excluded.scores, score_sum = excluded.score_sum;
    RETURN NULL;
END $$;
CREATE TRIGGER battery_health_inserted AFTER INSERT ON battery_health
    REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION count_battery_months();
CREATE TRIGGER battery_health_updated AFTER UPDATE ON battery_health
    REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION count_battery_months();

INSERT INTO battery_health_months (battery_id, month, scores, score_sum)
SELECT battery_id, date_trunc('month', day::timestamp)::date, count(health_score), coalesce(sum(health_score), 0)
FROM battery_health GROUP BY 1, 2;
