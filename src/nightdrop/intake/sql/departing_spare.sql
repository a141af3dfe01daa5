-- Leave only guardians of students for whom the file speaks.
DELETE FROM pg_temp.departing_guardian WHERE student_id <> ALL (%(students)s::text[])
