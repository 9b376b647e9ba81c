-- A run: one training, from the accepted request to its recorded end.
CREATE TABLE jobs (
    id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    job_id          text NOT NULL UNIQUE,          -- the caller's own name for it
    request_sha256  text NOT NULL,                 -- tells a repeated request from another one of the same name
    dataset_url     text NOT NULL,
    callback_url    text,
    callback_token  text,
    base_model      text NOT NULL,
    model_name      text,
    config          jsonb NOT NULL,                -- as the caller sent it
    args            jsonb NOT NULL,                -- as Ultralytics gets it
    state           text NOT NULL DEFAULT 'queued' CHECK (state IN (
        'queued', 'preparing', 'training', 'finishing', 'interrupted', 'cancelling',
        'completed', 'failed', 'cancelled')),
    attempt         integer NOT NULL DEFAULT 0,    -- the fencing token: every write of a worker names it
    worker          text,                          -- who holds the lease; null when nobody does
    heartbeat_at    timestamptz,
    rung_at         timestamptz,                   -- when Redis was last told
    losses          integer NOT NULL DEFAULT 0,    -- workers lost since the last finished epoch
    events_offset   bigint NOT NULL DEFAULT 0,     -- bytes of the trainer's events.jsonl already stored
    event_seq       bigint NOT NULL DEFAULT 0,
    epoch           integer NOT NULL DEFAULT 0,    -- finished epochs
    epochs          integer NOT NULL,
    progress        jsonb NOT NULL DEFAULT '{}',   -- the newest stage or batch; overwritten
    metrics         jsonb,
    dataset         jsonb,
    versions        jsonb,
    error_code      text,
    error_message   text,
    created_at      timestamptz NOT NULL DEFAULT now(),
    started_at      timestamptz,
    finished_at     timestamptz,
    CHECK ((state IN ('completed', 'failed', 'cancelled')) = (finished_at IS NOT NULL))
);
CREATE INDEX jobs_open ON jobs (state) WHERE state NOT IN ('completed', 'failed', 'cancelled');
CREATE INDEX jobs_by_state ON jobs (state, id DESC);

-- What happened, append-only.
CREATE TABLE job_events (
    job     bigint NOT NULL REFERENCES jobs ON DELETE CASCADE,
    seq     bigint NOT NULL,
    at      timestamptz NOT NULL DEFAULT now(),
    type    text NOT NULL,
    data    jsonb NOT NULL,
    PRIMARY KEY (job, seq)
);
-- An epoch that is redone after a crash is reported again by the trainer; it is kept once.
CREATE UNIQUE INDEX job_events_epoch ON job_events (job, ((data ->> 'epoch')::integer)) WHERE type = 'epoch';

-- The outbox of callbacks: written in the transaction that makes them true, sent afterwards.
CREATE TABLE deliveries (
    id            uuid PRIMARY KEY DEFAULT gen_random_uuid(),  -- the webhook-id, the same at each try
    seq           bigint GENERATED ALWAYS AS IDENTITY,
    job           bigint NOT NULL REFERENCES jobs ON DELETE CASCADE,
    type          text NOT NULL,
    data          jsonb NOT NULL,
    state         text NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'delivered', 'superseded', 'failed')),
    attempts      integer NOT NULL DEFAULT 0,
    next_at       timestamptz NOT NULL DEFAULT now(),
    claimed_until timestamptz,
    last_error    text,
    created_at    timestamptz NOT NULL DEFAULT now(),
    delivered_at  timestamptz
);
CREATE INDEX deliveries_pending ON deliveries (job, seq) WHERE state = 'pending';
CREATE INDEX deliveries_by_job ON deliveries (job, seq);
CREATE INDEX deliveries_failed ON deliveries (seq) WHERE state = 'failed';

CREATE TABLE artifacts (
    job           bigint NOT NULL REFERENCES jobs ON DELETE CASCADE,
    name          text NOT NULL,
    path          text NOT NULL,       -- below the run's folder
    size          bigint NOT NULL,     -- bytes
    sha256        text NOT NULL,
    content_type  text NOT NULL,
    PRIMARY KEY (job, name)
);

CREATE TABLE api_tokens (
    id          text PRIMARY KEY,      -- the public half of the token
    name        text NOT NULL,
    hash        text NOT NULL,         -- SHA-256 of the secret half, which has 256 random bits
    created_at  timestamptz NOT NULL DEFAULT now(),
    used_at     timestamptz,
    revoked_at  timestamptz
);

CREATE TABLE sessions (
    hash        text PRIMARY KEY,      -- SHA-256 of the cookie
    token       text NOT NULL REFERENCES api_tokens ON DELETE CASCADE,
    csrf        text NOT NULL,
    expires_at  timestamptz NOT NULL
);
