-- OCPP security: profiles, passwords under way, certificates.
-- OCPP 1.6 security whitepaper edition 3; OCPP 2.0.1 part 2, blocks A and M.

-- The least that a charger must do to connect. No row: profile 0, or 1 where it has a password.
CREATE TABLE charger_security (
    device_id         integer PRIMARY KEY REFERENCES chargers (device_id),
    profile           smallint NOT NULL DEFAULT 0 CHECK (profile BETWEEN 0 AND 3),
    may_upgrade       boolean NOT NULL DEFAULT false,   -- a connection above the profile raises it
    aliases           text[] NOT NULL DEFAULT '{}',     -- lower case: other user names and certificate names
    seen_profile      smallint CHECK (seen_profile BETWEEN 0 AND 3),
    seen_at           timestamptz,                      -- when a connection last differed from the one before
    certificate_until timestamptz,                      -- end of the client certificate that it last showed
    renewal_asked_at  timestamptz
);
CREATE INDEX charger_security_until ON charger_security (certificate_until) WHERE certificate_until IS NOT NULL;

-- Passwords that were sent to a charger and not used yet: each is accepted beside devices.secret_hash, and the
-- first that the charger connects with takes its place.
CREATE TABLE charger_passwords (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    device_id   integer NOT NULL REFERENCES chargers (device_id),
    secret_hash text NOT NULL,
    created_at  timestamptz NOT NULL
);
CREATE INDEX charger_passwords_device ON charger_passwords (device_id);

-- One row a SignCertificate. `signed`: on its way to the charger; `rejected`: not signed, `reason` says why.
CREATE TABLE charger_certificates (
    id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    device_id     integer NOT NULL REFERENCES chargers (device_id),
    kind          text NOT NULL,                        -- OCPP 2.x CertificateSigningUse
    request_id    integer,                              -- OCPP 2.1
    csr_pem       text NOT NULL,
    state         text NOT NULL CHECK (state IN ('rejected', 'signed', 'accepted', 'refused', 'failed')),
    reason        text,
    chain_pem     text,
    serial_number text,                                 -- lower-case hexadecimal
    not_after     timestamptz,
    attempts      integer NOT NULL DEFAULT 0,           -- of CertificateSigned
    due_at        timestamptz,
    requested_at  timestamptz NOT NULL,
    answered_at   timestamptz,
    CHECK ((state = 'rejected') = (chain_pem IS NULL))
);
CREATE INDEX charger_certificates_device ON charger_certificates (device_id, id DESC);
CREATE INDEX charger_certificates_due ON charger_certificates (due_at) WHERE state = 'signed';

-- What a charger has installed, as far as it told: roots by InstallCertificate, all by GetInstalledCertificateIds.
CREATE TABLE installed_certificates (
    device_id       integer NOT NULL REFERENCES chargers (device_id),
    kind            text NOT NULL,                      -- OCPP InstallCertificateUse or GetCertificateIdUse
    hash_algorithm  text NOT NULL,
    issuer_name_hash text NOT NULL,
    issuer_key_hash text NOT NULL,
    serial_number   text NOT NULL,                      -- lower-case hexadecimal without leading zeros
    certificate_pem text,                               -- where we installed it
    stored_at       timestamptz NOT NULL,
    PRIMARY KEY (device_id, kind, hash_algorithm, issuer_name_hash, issuer_key_hash, serial_number)
);
