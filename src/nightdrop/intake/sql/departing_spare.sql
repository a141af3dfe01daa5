-- Leave only guardians of students for whom the file speaks.
DELETE FROM pg_temp.departing_guardian AS d
WHERE NOT EXISTS (
    SELECT FROM unnest(%(students)s::text[]) AS answered (student_id)
    WHERE answered.student_id = d.student_id
)
