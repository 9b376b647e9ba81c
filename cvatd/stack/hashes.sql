-- name: superusers
SELECT coalesce(json_object_agg(username, password), '{}') FROM auth_user WHERE is_superuser
