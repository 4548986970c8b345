-- What is set for this database alone, so that sessions on a copy of it can be given the same.
SELECT s.name, current_setting(s.name) AS value
FROM pg_settings AS s
WHERE s.source IN ('database', 'database user') AND s.context = 'user'
ORDER BY s.name
