-- Rows of the roster that the file has neither as they are nor changed under their key.
INSERT INTO pg_temp.departing_guardian
SELECT r.student_id, r.guardian_key, r.guardian_id, r.last_name, r.first_name
FROM guardian AS r
JOIN pg_temp.departing_hash AS h ON h.row_hash = r.row_hash
WHERE r.district_id = {district}
  AND NOT EXISTS (
    SELECT FROM {stage} AS s
    WHERE s.student_id = r.student_id AND s.guardian_key = r.guardian_key
)
