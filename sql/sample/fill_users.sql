-- The people that own campaigns. $1 seed, $2 reference time, $3 how many.
INSERT INTO users (id, email, first_name, last_name, is_active, created_at, updated_at)
SELECT
    pg_temp.key($1::bigint, 'user', n),
    'user' || n || '@example.com',
    ('{Ada,Bela,Chiara,Dario,Eszter,Farid,Greta,Hugo,Ines,Jonas,Keiko,Lars}'::text[])[1 + pg_temp.draw($1, n, 11, 12)],
    ('{Abel,Brandt,Costa,Dubois,Egger,Fischer,Garcia,Horvat,Ito,Jansen}'::text[])[1 + pg_temp.draw($1, n, 12, 10)],
    pg_temp.draw($1, n, 13, 100) < 95,
    $2::timestamptz - interval '1 microsecond' * (34560000000000 + pg_temp.draw($1, n, 14, 31536000000000)),
    $2::timestamptz - interval '1 microsecond' * pg_temp.draw($1, n, 15, 31536000000000)
FROM generate_series(1, $3::bigint) AS n;
