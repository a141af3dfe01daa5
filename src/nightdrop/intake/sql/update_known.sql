-- Also the rows that are equal but for their hash: their hash gets the file's basis, so
-- that the next delivery of this kind finds them unchanged without looking at them.
UPDATE {roster} AS r
SET {assignments}, row_hash = s.row_hash
FROM {stage} AS s
WHERE r.district_id = {district} AND {match} AND r.row_hash <> s.row_hash
