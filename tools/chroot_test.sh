#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# chroot_test.sh SUITE [root|user]: run the README's two commands on a fresh
# Debian. SUITE is bookworm, trixie or newer. The script makes a minimal system
# with debootstrap, adds git and make, clones HEAD there, and runs "make demo"
# and "make test" as root (the default) or as a user who may use sudo without
# a password. The exit status is that of the first command that fails.
#
#   TESTS             arguments of "make test" for pytest, for example tests/unit
#   PIP_NO_INDEX=1    use no package index: Python packages come from Debian
#   TMPDIR            directory for the system (2 GB), not mounted nodev or noexec
#
# Only root can run the script. The packages come from the mirror that apt is
# configured for on this machine. Everything runs in a mount namespace and a
# process namespace of its own, so that no mount and no process outlives the
# script, whatever ends it.
set -eu

stop() {
    echo "chroot_test.sh: $*" >&2
    exit 2
}

say() { printf '\nchroot_test.sh: %s\n' "$*"; }

# Print the URIs of the archives of this machine's release, without its updates.
mirrors() {
    apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(COMPONENT)' \
        'Created-By: Packages' 2>/dev/null |
        awk '$3 == "main" && $2 !~ /-/ { print $1 }' | sort -u
}

# ---- inside the namespaces -----------------------------------------------

make_system() {
    proxy=
    eval "$(apt-config shell proxy Acquire::http::Proxy)"
    [ -z "$proxy" ] || export http_proxy="$proxy"
    packages=git,make
    [ "$who" = root ] || packages=$packages,sudo
    for mirror in $(mirrors); do
        say "installing $suite"
        if debootstrap --variant=minbase --include="$packages" "$suite" "$root" "$mirror" \
            >"$work/debootstrap.log" 2>&1; then
            return
        fi
        tail -n 5 "$work/debootstrap.log" >&2
    done
    stop "debootstrap of $suite failed"
}

mount_filesystems() {
    mount -t proc proc "$root/proc"
    mount -t sysfs -o ro sysfs "$root/sys"
    mount -t devpts -o newinstance,gid=5,mode=620,ptmxmode=666 devpts "$root/dev/pts"
    mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm"
}

# Configure host names, as Debian's installer does, and pip, as on this machine.
# pip's certificates get a file of their own, because the package ca-certificates
# overwrites the usual bundle when it is installed.
configure() {
    printf '127.0.0.1 localhost\n127.0.1.1 %s\n' "$(hostname)" >"$root/etc/hosts"
    if [ -f /etc/pip.conf ]; then
        cp /etc/pip.conf "$root/etc/pip.conf"
    fi
    if [ -f "${PIP_CERT:-}" ]; then
        cp "$PIP_CERT" "$root/etc/pip-cert.pem"
    fi
    [ "$who" != user ] || add_user
}

add_user() {
    chroot "$root" useradd -m -s /bin/bash tester
    echo 'tester ALL=(ALL) NOPASSWD: ALL' >"$root/etc/sudoers.d/tester"
    chmod 440 "$root/etc/sudoers.d/tester"
}

# in_system COMMAND...: run a command in the system, in an otherwise empty
# environment.
in_system() {
    home=/root
    [ "$who" = root ] || home=/home/tester
    # Clear settings that name files of this machine.
    HOME=/nonexistent XDG_CONFIG_HOME='' PIP_CONFIG_FILE='' PIP_FIND_LINKS='' \
        PIP_CERT=${PIP_CERT:+/etc/pip-cert.pem} SSL_CERT_FILE='' SSL_CERT_DIR='' \
        REQUESTS_CA_BUNDLE='' CURL_CA_BUNDLE='' \
        sh tools/empty_env.sh "$home" chroot \
        --userspec="$([ "$who" = root ] && echo 0:0 || echo tester:tester)" "$root" \
        sh -euc 'cd; "$@"' sh "$@"
}

inside() {
    make_system
    mount_filesystems
    configure
    git bundle create -q "$root/tmp/sshgateway.bundle" HEAD
    in_system git -c advice.detachedHead=false clone -q /tmp/sshgateway.bundle sshgateway
    say "$suite, $who: make demo"
    in_system make -C sshgateway --no-print-directory demo
    say "$suite, $who: make test"
    in_system make -C sshgateway --no-print-directory test TESTS="${TESTS:-}"
    say "$suite, $who: both commands succeeded"
}

# ---- outside -------------------------------------------------------------

outside() {
    [ "$(id -u)" -eq 0 ] || stop 'must be run as root'
    for program in debootstrap unshare git; do
        command -v "$program" >/dev/null || stop "$program is missing: please install it"
    done
    work=$(mktemp -d)
    chmod 755 "$work" # so that the user can reach the system
    child=
    trap finish EXIT
    trap 'exit 129' HUP
    trap 'exit 130' INT
    trap 'exit 143' TERM
    # Run this in the background, so that a signal ends this script at once.
    setpriv --pdeathsig KILL unshare --mount --pid --fork --kill-child \
        sh tools/chroot_test.sh --inside "$suite" "$who" "$work" &
    child=$!
    result=0
    wait "$child" || result=$?
    child=
    exit "$result"
}

# Killing unshare kills the first process of the namespace. The kernel then kills
# all other processes there and removes the mounts.
finish() {
    if [ -n "$child" ]; then
        kill -KILL "$child" 2>/dev/null || true
        wait "$child" 2>/dev/null || true
    fi
    rm -rf "$work" || { sleep 1; rm -rf "$work"; } # processes may still be ending
}

cd "$(dirname "$0")/.."
mode=outside
if [ "${1:-}" = --inside ]; then
    mode=inside
    shift
fi
suite=${1:-}
who=${2:-root}
work=${3:-}
root=$work/root
case $suite in
'' | *[!a-z]*) stop 'usage: chroot_test.sh SUITE [root|user]' ;;
esac
case $who in
root | user) ;;
*) stop "run the commands as root or user, not $who" ;;
esac
"$mode"
exit
