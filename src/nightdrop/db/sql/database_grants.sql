-- SPDX-License-Identifier: Apache-2.0
-- Only Nightdrop's own roles may connect. May be run again.
REVOKE ALL ON DATABASE nightdrop FROM PUBLIC;
GRANT CONNECT, TEMPORARY ON DATABASE nightdrop TO nightdrop_app, nightdrop_operator;
