-- The day from which a battery may be disabled, as its consumer was told: terms that become stricter later must not
-- break that word.
ALTER TABLE battery_locks ADD COLUMN disable_on date;   -- NULL: noticed before this was kept
