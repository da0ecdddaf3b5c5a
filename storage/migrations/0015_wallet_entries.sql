-- What a user's wallet has seen, in one table that is read by pages: movements, open holds, and top-ups that wait for
-- their payment or failed. It follows from `transfers` and `top_ups` by triggers, so nobody writes to it.
-- Ids are those of transfers: a hold keeps its own when it is posted, a top-up has one from the beginning.
CREATE TABLE wallet_entries (
    id            bigint NOT NULL,
    direction     text NOT NULL CHECK (direction IN ('credit', 'debit')),
    user_id       bigint NOT NULL REFERENCES users (id),
    status        text NOT NULL CHECK (status IN ('completed', 'pending', 'failed')),
    amount_minor  bigint NOT NULL,
    balance_minor bigint NOT NULL,                      -- of the wallet after it
    description   text NOT NULL,
    session_id    bigint,
    transfer_id   bigint,                               -- what completed it
    awaited_key   text UNIQUE,                          -- key of the transfer that will complete it
    created_at    timestamptz NOT NULL,
    PRIMARY KEY (id, direction) INCLUDE (status)
);
-- With all that a page is chosen by: the rows before it are walked in the index alone.
CREATE INDEX wallet_entries_user ON wallet_entries (user_id, id, direction) INCLUDE (status);
CREATE INDEX wallet_entries_user_direction ON wallet_entries (user_id, direction, id) INCLUDE (status);
CREATE INDEX wallet_entries_direction ON wallet_entries (direction, id) INCLUDE (status);
CREATE INDEX wallet_entries_open ON wallet_entries (status, id DESC) WHERE status <> 'completed';
CREATE INDEX wallet_entries_user_open ON wallet_entries (user_id, status, id DESC) WHERE status <> 'completed';

-- How many there are, so that no page has to count them.
CREATE TABLE wallet_entry_counts (
    user_id   bigint NOT NULL REFERENCES users (id),
    direction text NOT NULL,
    status    text NOT NULL,
    entries   bigint NOT NULL CHECK (entries >= 0),
    PRIMARY KEY (user_id, direction, status)
) WITH (fillfactor = 50);

INSERT INTO wallet_entries
SELECT moved.id, side.direction, accounts.owner_id, CASE WHEN final.state = 'pending' THEN 'pending' ELSE 'completed' END,
       final.amount_minor,
       CASE side.direction WHEN 'debit' THEN final.debit_balance_minor ELSE final.credit_balance_minor END,
       final.description, final.session_id, CASE WHEN final.state <> 'pending' THEN final.id END, NULL, moved.created_at
FROM transfers AS moved
LEFT JOIN transfers AS closing ON closing.pending_id = moved.id
JOIN transfers AS final ON final.id = coalesce(closing.id, moved.id)
CROSS JOIN LATERAL (VALUES ('debit', moved.debit_account_id), ('credit', moved.credit_account_id)) AS side (direction, account_id)
JOIN accounts ON accounts.id = side.account_id AND accounts.kind = 'wallet' AND accounts.owner_id IS NOT NULL
WHERE moved.pending_id IS NULL AND final.state <> 'void_pending';

INSERT INTO wallet_entry_counts
SELECT user_id, direction, status, count(*) FROM wallet_entries GROUP BY user_id, direction, status;

CREATE FUNCTION count_wallet_entry() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP <> 'INSERT' THEN
        UPDATE wallet_entry_counts SET entries = entries - 1
        WHERE user_id = OLD.user_id AND direction = OLD.direction AND status = OLD.status;
    END IF;
    IF TG_OP <> 'DELETE' THEN
        INSERT INTO wallet_entry_counts AS counts VALUES (NEW.user_id, NEW.direction, NEW.status, 1)
        ON CONFLICT (user_id, direction, status) DO UPDATE SET entries = counts.entries + 1;
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER wallet_entries_counted AFTER INSERT OR DELETE ON wallet_entries
    FOR EACH ROW EXECUTE FUNCTION count_wallet_entry();
CREATE TRIGGER wallet_entries_recounted AFTER UPDATE OF status ON wallet_entries
    FOR EACH ROW WHEN (OLD.status <> NEW.status) EXECUTE FUNCTION count_wallet_entry();

CREATE FUNCTION enter_transfer() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.state = 'void_pending' THEN
        DELETE FROM wallet_entries WHERE id = NEW.pending_id;
    ELSIF NEW.state = 'post_pending' THEN
        UPDATE wallet_entries
        SET status = 'completed', amount_minor = NEW.amount_minor, description = NEW.description, transfer_id = NEW.id,
            balance_minor = CASE direction WHEN 'debit' THEN NEW.debit_balance_minor ELSE NEW.credit_balance_minor END
        WHERE id = NEW.pending_id;
    ELSE
        UPDATE wallet_entries
        SET status = 'completed', balance_minor = NEW.credit_balance_minor, transfer_id = NEW.id
        WHERE awaited_key = NEW.key;
        IF NOT FOUND THEN
            INSERT INTO wallet_entries (id, direction, user_id, status, amount_minor, balance_minor, description,
                                        session_id, transfer_id, created_at)
            SELECT NEW.id, side.direction, owner_id, CASE NEW.state WHEN 'pending' THEN 'pending' ELSE 'completed' END,
                   NEW.amount_minor, side.balance_minor, NEW.description, NEW.session_id,
                   CASE WHEN NEW.state <> 'pending' THEN NEW.id END, NEW.created_at
            FROM (VALUES ('debit', NEW.debit_account_id, NEW.debit_balance_minor),
                         ('credit', NEW.credit_account_id, NEW.credit_balance_minor))
                 AS side (direction, account_id, balance_minor)
            JOIN accounts ON accounts.id = side.account_id
            WHERE kind = 'wallet' AND owner_id IS NOT NULL;
        END IF;
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER transfers_entered AFTER INSERT ON transfers FOR EACH ROW EXECUTE FUNCTION enter_transfer();

CREATE FUNCTION enter_top_up() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO wallet_entries (id, direction, user_id, status, amount_minor, balance_minor, description, awaited_key,
                                created_at)
    SELECT nextval(pg_get_serial_sequence('transfers', 'id')), 'credit', NEW.user_id, 'pending', NEW.amount_minor,
           coalesce((SELECT balance_minor FROM accounts
                     WHERE kind = 'wallet' AND owner_id = NEW.user_id AND currency = NEW.currency), 0),
           'Wallet top-up (' || NEW.payment_method || ')', 'top-up:' || NEW.id, NEW.created_at;
    RETURN NULL;
END $$;
CREATE TRIGGER top_ups_entered AFTER INSERT ON top_ups
    FOR EACH ROW WHEN (NEW.unit_id IS NULL) EXECUTE FUNCTION enter_top_up();

-- Paid is not said here: the transfer says it.
CREATE FUNCTION follow_top_up() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE wallet_entries SET status = CASE NEW.state WHEN 'created' THEN 'pending' ELSE 'failed' END
    WHERE awaited_key = 'top-up:' || NEW.id;
    RETURN NULL;
END $$;
CREATE TRIGGER top_ups_followed AFTER UPDATE OF state ON top_ups
    FOR EACH ROW WHEN (NEW.unit_id IS NULL AND NEW.state <> 'paid' AND OLD.state <> NEW.state)
    EXECUTE FUNCTION follow_top_up();

ALTER TABLE top_ups ADD CHECK (unit_id IS NOT NULL OR payment_method IS NOT NULL);
CREATE INDEX top_ups_waiting ON top_ups (created_at) WHERE state = 'created' AND unit_id IS NULL;

-- An admin reads refunds of all states by id, a user one state of his own.
CREATE INDEX refunds_user_status ON refunds (user_id, status, id DESC);
