-- Commands that came to nothing, for the job that sends those of a wallet again.
CREATE INDEX device_commands_undone ON device_commands (done_at) WHERE state IN ('failed', 'expired');
