-- What is about to be deleted, as it was.
INSERT INTO change (district_id, delivery_id, table_name, operation, record_key, before)
SELECT {district}, %(delivery)s::uuid, %(table)s, 'deleted',
       jsonb_build_object('student_id', r.student_id, 'guardian_key', r.guardian_key),
       to_jsonb(r)
FROM pg_temp.departing_guardian AS d
JOIN guardian AS r ON r.district_id = {district}
    AND r.student_id = d.student_id AND r.guardian_key = d.guardian_key
