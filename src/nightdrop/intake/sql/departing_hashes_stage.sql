-- Hashes of the rows on the roster that are not in the file as they are.
CREATE TEMPORARY TABLE IF NOT EXISTS pg_temp.departing_hash (
    row_hash bigint NOT NULL
) ON COMMIT DELETE ROWS
