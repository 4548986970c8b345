-- Writes the statement that fills the stand-in ($3 name) with some rows of campaigns ($1 oid, $2 schema, $4 rows), their phases
-- as the mapping gives them.
SELECT format(
    'INSERT INTO %I.%I (%s) SELECT %s FROM %s AS c LIMIT %s', $2::text, $3::text,
    string_agg(format('%I', a.attname), ', ' ORDER BY a.attnum),
    string_agg(
        CASE a.attname
            WHEN 'current_phase' THEN 'migration_map_current_phase(c.campaign_type::text)'
            WHEN 'phase_status' THEN 'migration_map_phase_status(c.status::text)'
            WHEN 'progress' THEN '0' WHEN 'domains' THEN '0' WHEN 'leads' THEN '0' WHEN 'dns_validated_domains' THEN '0'
            WHEN 'http_validated_domains' THEN '0'
            ELSE format('c.%I', a.attname)
        END, ', ' ORDER BY a.attnum),
    $1::oid::regclass, $4::bigint
)
FROM pg_attribute AS a
WHERE a.attrelid = to_regclass(format('%I.%I', $2::text, $3::text)) AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
