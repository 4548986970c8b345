-- Writes the statements for a scratch database ($1) with the encoding and locale of this one: create, mark, drop.
SELECT
    format(
        'CREATE DATABASE %I TEMPLATE template0 ENCODING %L LC_COLLATE %L LC_CTYPE %L%s%s',
        $1::text, pg_encoding_to_char(d.encoding), d.datcollate, d.datctype,
        CASE to_jsonb(d) ->> 'datlocprovider' WHEN 'i' THEN ' LOCALE_PROVIDER icu' WHEN 'b' THEN ' LOCALE_PROVIDER builtin' ELSE '' END,
        CASE to_jsonb(d) ->> 'datlocprovider'
            -- Its name changed with version 17.
            WHEN 'i' THEN format(' ICU_LOCALE %L', coalesce(to_jsonb(d) ->> 'datlocale', to_jsonb(d) ->> 'daticulocale'))
            WHEN 'b' THEN format(' BUILTIN_LOCALE %L', to_jsonb(d) ->> 'datlocale')
            ELSE ''
        END
    ) AS create_statement,
    format('COMMENT ON DATABASE %I IS %L', $1::text, 'phases migration: restore check of ' || d.datname) AS mark_statement,
    format('DROP DATABASE IF EXISTS %I WITH (FORCE)', $1::text) AS drop_statement
FROM pg_database AS d
WHERE d.datname = current_database()
