-- How far the index build of another session of ours has come: blocks read, then tuples sorted in and checked.
SELECT phase,
    CASE WHEN blocks_total > 0 AND blocks_done < blocks_total OR tuples_total = 0 THEN blocks_done ELSE tuples_done END AS done,
    CASE WHEN blocks_total > 0 AND blocks_done < blocks_total OR tuples_total = 0 THEN blocks_total ELSE tuples_total END AS total
FROM pg_stat_progress_create_index
WHERE pid = $1
