-- The statement that counts and sums up the rows of campaigns, whatever the order of its columns ($1).
SELECT format('SELECT count(*) || '' '' || coalesce(sum(hashtextextended(ROW(%s)::text, 0)::numeric), 0) FROM %I.campaigns',
              (SELECT string_agg(format('%I', name), ', ' ORDER BY name) FROM unnest($1::text[]) AS name), current_schema())
