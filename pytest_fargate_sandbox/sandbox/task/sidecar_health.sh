# Healthy: sshd listens, each reverse port has its listener on 127.0.0.1, and a runtime that was ordered is there.
# The kernel's tables have addresses and ports in hexadecimal, and 0A for "listens".
listens() { # address pattern, port
    cat /proc/net/tcp /proc/net/tcp6 2>/dev/null | grep -q ": $1:$(printf %04X "$2") [0-9A-F:]* 0A "
}
listens '[0-9A-F]*' "$FARGATE_SANDBOX_SSHD_PORT" || exit 1
IFS=,
for port in ${FARGATE_SANDBOX_REVERSE_PORTS:-}; do listens 0100007F "$port" || exit 1; done
[ "${FARGATE_SANDBOX_RUNTIME:-}" != drop ] || [ -e /run/fargate-sandbox/runtime/ready ]
