-- Where the rows of one file wait. COPY straight into a table under row security is
-- refused; and nothing may be written before it is known how much would change.
-- Made once per connection: an empty temporary table costs less than making one.
CREATE TEMPORARY TABLE IF NOT EXISTS {stage} (
    {columns},
    row_hash bigint NOT NULL
) ON COMMIT DELETE ROWS
