#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# test_wheel.sh SUITE [root|user]: run pytest on the wheel that "make wheel" has
# made, installed on a fresh Debian without a compiler, without headers and without
# our sources. SUITE is bookworm or newer. See tools/chroot.sh.
#
#   PYTHON   the interpreter: a package of the suite, such as python3.14
#            (default: python3), or the directory of a CPython on this machine
#   TESTS    arguments of pytest, for example tests/unit
set -eu

usage='usage: test_wheel.sh SUITE [root|user]'
packages=ca-certificates,git,openssh-client,openssh-server,ncat,socat,netcat-openbsd
packages=$packages,tinyproxy-bin,openssl,dropbear-bin,procps,netbase
python=${PYTHON:-python3}
case $python in
/*) packages=$packages,libbz2-1.0,libexpat1,libffi8,liblzma5,libncursesw6,libreadline8,libsqlite3-0,libssl3,zlib1g ;;
*) packages=$packages,$python,$python-venv ;;
esac

# Debian has Python's own tests, some of which we run, in a package of their own.
add_own_tests() {
    version=$(in_system "$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    chroot "$root" apt-get install -y -qq --no-install-recommends \
        "libpython$version-testsuite" >/dev/null
}

# Copy what the tests read. "python" and "csrc" are not among it. The PAM module of
# the tests is compiled here, because the system has no compiler.
copy_tests() {
    mkdir "$root/tmp/sshgateway"
    git archive HEAD CHANGES.rst README.rst docs examples pyproject.toml requirements tests tools |
        tar -x -C "$root/tmp/sshgateway"
    cc -shared -fPIC -o "$root/tmp/sshgateway/tests/support/pam_prompt.so" \
        tests/support/pam_prompt.c
    chmod -R a+rwX "$root/tmp/sshgateway"
    mkdir "$root/tmp/dist"
    cp dist/sshgateway-*-abi3-manylinux*.whl "$root/tmp/dist"
}

# Make a venv with the wheel and the packages of the tests, as tools/bootstrap.sh does.
install_wheel() {
    in_system "$python" -m venv venv
    in_system sh -c 'venv/bin/pip install -qq /tmp/dist/*.whl -r /tmp/sshgateway/requirements/test.txt'
    for name in paramiko-2.12 neighbours; do
        in_system venv/bin/pip install -qq --target venv/$name \
            -r /tmp/sshgateway/requirements/$name.txt || say "$name cannot be installed"
    done
    for name in fabric-2.6 fab-classic paramiko-ng peers; do
        in_system venv/bin/pip install -qq --no-deps --target venv/$name \
            -r /tmp/sshgateway/requirements/$name.txt || say "$name cannot be installed"
    done
}

inside() {
    case $python in
    /*)
        mkdir -p "$root${python%/*}"
        cp -R "$python" "$root$python"
        python=$python/bin/python3
        ;;
    *) add_own_tests ;;
    esac
    copy_tests
    install_wheel
    ! in_system sh -c 'command -v cc gcc clang' || stop 'the system has a compiler'
    say "$suite, $who, $python: pytest"
    # shellcheck disable=SC2086 # a list of words
    in_system sh -euc 'cd /tmp/sshgateway; exec "$@"' sh "$([ "$who" = root ] && echo /root ||
        echo /home/tester)/venv/bin/python" -m pytest -p no:cacheprovider ${TESTS:-}
}

cd "$(dirname "$0")/.."
[ -n "$(ls dist/sshgateway-*-abi3-manylinux*.whl 2>/dev/null)" ] || {
    echo 'test_wheel.sh: there is no wheel; run "make wheel" first' >&2
    exit 2
}
. tools/chroot.sh
main "$@"
