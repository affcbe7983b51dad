# Brings a Python into the volume that the main container has as well, and ends: POSIX sh, for any image with a python3.
set -eu
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export PATH
mkdir -p /run/fargate-sandbox/work
chmod 755 /run/fargate-sandbox
chmod 1777 /run/fargate-sandbox/work
if ! command -v python3 >/dev/null; then
    apk add --no-cache --quiet python3 >&2 || {
        echo "fargate-sandbox-runtime: no python3 in this image, and none to be had: runtime_image names one that has it" >&2
        exit 1
    }
fi
cat >/tmp/relocatable.py <<'PYTHON'
@relocatable.py@
PYTHON
exec python3 -I -S -B /tmp/relocatable.py /run/fargate-sandbox/runtime
