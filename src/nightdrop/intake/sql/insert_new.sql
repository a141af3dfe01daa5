-- Runs before the update: that one changes keys, and would make known rows look new.
INSERT INTO {roster} (district_id, {columns}, row_hash, added_by)
SELECT {district}, {columns}, row_hash, %(delivery)s::uuid
FROM {stage} AS s
WHERE NOT EXISTS (
    SELECT FROM {roster} AS r WHERE r.district_id = {district} AND {match}
)
