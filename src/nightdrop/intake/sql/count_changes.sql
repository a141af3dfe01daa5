-- How many staged rows the roster does not have, and how many differ from the row it has.
SELECT count(*) FILTER (WHERE r.student_id IS NULL),
       count(*) FILTER (WHERE r.student_id IS NOT NULL AND {differs})
FROM {stage} AS s
LEFT JOIN {roster} AS r ON r.district_id = {district} AND {match}
