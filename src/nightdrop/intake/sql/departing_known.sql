-- Who was renamed does not depart.
DELETE FROM pg_temp.departing_guardian AS d
USING {stage} AS s
WHERE s.student_id = d.student_id AND s.former_key = d.guardian_key
