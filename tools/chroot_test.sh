#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# chroot_test.sh SUITE [root|user]: run the README's two commands on a fresh
# Debian. SUITE is bookworm, trixie or newer. The script makes a minimal system,
# adds git and make, clones HEAD there, and runs "make demo" and "make test" as
# root (the default) or as a user who may use sudo without a password. The exit
# status is that of the first command that fails. See tools/chroot.sh.
#
#   TESTS             arguments of "make test" for pytest, for example tests/unit
#   PIP_NO_INDEX=1    use no package index: Python packages come from Debian
set -eu

usage='usage: chroot_test.sh SUITE [root|user]'
packages=git,make

inside() {
    git bundle create -q "$root/tmp/sshgateway.bundle" HEAD
    in_system git -c advice.detachedHead=false clone -q /tmp/sshgateway.bundle sshgateway
    say "$suite, $who: make demo"
    in_system make -C sshgateway --no-print-directory demo
    say "$suite, $who: make test"
    in_system make -C sshgateway --no-print-directory test TESTS="${TESTS:-}"
    say "$suite, $who: both commands succeeded"
}

cd "$(dirname "$0")/.."
. tools/chroot.sh
main "$@"
