#!/bin/bash
# What a make target needs: says what is lacking in one line, and as root on a Debian installs it.
#   needs.sh rust CARGO | needs.sh test | needs.sh demo
set -u
cd "$(dirname "$0")/../.." || exit 1

msrv=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
get="get it with: curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh"

rust() {
    local cargo=${1:-cargo} have
    if ! command -v "$cargo" >/dev/null; then
        echo "mainstay needs Rust $msrv or newer and there is no cargo here; $get" >&2
        exit 1
    fi
    have=$("$cargo" --version | sed -n 's/^cargo \([0-9.]*\).*/\1/p')
    if [ "$(printf '%s\n%s\n' "$msrv" "$have" | sort -V | head -n 1)" != "$msrv" ]; then
        echo "mainstay needs Rust $msrv or newer, this is $have; rustup update stable, or $get" >&2
        exit 1
    fi
}

# Packages for the commands that are not there: `missing COMMAND PACKAGE ...`
missing() {
    while [ $# -gt 1 ]; do
        [ -x "$1" ] || PATH="$PATH:/usr/sbin:/sbin" command -v "$1" >/dev/null || echo "$2"
        shift 2
    done
}

# Installs without letting a service start: a policy-rc.d of ours stands while apt runs.
install_packages() {
    local policy=/usr/sbin/policy-rc.d saved=""
    if [ -e "$policy" ]; then
        saved=$(mktemp "$policy.XXXXXX") && mv "$policy" "$saved"
    fi
    # shellcheck disable=SC2064
    trap "rm -f '$policy'; [ -z '$saved' ] || mv '$saved' '$policy'" EXIT
    trap 'exit 130' INT TERM
    printf '#!/bin/sh\nexit 101\n' >"$policy" && chmod 755 "$policy"
    export DEBIAN_FRONTEND=noninteractive
    { apt-get update -q && apt-get install -q -y --no-install-recommends "$@"; } >target/apt.log 2>&1 || {
        tail -n 20 target/apt.log >&2
        echo "could not install $* (whole log in target/apt.log)" >&2
        exit 1
    }
    # Not now and not at the next boot either.
    for unit in keepalived frr; do
        case " $* " in *" $unit "*) systemctl disable "$unit" >/dev/null 2>&1 || true ;; esac
    done
}

packages() {
    [ $# -eq 0 ] && return 0
    if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
        echo "not installed: $* (as root on Debian: make deps)" >&2
        return 1
    fi
    mkdir -p target
    echo "installing $*" >&2
    install_packages "$@"
}

case ${1:-} in
rust) rust "${2:-cargo}" ;;
test)
    # Without them the tests that need them skip and say so.
    # shellcheck disable=SC2046
    packages $(missing cc gcc cc libc6-dev keepalived keepalived /usr/lib/frr/vrrpd frr tcpdump tcpdump \
        tshark tshark nft nftables ip iproute2 ping iputils-ping setpriv util-linux openssl openssl | sort -u) ||
        [ "$(id -u)" -ne 0 ]
    ;;
demo)
    # shellcheck disable=SC2046
    packages $(missing cc gcc cc libc6-dev ip iproute2 setpriv util-linux | sort -u)
    ;;
*)
    echo "usage: needs.sh rust|test|demo" >&2
    exit 64
    ;;
esac
