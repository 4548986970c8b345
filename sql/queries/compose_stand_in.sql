-- Writes the statements for a table that is as campaigns ($1 oid) will be: without the legacy columns, with the phases columns.
SELECT ARRAY[
    format('CREATE TABLE %I.%I (LIKE %s)', $2::text, $3::text, $1::oid::regclass),
    format('ALTER TABLE %I.%I %s', $2::text, $3::text, (
        SELECT string_agg(format('DROP COLUMN %I', a.attname), ', ')
        FROM pg_attribute AS a
        WHERE a.attrelid = $1::oid AND NOT a.attisdropped AND a.attname IN ('campaign_type', 'status', 'launch_sequence')
    )),
    format('ALTER TABLE %I.%I %s', $2::text, $3::text, (
        SELECT string_agg(format('ADD COLUMN IF NOT EXISTS %I %s', w.name, w.type), ', ')
        FROM (VALUES
            ('current_phase', 'text'), ('phase_status', 'text'), ('progress', 'numeric(5,2)'), ('domains', 'bigint'),
            ('leads', 'bigint'), ('dns_validated_domains', 'bigint'), ('http_validated_domains', 'bigint')
        ) AS w (name, type)
    ))
] AS statements
