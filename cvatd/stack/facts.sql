-- name: server
SELECT json_build_object('server', current_setting('server_version'))
-- name: migrations
SELECT json_build_object('migrations', coalesce(json_agg(app || '.' || name), '[]')) FROM django_migrations
-- name: superusers
SELECT json_build_object('superusers', coalesce(json_object_agg(username, encode(sha256(convert_to(password, 'UTF8')), 'hex')), '{}')) FROM auth_user WHERE is_superuser
