-- The accounts and keys of all districts, as before, and now what each may have in /upload;
-- null where nothing was set for it.
DROP FUNCTION nightdrop_key_snapshot();
CREATE FUNCTION nightdrop_key_snapshot()
RETURNS TABLE (
    district uuid, username text, is_suspended boolean,
    fingerprint text, blob bytea, label text, expires_at timestamptz, networks text[],
    quota_bytes bigint, quota_files bigint
)
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT d.id, d.username::text, d.suspended_at IS NOT NULL,
           k.fingerprint::text, k.blob, k.label::text, k.expires_at, k.networks::text[],
           d.quota_bytes, d.quota_files
    FROM public.district d
    LEFT JOIN public.account_key k ON k.district_id = d.id AND k.revoked_at IS NULL
    ORDER BY d.username, k.added_at
$$;
REVOKE ALL ON FUNCTION nightdrop_key_snapshot() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION nightdrop_key_snapshot() TO nightdrop_app, nightdrop_operator;

DROP TRIGGER keys_changed ON district;
CREATE TRIGGER keys_changed
    AFTER INSERT OR DELETE OR UPDATE OF username, suspended_at, quota_bytes, quota_files ON district
    FOR EACH STATEMENT EXECUTE FUNCTION nightdrop_keys_changed();
