#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# apt_install.sh PACKAGE...: install Debian packages, as root, without starting
# their daemons and without enabling them for the next boot. Daemons of packages
# that were already installed stay as they are.
set -eu

policy=/usr/sbin/policy-rc.d
policy_of_before=$policy.before-sshgateway
marker='written by sshgateway tools/apt_install.sh'

is_installed() {
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

# Packages start daemons with invoke-rc.d and deb-systemd-invoke. Both run this
# program first, and its exit status 101 forbids the start.
forbid_starting() {
    restore_policy # in case a killed run left its own
    if [ -e "$policy" ] || [ -L "$policy" ]; then
        mv "$policy" "$policy_of_before"
    fi
    printf '#!/bin/sh\n# %s\nexit 101\n' "$marker" >"$policy"
    chmod 755 "$policy"
}

restore_policy() {
    if grep -qs "$marker" "$policy"; then
        rm -f "$policy"
    fi
    if [ -e "$policy_of_before" ] || [ -L "$policy_of_before" ]; then
        mv "$policy_of_before" "$policy"
    fi
}

# A package enables its daemon when it is first installed, even if systemd does
# not run. deb-systemd-helper disables it in such a way that an upgrade of the
# package does not enable it again; it requires DPKG_MAINTSCRIPT_PACKAGE.
disable_daemons() {
    units=$(dpkg -L "$1" |
        sed -nE 's,^.*/systemd/system/([^/@]*\.(service|socket))$,\1,p' | sort -u)
    for unit in $units; do
        DPKG_MAINTSCRIPT_PACKAGE=$1 deb-systemd-helper disable "$unit" || true
    done
    for script in $(dpkg -L "$1" | sed -n 's,^/etc/init.d/,,p'); do
        update-rc.d "$script" disable >/dev/null || true
    done
}

finish() {
    for package in $new; do
        if is_installed "$package"; then
            disable_daemons "$package"
        fi
    done
    if [ -d /run/systemd/system ]; then
        systemctl daemon-reload || true
    fi
    restore_policy
}

if [ "$(id -u)" -ne 0 ]; then
    echo "apt_install.sh: must be run as root" >&2
    exit 1
fi

new=
for package in "$@"; do
    is_installed "$package" || new="$new $package"
done

trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
forbid_starting

export DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1
apt-get -q -o DPkg::Lock::Timeout=300 update ||
    echo 'apt_install.sh: apt-get update failed; continuing with the existing package lists' >&2
apt-get -q -y -o DPkg::Lock::Timeout=300 install --no-install-recommends "$@"
