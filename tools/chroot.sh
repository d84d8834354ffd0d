# SPDX-License-Identifier: BSD-2-Clause
# chroot.sh: functions that make a fresh Debian in a temporary directory and run
# commands there. tools/chroot_test.sh and tools/test_wheel.sh source this file.
#
# Only root can use it. The packages come from the mirror that apt is configured
# for on this machine. Everything runs in a mount namespace and a process namespace
# of its own, so that no mount and no process outlives the script, whatever ends it.
#
# The script sets "usage" and "packages" (those of the system, separated by commas),
# defines inside(), and calls main "$@". inside() may use say, in_system and
# the variables root (the directory of the system), suite and who (root or user).
#
#   TMPDIR   directory for the system (2 GB), not mounted nodev or noexec

stop() {
    echo "${0##*/}: $*" >&2
    exit 2
}

say() { printf '\n%s: %s\n' "${0##*/}" "$*"; }

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
    [ "$who" = root ] || packages=$packages,sudo
    scripts=/usr/share/debootstrap/scripts
    script= # a release that debootstrap does not know is made like sid
    [ -e $scripts/"$suite" ] || script=$scripts/sid
    for mirror in $(mirrors); do
        say "installing $suite"
        # shellcheck disable=SC2086 # no word if it is empty
        if debootstrap --variant=minbase --include="$packages" "$suite" "$root" "$mirror" $script \
            >"$work/debootstrap.log" 2>&1; then
            return
        fi
        tail -n 5 "$work/debootstrap.log" >&2
    done
    stop "debootstrap of $suite failed"
}

# The root is a mount point, because tests change its propagation.
mount_filesystems() {
    mount --bind "$root" "$root"
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
        sh "tools/${0##*/}" --inside "$suite" "$who" "$work" &
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

main() {
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
    '' | *[!a-z]*) stop "$usage" ;;
    esac
    case $who in
    root | user) ;;
    *) stop "run the commands as root or user, not $who" ;;
    esac
    if [ $mode = inside ]; then
        make_system
        mount_filesystems
        configure
    fi
    $mode
    exit
}
