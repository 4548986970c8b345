-- Decides each campaign's type, status, age and number of domains. $1 seed, $2 reference time, $3 domains by rank, largest first.
-- The first 54 campaigns bear every pair of type and status; the four largest are what the bulk queries look for.
WITH sizes AS (
    SELECT s.rank, s.domains, sum(s.domains) OVER (ORDER BY s.rank) - s.domains AS first_domain
    FROM unnest($3::bigint[]) WITH ORDINALITY AS s (domains, rank)
),
drawn AS (
    SELECT
        n AS ordinal,
        row_number() OVER (ORDER BY n <= 54, pg_temp.draw($1::bigint, n, 1, 9223372036854775807), n) AS rank,
        pg_temp.draw($1, n, 2, 100) AS type_draw,
        pg_temp.draw($1, n, 3, 100) AS status_draw,
        pg_temp.draw($1, n, 4, 1048576) AS age_draw,
        pg_temp.draw($1, n, 5, 86400000000) AS time_of_day,
        pg_temp.draw($1, n, 6, 40) AS keyword_draw
    FROM generate_series(1, cardinality($3::bigint[])) AS n
),
decided AS (
    SELECT
        d.*,
        CASE
            WHEN d.rank = 1 THEN 'domain_generation'
            WHEN d.rank = 2 THEN 'http_keyword_validation'
            WHEN d.rank = 3 THEN 'analysis'
            WHEN d.rank = 4 THEN 'dns_validation'
            WHEN d.ordinal <= 54 THEN
                ('{domain_generation,dns_validation,http_keyword_validation,analysis,comprehensive,automated}'::text[])
                [1 + (d.ordinal - 1) / 9]
            WHEN d.type_draw < 35 THEN 'domain_generation'
            WHEN d.type_draw < 55 THEN 'dns_validation'
            WHEN d.type_draw < 70 THEN 'http_keyword_validation'
            WHEN d.type_draw < 78 THEN 'analysis'
            WHEN d.type_draw < 92 THEN 'comprehensive'
            ELSE 'automated'
        END AS campaign_type,
        CASE
            WHEN d.rank IN (1, 2, 4) THEN 'running'
            WHEN d.rank = 3 THEN 'completed'
            WHEN d.ordinal <= 54 THEN
                ('{pending,queued,running,pausing,paused,completed,failed,cancelled,archived}'::text[])
                [1 + (d.ordinal - 1) % 9]
            WHEN d.status_draw < 45 THEN 'completed'
            WHEN d.status_draw < 57 THEN 'archived'
            WHEN d.status_draw < 67 THEN 'running'
            WHEN d.status_draw < 75 THEN 'failed'
            WHEN d.status_draw < 81 THEN 'pending'
            WHEN d.status_draw < 87 THEN 'paused'
            WHEN d.status_draw < 92 THEN 'cancelled'
            WHEN d.status_draw < 96 THEN 'queued'
            ELSE 'pausing'
        END AS status,
        -- Up to a year, most of them recent: a year times the square of the draw.
        (30797952000 * d.age_draw / 1024 / 1024) * d.age_draw / 1024 AS age
    FROM drawn AS d
)
INSERT INTO sample_plan
SELECT
    d.ordinal,
    pg_temp.key($1, 'campaign', d.ordinal),
    d.rank,
    d.campaign_type,
    d.status,
    ('{acme,alpine,amber,atlas,basalt,beacon,birch,canyon,cedar,cobalt,comet,coral,crest,delta,ember,falcon,fjord,garnet,'
     'glacier,harbor,hazel,indigo,jasper,juniper,lagoon,lumen,maple,meadow,nimbus,nova,onyx,orchid,pepper,quartz,raven,'
     'saffron,tundra,umber,willow,zephyr}'::text[])[1 + d.keyword_draw],
    $2::timestamptz - interval '1 microsecond'
    * (d.time_of_day + CASE
        WHEN d.rank <= 4 THEN 86400000000 * (1 + d.rank)
        WHEN d.status IN ('running', 'pausing', 'queued', 'pending') THEN 86400000000 + d.age / 8
        ELSE 3 * 86400000000 + d.age
    END),
    -- How long its domains came in: at most half a day, so that nothing happens after the reference time.
    1 + pg_temp.draw($1, d.ordinal, 7, 43200000000),
    s.domains,
    s.first_domain
FROM decided AS d
INNER JOIN sizes AS s ON s.rank = d.rank;
