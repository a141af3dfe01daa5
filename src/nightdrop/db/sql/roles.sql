-- SPDX-License-Identifier: Apache-2.0
-- The three roles. None is a superuser and none passes by row-level security. May be run again.
DO $$
DECLARE
    wanted text;
BEGIN
    FOREACH wanted IN ARRAY ARRAY['nightdrop_owner', 'nightdrop_app', 'nightdrop_operator'] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = wanted) THEN
            EXECUTE format('CREATE ROLE %I LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE', wanted);
        END IF;
    END LOOP;
END
$$;
