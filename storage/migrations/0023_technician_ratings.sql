-- A mean over many ratings must not be rounded each time that one is added. `ratings` counts what was entered, too.
ALTER TABLE technicians
    ADD COLUMN rating_sum numeric(12, 1);               -- of the `ratings`; NULL while `rating` was entered
