-- A refused login of a name that nobody has belongs to no district: it may be written
-- by any process that serves, and be read by operators alone.
CREATE POLICY without_district ON audit_event FOR INSERT TO nightdrop_app
    WITH CHECK (district_id IS NULL);
