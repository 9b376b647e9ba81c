-- name: put
INSERT INTO deliveries (job, type, data) VALUES (%(job)s, %(type)s, %(data)s) RETURNING id

-- name: supersede
-- Newer progress replaces older progress that waits for a receiver and that nobody is sending now.
UPDATE deliveries SET state = 'superseded'
WHERE job = %(job)s AND type = %(type)s AND state = 'pending'
  AND (claimed_until IS NULL OR claimed_until < now())
  -- A message this old was not received at once: the receiver is slow or down.
  AND (attempts > 0 OR created_at < now() - interval '5 seconds')

-- name: claim
-- The first undelivered message of each run, so that a run's messages arrive in order.
UPDATE deliveries SET claimed_until = now() + make_interval(secs => %(lease_s)s), attempts = attempts + 1
WHERE id = (
    SELECT d.id FROM deliveries d
    WHERE d.state = 'pending' AND d.next_at <= now() AND (d.claimed_until IS NULL OR d.claimed_until < now())
      AND NOT EXISTS (SELECT FROM deliveries e WHERE e.job = d.job AND e.state = 'pending' AND e.seq < d.seq)
    ORDER BY d.next_at, d.seq
    LIMIT 1
    FOR UPDATE SKIP LOCKED
)
RETURNING id, job, type, data, attempts, created_at

-- name: delivered
UPDATE deliveries SET state = 'delivered', delivered_at = now(), claimed_until = NULL, last_error = NULL
WHERE id = %(id)s AND attempts = %(attempts)s AND state = 'pending'

-- name: retry
UPDATE deliveries
SET next_at = now() + make_interval(secs => %(after_s)s), claimed_until = NULL, last_error = %(error)s
WHERE id = %(id)s AND attempts = %(attempts)s AND state = 'pending'

-- name: give_up
UPDATE deliveries SET state = 'failed', claimed_until = NULL, last_error = %(error)s
WHERE id = %(id)s AND attempts = %(attempts)s AND state = 'pending'

-- name: replay
UPDATE deliveries SET state = 'pending', attempts = 0, next_at = now(), claimed_until = NULL
WHERE id = %(id)s AND state IN ('failed', 'delivered')
RETURNING id

-- name: exists
SELECT state FROM deliveries WHERE id = %(id)s

-- name: list
SELECT id, seq, job, type, state, attempts, next_at, last_error, created_at, delivered_at
FROM deliveries
WHERE (%(job)s::bigint IS NULL OR job = %(job)s) AND (%(state)s::text IS NULL OR state = %(state)s)
  AND (%(before)s::bigint IS NULL OR seq < %(before)s)
ORDER BY seq DESC
LIMIT %(limit)s
