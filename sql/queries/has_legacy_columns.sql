-- Whether campaigns still has the columns of the legacy model.
SELECT EXISTS (
    SELECT FROM pg_attribute
    WHERE attrelid = to_regclass(format('%I.campaigns', current_schema())) AND attname = 'campaign_type' AND NOT attisdropped
)
