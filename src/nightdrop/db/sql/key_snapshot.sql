-- The accounts and keys of all districts, for the SFTP server, which serves them all.
-- It runs as the owner and so sees every row; it gives public keys and names, nothing else.
CREATE FUNCTION nightdrop_key_snapshot()
RETURNS TABLE (
    district uuid, username text, is_suspended boolean,
    fingerprint text, blob bytea, label text, expires_at timestamptz, networks text[]
)
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT d.id, d.username::text, d.suspended_at IS NOT NULL,
           k.fingerprint::text, k.blob, k.label::text, k.expires_at, k.networks::text[]
    FROM public.district d
    LEFT JOIN public.account_key k ON k.district_id = d.id AND k.revoked_at IS NULL
    ORDER BY d.username, k.added_at
$$;
REVOKE ALL ON FUNCTION nightdrop_key_snapshot() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION nightdrop_key_snapshot() TO nightdrop_app, nightdrop_operator;

-- Any change of who may log in wakes every SFTP process; the payload says nothing.
CREATE FUNCTION nightdrop_keys_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NOTIFY nightdrop_keys;
    RETURN NULL;
END
$$;
CREATE TRIGGER keys_changed
    AFTER INSERT OR DELETE OR UPDATE OF revoked_at, expires_at, networks, label ON account_key
    FOR EACH STATEMENT EXECUTE FUNCTION nightdrop_keys_changed();
CREATE TRIGGER keys_changed
    AFTER INSERT OR DELETE OR UPDATE OF username, suspended_at ON district
    FOR EACH STATEMENT EXECUTE FUNCTION nightdrop_keys_changed();
