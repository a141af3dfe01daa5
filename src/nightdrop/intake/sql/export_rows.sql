-- Bytewise by key, whatever the database's own order is.
SELECT {headed}
FROM {roster}
WHERE district_id = {district}
ORDER BY {order}
