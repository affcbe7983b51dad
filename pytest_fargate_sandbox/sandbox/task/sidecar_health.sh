# Healthy: sshd listens, each reverse port has its listener on loopback, and a runtime that was ordered is there.
# The kernel's tables have addresses and ports in hexadecimal, the addresses back to front, and 0A for "listens".
listens() { # address pattern, port
    cat /proc/net/tcp /proc/net/tcp6 2>/dev/null | grep -q ": $1:$(printf %04X "$2") [0-9A-F:]* 0A "
}
listens '[0-9A-F]*' "$FARGATE_SANDBOX_SSHD_PORT" || exit 1
IFS=,
for each in ${FARGATE_SANDBOX_REVERSE_PORTS:-}; do
    case $each in *:*) last=${each%:*} last=${last##*.} ;; *) last=1 ;; esac
    listens "$(printf %02X "$last")00007F" "${each##*:}" || exit 1
done
[ "${FARGATE_SANDBOX_RUNTIME:-}" != drop ] || [ -e /run/fargate-sandbox/runtime/ready ]
