-- Row security of one table: {table}, whose district is in the column {column}.
-- The application's role sees one district, the one its transaction has set; the
-- operator's role sees all. ENABLE and not FORCE: the owner must be able to migrate
-- and dump, and is no role that serves anybody. The setting stands in a subselect, which
-- is evaluated once a statement and not once a row.
ALTER TABLE {table} ENABLE ROW LEVEL SECURITY;
CREATE POLICY district ON {table} TO nightdrop_app
    USING ({column} = (SELECT NULLIF(current_setting('nightdrop.district', true), '')::uuid))
    WITH CHECK ({column} = (SELECT NULLIF(current_setting('nightdrop.district', true), '')::uuid));
CREATE POLICY operator ON {table} TO nightdrop_operator USING (true) WITH CHECK (true);
