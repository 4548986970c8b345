-- What the fill statements share in one session: a draw that is the same on every server, and the plan of the campaigns.
CREATE FUNCTION pg_temp.draw(seed bigint, ordinal bigint, purpose bigint, below bigint)
RETURNS bigint LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT (hashint8extended(ordinal, seed * 1000 + purpose) & 9223372036854775807) % below
$$;

CREATE FUNCTION pg_temp.key(seed bigint, kind text, ordinal bigint)
RETURNS uuid LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT md5(kind || seed || ':' || ordinal)::uuid
$$;

CREATE TEMPORARY TABLE sample_plan (
    ordinal bigint PRIMARY KEY,
    id uuid NOT NULL,
    rank bigint NOT NULL,
    campaign_type text NOT NULL,
    status text NOT NULL,
    keyword text NOT NULL,
    created_at timestamptz NOT NULL,
    active_microseconds bigint NOT NULL,
    domains bigint NOT NULL,
    first_domain bigint NOT NULL
);
