-- Writes the function that gives the legacy values of one campaign, as they were written, to readers who may not look into the table
-- of all of them. Schema.
SELECT format(
    'CREATE FUNCTION %1$I.migration_kept_values(campaign uuid) RETURNS SETOF %1$I.migration_legacy_values'
    ' LANGUAGE sql STABLE SECURITY DEFINER SET search_path = %1$I, pg_temp AS %2$L',
    $1::text, 'SELECT v.* FROM migration_legacy_values AS v WHERE v.campaign_id = campaign'
)
