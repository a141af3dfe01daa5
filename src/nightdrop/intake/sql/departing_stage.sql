-- Guardians who are on the roster and not in the file; made like the other stages.
CREATE TEMPORARY TABLE IF NOT EXISTS pg_temp.departing_guardian (
    student_id text NOT NULL,
    guardian_key text NOT NULL,
    guardian_id text,
    last_name text,
    first_name text
) ON COMMIT DELETE ROWS
