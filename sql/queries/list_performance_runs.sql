-- What benchmark runs of this database measured, one row per pattern: the latest ones and, if there are several, the first.
-- $1: architecture, $2: how many of the latest.
WITH numbered AS (
    SELECT r.run_id, min(r.id) AS began, row_number() OVER (ORDER BY min(r.id) DESC) AS age, count(*) OVER () AS runs
    FROM migration_performance_results AS r
    WHERE r.architecture_type = $1 AND r.details ->> 'method' = 'client, warm' AND r.details ->> 'database' = current_database()
    GROUP BY r.run_id
), latest AS (
    -- A step that was tried again has measured twice under one run.
    SELECT DISTINCT ON (r.run_id, r.test_name) r.*, n.began
    FROM migration_performance_results AS r
    JOIN numbered AS n ON n.run_id = r.run_id
    WHERE r.architecture_type = $1 AND (n.age <= $2 OR n.age = n.runs AND $2 > 1)
    ORDER BY r.run_id, r.test_name, r.id DESC
)
SELECT
    l.run_id, l.measured_at, l.test_name, l.test_category, l.blocks, l.rows_returned, l.rounds, l.details::text AS details
FROM latest AS l
ORDER BY l.began, (l.details ->> 'position')::int, l.id
