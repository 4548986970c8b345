-- Foreign keys that tie a domain to its campaign: generated_domains' oid, campaigns' oid.
SELECT k.conname AS name, k.convalidated AS is_validated
FROM pg_constraint AS k
JOIN pg_attribute AS a
    ON a.attrelid = k.conrelid AND a.attname = 'domain_generation_campaign_id' AND NOT a.attisdropped
WHERE k.conrelid = $1 AND k.confrelid = $2 AND k.contype = 'f' AND k.conkey = ARRAY[a.attnum]
ORDER BY k.conname
