-- The history of a battery reads all warranties of a serial and all claims of a warranty, ended ones too.
CREATE INDEX warranties_serial_history ON warranties (serial_id, id);
CREATE INDEX warranty_claims_warranty ON warranty_claims (warranty_id, id);
