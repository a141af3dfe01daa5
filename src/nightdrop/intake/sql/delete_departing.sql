DELETE FROM guardian AS r
USING pg_temp.departing_guardian AS d
WHERE r.district_id = {district}
  AND r.student_id = d.student_id AND r.guardian_key = d.guardian_key
