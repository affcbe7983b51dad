# The SSH sidecar's whole program: POSIX sh, for Alpine, for Debian with openssh-server, and for our own image.
# It lets one key in, forwards to and listens on loopback only, gives no shell, and ends the task when its time is over.
# Its words come from leaves/names.py; sandbox/task/sidecar_container.py puts it into the task definition.
set -eu
umask 077
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export PATH
shared=/run/fargate-sandbox
private=/run/fargate-sandbox-private

rm -rf "$private"
mkdir -p "$private"

# Three tries, since a package mirror may stumble; the pause between them grows.
cat >"$private/install" <<'INSTALL'
say() { echo "ssh-sidecar: $*" >&2; exit 1; }
command -v apk >/dev/null || say "$1 is not in this image, and there is no apk to add it"
for pause in 1 3 0; do
    apk add --no-cache --quiet "$1" >&2 && exit 0
    sleep "$pause"
done
say "cannot install $1: does the task reach the internet? An image that has it needs no network"
INSTALL

command -v sshd >/dev/null || sh "$private/install" openssh-server
grep -q '^sshd:' /etc/passwd || echo 'sshd:x:22:22:sshd:/var/empty:/sbin/nologin' >>/etc/passwd
# Alpine locks root's account, and sshd lets nobody into a locked one; a star only means that no password fits.
if grep -qs '^root:!' /etc/shadow; then sed -i 's/^root:![^:]*:/root:*:/' /etc/shadow; fi

# One file for all containers of the task. It is mounted, so it is written and not replaced; the first line that has a
# name holds.
if [ -n "${FARGATE_SANDBOX_HOSTS:-}" ]; then
    known=$(cat /etc/hosts 2>/dev/null || true)
    printf '%s\n%s\n' "$FARGATE_SANDBOX_HOSTS" "$known" >/etc/hosts
fi

# The main container, whoever runs it, keeps its spool here.
mkdir -p "$shared/work"
chmod 755 "$shared"
chmod 1777 "$shared/work"

mkdir -p /run/sshd /var/empty
chmod 755 /run/sshd /var/empty
printf '%s\n' "$FARGATE_SANDBOX_HOST_KEY" >"$private/host_key"
printf '%s\n' "$FARGATE_SANDBOX_AUTHORIZED_KEY" >"$private/authorized_keys"
cat >"$private/sshd_config" <<CONFIG
Port $FARGATE_SANDBOX_SSHD_PORT
HostKey $private/host_key
AuthorizedKeysFile $private/authorized_keys
AuthenticationMethods publickey
AllowUsers root
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
StrictModes no
UseDNS no
PidFile none
LogLevel FATAL
LoginGraceTime 20
MaxStartups 100
PermitOpen 127.0.0.1:*
PermitListen @loopbacks@
GatewayPorts clientspecified
AllowStreamLocalForwarding no
AllowAgentForwarding no
X11Forwarding no
PermitTunnel no
PermitTTY no
PermitUserRC no
ForceCommand /bin/false
MaxSessions 0
ClientAliveInterval 5
ClientAliveCountMax 2
CONFIG

cat >"$private/relocatable.py" <<'PYTHON'
@relocatable.py@
PYTHON

@tunnel@

# Watches for the main container's wish, unless it is known beforehand.
cat >"$private/serve-runtime" <<'RUNTIME'
until [ "${FARGATE_SANDBOX_RUNTIME:-}" = drop ] || [ -e /run/fargate-sandbox/work/want-runtime ]; do sleep 0.2; done
command -v python3 >/dev/null || sh /run/fargate-sandbox-private/install python3 ||
    { echo "ssh-sidecar: so the main container has to bring its own python3" >&2; exit 1; }
exec python3 -I -S -B /run/fargate-sandbox-private/relocatable.py /run/fargate-sandbox/runtime
RUNTIME

# sshd ends never, the time of the task does. `wait` is left at once when a signal comes.
cat >"$private/serve" <<'SERVE'
sh /run/fargate-sandbox-private/serve-runtime &
helpers=$!
@serve-tunnel@
(sleep "${FARGATE_SANDBOX_TTL:-14400}"; kill -USR1 $$) &
helpers="$helpers $!"
"$(command -v sshd)" -D -e -f /run/fargate-sandbox-private/sshd_config &
sshd=$!
end() { trap '' TERM USR1; kill $sshd $helpers 2>/dev/null; exit "$1"; }
trap 'end 143' TERM INT
trap 'end 92' USR1
wait $sshd
code=$?
echo "ssh-sidecar: sshd ended by itself with $code" >&2
end 1
SERVE

# From here on no environment in /proc holds the keys.
unset FARGATE_SANDBOX_HOST_KEY FARGATE_SANDBOX_AUTHORIZED_KEY
exec sh "$private/serve"
