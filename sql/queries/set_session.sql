-- Sets settings ($1 names, $2 values) for this session, those that this server does not know left out.
SELECT set_config(w.name, w.value, false)
FROM unnest($1::text[], $2::text[]) AS w (name, value)
WHERE w.name LIKE 'plpgsql.%' OR EXISTS (SELECT FROM pg_settings AS s WHERE lower(s.name) = lower(w.name))
