# What takes the place of an open port, if there is none; a part of sidecar.sh then.
cat >"$private/tunnel.py" <<'PYTHON'
@tunnel.py@
PYTHON
cat >"$private/serve-tunnel" <<'SERVE_TUNNEL'
command -v python3 >/dev/null || sh /run/fargate-sandbox-private/install python3 ||
    { echo "ssh-sidecar: connect_via=\"ssm\" needs a python3 here: fargate-sandbox sidecar-image has one" >&2; exit 1; }
exec python3 -I -S -B /run/fargate-sandbox-private/tunnel.py "$FARGATE_SANDBOX_TUNNEL_PORT" "$FARGATE_SANDBOX_SSHD_PORT" \
    "$FARGATE_SANDBOX_TOKEN_SHA256"
SERVE_TUNNEL
