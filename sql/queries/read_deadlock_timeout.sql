-- After how many milliseconds a session that waits for a lock makes an autovacuum give way.
SELECT setting::integer FROM pg_settings WHERE name = 'deadlock_timeout'
