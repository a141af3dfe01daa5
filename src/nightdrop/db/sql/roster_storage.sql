-- Room on each page for the next night's update of a row (HOT updates; measured at 90).
ALTER TABLE student SET (fillfactor = 90);
ALTER TABLE guardian SET (fillfactor = 90);

-- COPY and set-based inserts do not name the district: the transaction's setting does.
ALTER TABLE student ALTER COLUMN district_id
    SET DEFAULT NULLIF(current_setting('nightdrop.district', true), '')::uuid;
ALTER TABLE guardian ALTER COLUMN district_id
    SET DEFAULT NULLIF(current_setting('nightdrop.district', true), '')::uuid;
ALTER TABLE change ALTER COLUMN district_id
    SET DEFAULT NULLIF(current_setting('nightdrop.district', true), '')::uuid;
