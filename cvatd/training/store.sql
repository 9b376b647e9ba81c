-- name: insert
INSERT INTO jobs (job_id, request_sha256, dataset_url, callback_url, callback_token, base_model, model_name,
                  config, args, epochs, rung_at)
VALUES (%(job_id)s, %(request_sha256)s, %(dataset_url)s, %(callback_url)s, %(callback_token)s, %(base_model)s,
        %(model_name)s, %(config)s, %(args)s, %(epochs)s, now())
ON CONFLICT (job_id) DO NOTHING
RETURNING *

-- name: get
SELECT * FROM jobs WHERE id = %(id)s

-- name: get_for_update
SELECT * FROM jobs WHERE id = %(id)s FOR UPDATE

-- name: by_job_id
SELECT * FROM jobs WHERE job_id = %(job_id)s

-- name: list
SELECT * FROM jobs
WHERE (%(before)s::bigint IS NULL OR id < %(before)s)
  AND (%(state)s::text IS NULL OR state = %(state)s)
  AND (%(query)s::text IS NULL OR strpos(lower(job_id || ' ' || coalesce(model_name, '') || ' ' || base_model),
                                         lower(%(query)s)) > 0)
ORDER BY id DESC
LIMIT %(limit)s

-- name: counts
SELECT state, count(*) AS runs FROM jobs GROUP BY state

-- name: claim
UPDATE jobs
SET state = CASE state WHEN 'cancelling' THEN 'cancelling' ELSE 'preparing' END,
    attempt = attempt + 1, worker = %(worker)s, heartbeat_at = now(), started_at = coalesce(started_at, now())
WHERE id = %(id)s AND worker IS NULL AND state = ANY(%(from)s)
RETURNING *

-- name: heartbeat
UPDATE jobs SET heartbeat_at = now()
WHERE id = %(id)s AND attempt = %(attempt)s AND worker IS NOT NULL
RETURNING state

-- name: move
-- A step of the worker that holds the lease: nothing happens for one that has lost it.
UPDATE jobs SET state = %(to)s
WHERE id = %(id)s AND attempt = %(attempt)s AND worker IS NOT NULL AND state = ANY(%(from)s)
RETURNING *

-- name: end
UPDATE jobs
SET state = %(to)s, worker = NULL, heartbeat_at = NULL, finished_at = now(), error_code = %(code)s,
    error_message = %(message)s, metrics = coalesce(%(metrics)s, metrics), progress = '{}'
WHERE id = %(id)s AND attempt = %(attempt)s AND worker IS NOT NULL AND state = ANY(%(from)s)
RETURNING *

-- name: release
-- The lease ends without an end of the run: by a worker that stops, or by the reconciler for one that is gone.
UPDATE jobs
SET state = %(to)s, worker = NULL, heartbeat_at = NULL, rung_at = NULL, losses = losses + %(losses)s
WHERE id = %(id)s AND attempt = %(attempt)s AND worker IS NOT NULL AND state = %(state)s
RETURNING *

-- name: give_up
UPDATE jobs
SET state = 'failed', worker = NULL, heartbeat_at = NULL, finished_at = now(), error_code = %(code)s,
    error_message = %(message)s, progress = '{}'
WHERE id = %(id)s AND attempt = %(attempt)s AND state = %(state)s
RETURNING *

-- name: cancel
UPDATE jobs
SET state = %(to)s, finished_at = CASE %(to)s WHEN 'cancelled' THEN now() END
WHERE id = %(id)s AND state = %(state)s
RETURNING *

-- name: resume
UPDATE jobs
SET state = 'queued', finished_at = NULL, error_code = NULL, error_message = NULL, losses = 0, rung_at = now()
WHERE id = %(id)s AND state = %(state)s
RETURNING *

-- name: set_progress
UPDATE jobs SET progress = %(progress)s
WHERE id = %(id)s AND attempt = %(attempt)s AND worker IS NOT NULL
RETURNING id

-- name: set_dataset
UPDATE jobs SET dataset = %(dataset)s
WHERE id = %(id)s AND attempt = %(attempt)s AND worker IS NOT NULL
RETURNING id

-- name: set_started
UPDATE jobs SET versions = %(versions)s, epochs = %(epochs)s
WHERE id = %(id)s AND attempt = %(attempt)s AND worker IS NOT NULL
RETURNING id

-- name: set_epoch
UPDATE jobs SET epoch = greatest(epoch, %(epoch)s), epochs = %(epochs)s, metrics = %(metrics)s, losses = 0
WHERE id = %(id)s AND attempt = %(attempt)s AND worker IS NOT NULL
RETURNING id

-- name: set_offset
UPDATE jobs SET events_offset = %(offset)s
WHERE id = %(id)s AND attempt = %(attempt)s AND worker IS NOT NULL
RETURNING id

-- name: append_event
WITH numbered AS (
    UPDATE jobs SET event_seq = event_seq + 1 WHERE id = %(id)s RETURNING event_seq
)
INSERT INTO job_events (job, seq, type, data)
SELECT %(id)s, event_seq, %(type)s, %(data)s FROM numbered
ON CONFLICT (job, ((data ->> 'epoch')::integer)) WHERE type = 'epoch' DO NOTHING
RETURNING seq

-- name: events_after
SELECT seq, at, type, data FROM job_events WHERE job = %(id)s AND seq > %(after)s ORDER BY seq LIMIT %(limit)s

-- name: artifacts
SELECT name, path, size, sha256, content_type FROM artifacts WHERE job = %(id)s ORDER BY name

-- name: put_artifact
INSERT INTO artifacts (job, name, path, size, sha256, content_type)
VALUES (%(id)s, %(name)s, %(path)s, %(size)s, %(sha256)s, %(content_type)s)
ON CONFLICT (job, name) DO UPDATE
SET path = excluded.path, size = excluded.size, sha256 = excluded.sha256, content_type = excluded.content_type

-- name: leased
-- Every lease, how old its heartbeat is, and whether its worker's session still holds the lock.
SELECT j.*, extract(epoch FROM now() - j.heartbeat_at)::float AS silent_s, l.pid AS lock_pid
FROM jobs j
LEFT JOIN pg_locks l ON l.locktype = 'advisory' AND l.granted AND l.objsubid = 2
    AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
    AND l.classid = %(lock_class)s AND l.objid = j.id
WHERE j.worker IS NOT NULL

-- name: terminate_backend
SELECT pg_terminate_backend(%(pid)s)

-- name: unrung
-- Runs that wait for a worker and that Redis was told of some time ago, or not at all.
SELECT id, attempt FROM jobs
WHERE worker IS NULL AND state = ANY(%(states)s)
  AND (rung_at IS NULL OR rung_at < now() - make_interval(secs => %(older_s)s))
ORDER BY id

-- name: rung
UPDATE jobs SET rung_at = now() WHERE id = ANY(%(ids)s)

-- name: notify
SELECT pg_notify('runs', %(id)s::text)
