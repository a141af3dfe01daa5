-- Into an empty roster: what is staged is new.
INSERT INTO {roster} (district_id, {columns}, row_hash, added_by)
SELECT {district}, {columns}, row_hash, %(delivery)s::uuid
FROM {stage}
