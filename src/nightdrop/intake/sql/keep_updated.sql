-- What is about to be updated, as it was. The record's key is the one that it will have:
-- the one under which an undo finds it. Its former key is in `before`.
INSERT INTO change (district_id, delivery_id, table_name, operation, record_key, before)
SELECT {district}, %(delivery)s::uuid, %(table)s, 'updated', {next_key}, to_jsonb(r)
FROM {stage} AS s
JOIN {roster} AS r ON r.district_id = {district} AND {match}
WHERE {differs}
