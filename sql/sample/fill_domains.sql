-- The domains of every campaign, in the order of their time, as they came in. $1 seed, $2 reference time.
-- A site answers where its name resolves, mostly; a lead comes from a site that answered, mostly.
INSERT INTO generated_domains (
    id, domain_generation_campaign_id, domain_name, source_keyword, source_pattern, tld, offset_index, generated_at,
    created_at, dns_status, http_status, dns_ip, http_title, http_keywords, http_status_code, lead_score, last_validated_at
)
SELECT
    pg_temp.key($1::bigint, 'domain', d.ordinal),
    d.campaign_id,
    d.keyword || '-' || to_hex(d.offset_index * 7919 + 4096) || '.' || d.tld,
    d.keyword,
    d.keyword || '-{hex}',
    d.tld,
    d.offset_index,
    d.generated_at,
    d.generated_at,
    d.dns_status,
    d.http_status,
    CASE WHEN d.dns_status = 'ok' THEN '198.51.' || d.scatter % 256 || '.' || d.scatter / 256 % 256 END,
    CASE WHEN d.http_status = 'ok' THEN initcap(d.keyword) || ' ' || d.scatter % 1000 END,
    CASE WHEN d.http_status = 'ok' AND d.scatter % 4 = 0 THEN d.keyword || ',pricing' END,
    CASE d.http_status WHEN 'ok' THEN 200 WHEN 'error' THEN 500 + (d.scatter % 4)::integer END,
    CASE
        WHEN d.http_status = 'ok' AND d.score_draw < 10 THEN 0
        WHEN d.http_status = 'ok' AND d.score_draw < 60 THEN ((1 + d.scatter % 10000) / 100.0)::numeric(5, 2)
        WHEN d.score_draw = 99 THEN ((d.scatter % 500) / 100.0)::numeric(5, 2)
    END,
    CASE WHEN d.dns_status <> 'pending' OR d.http_status <> 'pending' THEN
        d.generated_at + interval '1 microsecond' * (d.scatter % 28800000000)
    END
FROM (
    SELECT
        t.*,
        ('{com,net,org,io,dev,de,co.uk}'::text[])[1 + t.offset_index % 7] AS tld,
        CASE
            WHEN t.dns_status = 'ok' THEN CASE
                WHEN t.http_draw < 50 THEN 'ok'
                WHEN t.http_draw < 75 THEN 'pending'
                WHEN t.http_draw < 85 THEN 'error'
                WHEN t.http_draw < 90 THEN 'timeout'
            END
            WHEN t.http_draw < 2 THEN 'ok'
            WHEN t.http_draw < 20 THEN 'pending'
            WHEN t.http_draw < 23 THEN 'error'
        END AS http_status
    FROM (
        SELECT
            w.*,
            w.scatter / 16777216 % 100 AS http_draw,
            w.scatter / 4294967296 % 100 AS score_draw,
            CASE
                WHEN w.dns_draw < w.untouched THEN 'pending'
                WHEN w.dns_draw < w.untouched + (100 - w.untouched) * 75 / 100 THEN 'ok'
                WHEN w.dns_draw < w.untouched + (100 - w.untouched) * 85 / 100 THEN 'error'
                WHEN w.dns_draw < w.untouched + (100 - w.untouched) * 90 / 100 THEN 'timeout'
            END AS dns_status
        FROM (
            SELECT
                p.id AS campaign_id,
                p.keyword,
                o.offset_index,
                p.first_domain + o.offset_index AS ordinal,
                pg_temp.draw($1, p.first_domain + o.offset_index, 31, 4611686018427387904) AS scatter,
                pg_temp.draw($1, p.first_domain + o.offset_index, 32, 100) AS dns_draw,
                -- How much of the campaign nobody has looked at, in percent.
                CASE
                    WHEN p.status IN ('pending', 'queued') THEN 90
                    WHEN p.status IN ('completed', 'archived') THEN 4
                    WHEN p.campaign_type IN ('http_keyword_validation', 'analysis') THEN 10
                    ELSE 45
                END AS untouched,
                p.created_at + interval '1 microsecond' * (p.active_microseconds / p.domains * o.offset_index)
                    AS generated_at
            FROM sample_plan AS p
            CROSS JOIN LATERAL generate_series(0, p.domains - 1) AS o (offset_index)
            ORDER BY generated_at, ordinal
            OFFSET 0
        ) AS w
    ) AS t
) AS d;
