-- Who departs under one kind of key and arrives under the other is one guardian: known by
-- names and now with a Guardian Id, or the other way round. Only where the names leave no
-- doubt: one such row departs from the student and one arrives. Two different Guardian
-- Ids are two guardians, whatever their names.
UPDATE {stage} AS s
SET former_key = same.former_key
FROM (
    SELECT s.student_id, min(s.guardian_key) AS guardian_key, min(d.guardian_key) AS former_key
    FROM {stage} AS s
    JOIN pg_temp.departing_guardian AS d USING (student_id, last_name, first_name)
    WHERE (s.guardian_id IS NULL) <> (d.guardian_id IS NULL)
      AND NOT EXISTS (
        SELECT FROM guardian AS r
        WHERE r.district_id = {district}
          AND r.student_id = s.student_id AND r.guardian_key = s.guardian_key
    )
    GROUP BY s.student_id, s.last_name, s.first_name
    HAVING count(*) = 1
) AS same
WHERE s.student_id = same.student_id AND s.guardian_key = same.guardian_key
