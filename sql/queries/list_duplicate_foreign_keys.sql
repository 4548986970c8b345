-- Foreign keys between the core tables, those that reference them and those that they reference, which repeat another one:
-- same columns, same referenced columns, same actions. The one that stays is validated, and the oldest of those.
WITH facts AS (
    SELECT k.oid, k.conname, n.nspname, t.relname, k.conrelid, k.confrelid, k.convalidated,
        pg_has_role(t.relowner, 'USAGE') AS is_owned, t.relkind, f.relkind AS referenced_kind,
        concat_ws(
            ' ', k.conrelid, k.confrelid, k.confupdtype, k.confdeltype, k.confmatchtype, k.condeferrable, k.condeferred,
            to_jsonb(k) ->> 'confdelsetcols', to_jsonb(k) ->> 'conenforced', to_jsonb(k) ->> 'conperiod',
            (
                SELECT string_agg(concat_ws('=', u.own, u.other, u.operator), ',' ORDER BY u.own, u.other)
                FROM unnest(k.conkey, k.confkey, k.conpfeqop) AS u (own, other, operator)
            )
        ) AS meaning
    FROM pg_constraint AS k
    JOIN pg_class AS t ON t.oid = k.conrelid
    JOIN pg_class AS f ON f.oid = k.confrelid
    JOIN pg_namespace AS n ON n.oid = t.relnamespace
    WHERE k.contype = 'f' AND k.conparentid = 0
        AND EXISTS (
            SELECT FROM (VALUES ('campaigns'), ('generated_domains')) AS core (name)
            WHERE to_regclass(format('%I.%I', current_schema(), core.name)) IN (k.conrelid, k.confrelid)
        )
), ranked AS (
    SELECT facts.*, first_value(conname) OVER same AS kept, row_number() OVER same AS rank
    FROM facts
    WINDOW same AS (PARTITION BY meaning ORDER BY convalidated DESC, oid)
)
SELECT r.oid::bigint AS oid, r.conname AS name, r.nspname AS schema_name, r.relname AS table_name, r.kept,
    pg_get_constraintdef(r.oid) AS definition,
    format('ALTER TABLE %I.%I DROP CONSTRAINT %I', r.nspname, r.relname, r.conname) AS drop_statement,
    format('LOCK TABLE %I.%I IN ACCESS EXCLUSIVE MODE', r.nspname, r.relname) AS lock_statement,
    ARRAY(
        SELECT core.name
        FROM (VALUES ('generated_domains'), ('campaigns')) AS core (name)
        WHERE to_regclass(format('%I.%I', current_schema(), core.name)) IN (r.conrelid, r.confrelid)
    ) AS core_tables
FROM ranked AS r
WHERE r.rank > 1 AND r.is_owned AND r.relkind = 'r' AND r.referenced_kind = 'r'
ORDER BY r.oid
