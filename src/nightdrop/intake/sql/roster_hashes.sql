-- All row hashes of the district, 8 bytes each, most significant first; NULL when it has
-- no row. One value is a tenth of the cost of as many rows.
SELECT string_agg(int8send(row_hash), ''::bytea)
FROM {roster}
WHERE district_id = {district}
