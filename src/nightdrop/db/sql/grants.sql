-- What the two serving roles may do. The district's and the operator's processes never
-- own a table, so row security binds them.
GRANT USAGE ON SCHEMA public TO nightdrop_app, nightdrop_operator;
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public
    TO nightdrop_app, nightdrop_operator;
GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA public TO nightdrop_app, nightdrop_operator;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA public TO nightdrop_app, nightdrop_operator;
ALTER DEFAULT PRIVILEGES IN SCHEMA public
    GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO nightdrop_app, nightdrop_operator;
ALTER DEFAULT PRIVILEGES IN SCHEMA public
    GRANT USAGE, SELECT ON SEQUENCES TO nightdrop_app, nightdrop_operator;

-- Districts are made and closed by operators only; a serving process may lock their row.
REVOKE INSERT, DELETE ON district FROM nightdrop_app;
-- What was done and tried is never rewritten.
REVOKE UPDATE, DELETE ON audit_event, transition FROM nightdrop_app, nightdrop_operator;
-- Which migrations ran is the owner's business.
REVOKE INSERT, UPDATE, DELETE ON django_migrations FROM nightdrop_app, nightdrop_operator;
