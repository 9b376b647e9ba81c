-- name: create
INSERT INTO api_tokens (id, name, hash) VALUES (%(id)s, %(name)s, %(hash)s)

-- name: list
SELECT id, name, created_at, used_at, revoked_at FROM api_tokens ORDER BY created_at

-- name: revoke
UPDATE api_tokens SET revoked_at = coalesce(revoked_at, now()) WHERE id = %(id)s RETURNING id

-- name: find
SELECT id, name, hash FROM api_tokens WHERE id = %(id)s AND revoked_at IS NULL

-- name: touch
-- Once a minute is often enough to know which tokens are in use.
UPDATE api_tokens SET used_at = now()
WHERE id = %(id)s AND (used_at IS NULL OR used_at < now() - interval '1 minute')

-- name: open_session
INSERT INTO sessions (hash, token, csrf, expires_at)
VALUES (%(hash)s, %(token)s, %(csrf)s, now() + make_interval(secs => %(lasts_s)s))

-- name: session
SELECT s.csrf, t.name FROM sessions s JOIN api_tokens t ON t.id = s.token
WHERE s.hash = %(hash)s AND s.expires_at > now() AND t.revoked_at IS NULL

-- name: close_session
DELETE FROM sessions WHERE hash = %(hash)s OR expires_at < now()
