-- What is said about some objects ($1: class, $2: oid), line by line and without the numbers that change when they are built
-- again. $3 are all tables, views and sequences among them.
SELECT line FROM (
    SELECT concat_ws(' | ', 'relation', c.oid::regclass, c.relkind, pg_get_userbyid(c.relowner), c.reloptions, c.relpersistence,
                     c.relrowsecurity, c.relforcerowsecurity, c.relreplident, c.reltablespace, c.relam, c.relispopulated,
                     (SELECT array_agg(g::text ORDER BY g::text) FROM unnest(c.relacl) AS g), obj_description(c.oid, 'pg_class'),
                     CASE WHEN c.relkind IN ('v', 'm') THEN pg_get_viewdef(c.oid) END) AS line
    FROM pg_class AS c WHERE c.oid = ANY ($3::oid[])
    UNION ALL
    SELECT concat_ws(' | ', 'column', c.oid::regclass, a.attname, format_type(a.atttypid, a.atttypmod), a.attcollation, a.attnotnull,
                     a.attidentity, a.attgenerated, a.attstorage, a.attcompression, coalesce(a.attstattarget, -1),
                     (SELECT array_agg(o ORDER BY o) FROM unnest(a.attoptions) AS o WHERE o NOT LIKE 'pg\_%'),
                     (SELECT array_agg(g::text ORDER BY g::text) FROM unnest(a.attacl) AS g),
                     pg_get_expr(d.adbin, d.adrelid), col_description(c.oid, a.attnum))
    FROM pg_class AS c
    JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    LEFT JOIN pg_attrdef AS d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
    WHERE c.oid = ANY ($3::oid[]) AND c.relkind NOT IN ('i', 'I', 'S')
    UNION ALL
    SELECT concat_ws(' | ', 'index', x.indexrelid::regclass, pg_get_indexdef(x.indexrelid), x.indisvalid, x.indisclustered,
                     x.indisreplident, c.reloptions, c.reltablespace, obj_description(c.oid, 'pg_class'),
                     (SELECT array_agg(a.attstattarget ORDER BY a.attnum) FROM pg_attribute AS a
                      WHERE a.attrelid = c.oid AND coalesce(a.attstattarget, -1) >= 0))
    FROM pg_index AS x JOIN pg_class AS c ON c.oid = x.indexrelid WHERE x.indrelid = ANY ($3::oid[])
    UNION ALL
    SELECT concat_ws(' | ', 'constraint', k.conrelid::regclass, k.conname, pg_get_constraintdef(k.oid), k.convalidated,
                     obj_description(k.oid, 'pg_constraint'))
    FROM pg_constraint AS k
    WHERE k.conrelid = ANY ($3::oid[]) OR k.confrelid = ANY ($3::oid[])
    UNION ALL
    SELECT concat_ws(' | ', 'trigger', pg_get_triggerdef(t.oid), t.tgenabled, obj_description(t.oid, 'pg_trigger'))
    FROM pg_trigger AS t WHERE t.tgrelid = ANY ($3::oid[]) AND NOT t.tgisinternal
    UNION ALL
    SELECT concat_ws(' | ', 'policy', to_jsonb(v), obj_description(p.oid, 'pg_policy'))
    FROM pg_policy AS p
    JOIN pg_class AS c ON c.oid = p.polrelid
    JOIN pg_policies AS v ON v.policyname = p.polname AND v.tablename = c.relname
        AND v.schemaname = (SELECT n.nspname FROM pg_namespace AS n WHERE n.oid = c.relnamespace)
    WHERE p.polrelid = ANY ($3::oid[]) OR ROW('pg_policy'::regclass::oid, p.oid) IN (SELECT * FROM unnest($1::oid[], $2::oid[]))
    UNION ALL
    SELECT concat_ws(' | ', 'rule', pg_get_ruledef(r.oid), r.ev_enabled, obj_description(r.oid, 'pg_rewrite'))
    FROM pg_rewrite AS r WHERE r.ev_class = ANY ($3::oid[]) AND r.rulename <> '_RETURN'
    UNION ALL
    SELECT concat_ws(' | ', 'published', to_jsonb(t) - 'attnames',
                     (SELECT string_agg(n, ',' ORDER BY n)
                      FROM jsonb_array_elements_text(coalesce(to_jsonb(t) -> 'attnames', '[]')) AS n))
    FROM pg_publication_tables AS t
    WHERE to_regclass(format('%I.%I', t.schemaname, t.tablename)) = ANY ($3::oid[])
    UNION ALL
    SELECT concat_ws(' | ', 'statistics', n.nspname, s.stxname, pg_get_userbyid(s.stxowner), coalesce(s.stxstattarget, -1), s.stxkind,
                     (SELECT array_agg(a.attname ORDER BY a.attname) FROM pg_attribute AS a
                      WHERE a.attrelid = s.stxrelid AND a.attnum = ANY (s.stxkeys)),
                     pg_get_expr(s.stxexprs, s.stxrelid), obj_description(s.oid, 'pg_statistic_ext'))
    FROM pg_statistic_ext AS s JOIN pg_namespace AS n ON n.oid = s.stxnamespace WHERE s.stxrelid = ANY ($3::oid[])
    UNION ALL
    SELECT concat_ws(' | ', 'function', pg_get_functiondef(p.oid), pg_get_userbyid(p.proowner),
                     (SELECT array_agg(g::text ORDER BY g::text) FROM unnest(p.proacl) AS g), obj_description(p.oid, 'pg_proc'))
    FROM pg_proc AS p
    WHERE p.oid IN (SELECT u.o FROM unnest($1::oid[], $2::oid[]) AS u (c, o) WHERE u.c = 'pg_proc'::regclass)
    UNION ALL
    SELECT concat_ws(' | ', 'sequence', s.seqrelid::regclass, s.seqtypid::regtype, s.seqstart, s.seqincrement, s.seqmax, s.seqmin,
                     s.seqcache, s.seqcycle, pg_sequence_last_value(s.seqrelid))
    FROM pg_sequence AS s WHERE s.seqrelid = ANY ($3::oid[])
    UNION ALL
    SELECT concat_ws(' | ', 'security label', pg_describe_object(l.classoid, l.objoid, l.objsubid), l.provider, l.label)
    FROM pg_seclabel AS l WHERE l.objoid = ANY ($3::oid[])
) AS described
ORDER BY line COLLATE "C"
