-- A session whose record is corrected after its invoice was made gets a new invoice; the old one is cancelled.
ALTER TABLE invoices DROP CONSTRAINT invoices_session_id_key;
CREATE UNIQUE INDEX invoices_session ON invoices (session_id) WHERE NOT is_cancelled;
