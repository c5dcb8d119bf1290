#!/bin/sh
# Install what is missing: install_missing.sh [--required] COMMAND:DEBIAN-PACKAGE...
#
# As root on Debian or Ubuntu, missing packages are installed and kept from
# starting a service. Anywhere else one line says what to install: tests that
# need it are then skipped, unless TICKGLASS_REQUIRE_SERVERS=1 or --required
# makes that an error.

set -eu
PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin"

required=${TICKGLASS_REQUIRE_SERVERS:-0}
if [ "${1:-}" = --required ]; then
    required=1
    shift
fi

missing=""
for pair in "$@"; do
    command -v "${pair%%:*}" >/dev/null 2>&1 || missing="$missing ${pair#*:}"
done
[ -n "$missing" ] || exit 0
# shellcheck disable=SC2086 # a list of words
missing=$(printf '%s\n' $missing | sort -u | tr '\n' ' ')
missing=${missing% }

install_packages() {
    policy=/usr/sbin/policy-rc.d
    if [ ! -e "$policy" ]; then # Debian asks it before a package starts a service
        printf '#!/bin/sh\nexit 101\n' >"$policy"
        chmod 755 "$policy"
        trap 'rm -f "$policy"' EXIT
        trap 'exit 1' HUP INT TERM
    fi
    export DEBIAN_FRONTEND=noninteractive
    echo "installing $missing"
    apt-get update -qq </dev/null || return 1
    # shellcheck disable=SC2086
    apt-get install -y -qq --no-install-recommends -o DPkg::Lock::Timeout=120 $missing </dev/null >/dev/null || return 1
    [ -d /run/systemd/system ] || return 0
    # shellcheck disable=SC2086
    for unit in $(dpkg -L $missing | sed -n 's|.*/systemd/system/\([^/]*\.\(service\|timer\)\)$|\1|p'); do
        systemctl disable --now --quiet "$unit" || true # nor at the next boot
    done
}

if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1 && install_packages; then
    exit 0
fi

if [ "$required" = 1 ]; then
    echo "missing, and required: $missing (on Debian: apt-get install --no-install-recommends $missing)" >&2
    exit 1
fi
echo "missing: $missing (on Debian: sudo apt-get install --no-install-recommends $missing); tests that need it are skipped" >&2
