-- How far a VACUUM or ANALYZE of another session ($1) has come, in blocks.
SELECT format('%s of %s', CASE WHEN v.phase = 'scanning heap' THEN 'reading' ELSE v.phase END, v.relid::regclass) AS what,
    v.heap_blks_scanned AS done, v.heap_blks_total AS total
FROM pg_stat_progress_vacuum AS v
WHERE v.pid = $1
UNION ALL
SELECT format('statistics of %s', a.relid::regclass), a.sample_blks_scanned, a.sample_blks_total
FROM pg_stat_progress_analyze AS a
WHERE a.pid = $1
