#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# bootstrap.sh demo|test|check|docs|fuzz: make this machine ready for that target of
# the Makefile. The script installs missing programs with apt. It installs Python
# packages into .venv, from the package index that pip is configured for or, if
# no index answers, from the distribution. If nothing is missing, it exits quickly
# and changes nothing.
#
#   PYTHON   the interpreter (3.11 or newer, with venv and headers)
#   VENV     the directory of the virtual environment (.venv)
#   SSHGATEWAY_LIBSSH2   pinned, system or auto (the default): the pinned libssh2, or
#            the system's if the pinned one cannot be built
set -eu

cd "$(dirname "$0")/.."
what=$1
venv=${VENV:-.venv}
system_python=/usr/bin/python3
PATH=$PATH:/usr/local/sbin:/usr/sbin

say() { printf 'bootstrap: %s\n' "$*"; }

stop() {
    printf 'bootstrap: %s\n' "$*" >&2
    exit 1
}

# ---- programs ------------------------------------------------------------

missing=

# need PACKAGE COMMAND...: add the Debian package to "missing" if the command fails.
need() {
    package=$1
    shift
    "$@" >/dev/null 2>&1 || missing="$missing $package"
}

have() { command -v "$1"; }

can_compile() {
    echo '#include <stdio.h>' | "${CC:-cc}" -x c -fsyntax-only -
}

can_fuzz() {
    program=$(mktemp)
    result=0
    echo 'int LLVMFuzzerTestOneInput(const char *p, long n) { return !p && n; }' |
        "${CLANG:-clang-14}" -fsanitize=fuzzer,address -x c - -o "$program" || result=1
    rm -f "$program"
    return $result
}

has_pam_headers() {
    printf '#include <stddef.h>\n#include <security/pam_modules.h>\n' |
        "${CC:-cc}" -x c -fsyntax-only -
}

netcat_passes_sockets() { have nc.openbsd || nc -h 2>&1 | grep -q 'Pass socket'; }

can_make_venv() {
    "$1" -c '
import ensurepip, os, sys, sysconfig, venv
header = os.path.join(sysconfig.get_path("include"), "Python.h")
sys.exit(sys.version_info < (3, 11) or not os.path.exists(header))'
}

has_own_tests() {
    "$1" -c '
from importlib.util import find_spec
raise SystemExit(find_spec("test") is None or find_spec("test.test_socket") is None)'
}

# Set "python" to the requested interpreter, or else to the first usable one.
choose_python() {
    if [ -n "${PYTHON:-}" ]; then
        can_make_venv "$PYTHON" >/dev/null 2>&1 ||
            stop "PYTHON=$PYTHON is not Python 3.11 or newer with venv and headers"
        python=$PYTHON
        return
    fi
    for python in python3 "$system_python"; do
        ! can_make_venv "$python" >/dev/null 2>&1 || return 0
    done
    missing="$missing python3 python3-venv python3-dev"
}

# Debian's interpreters lack Python's own tests, some of which we run on our objects.
need_own_tests() {
    tested=$python
    ! venv_is_usable || tested=$venv/bin/python
    ! has_own_tests "$tested" 2>/dev/null || return 0
    case $(readlink -f "$(command -v "$tested" || echo "$system_python")") in
    /usr/bin/*) missing="$missing libpython$(version_of "$tested")-testsuite" ;;
    *) say "$tested has no module test.test_socket: tests that need it will fail" ;;
    esac
}

# Print the version of an interpreter, for example 3.11. If it is not installed yet,
# print the version of the python3 that apt would install.
version_of() {
    "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null ||
        apt-cache policy python3 | sed -nE 's/^ *Candidate: (3\.[0-9]+).*/\1/p'
}

look_for_programs() {
    missing=
    python=$system_python # if choose_python finds no other
    venv_is_usable || choose_python
    need 'gcc libc6-dev' can_compile
    need pkg-config have "${PKG_CONFIG:-pkg-config}"
    need libssh2-1-dev "${PKG_CONFIG:-pkg-config}" --atleast-version=1.10 libssh2
    need libssl-dev "${PKG_CONFIG:-pkg-config}" --exists libcrypto
    need patch have patch
    case $what in
    demo | test)
        need openssh-client have ssh
        need openssh-server have sshd
        need ncat have ncat
        ;;
    esac
    [ "$what" != fuzz ] || need 'clang-14 libclang-rt-14-dev' can_fuzz
    if [ "$what" = test ]; then
        need socat have socat
        need netcat-openbsd netcat_passes_sockets
        need tinyproxy-bin have tinyproxy # without the daemon
        need openssl have openssl
        need libpam0g-dev has_pam_headers # a server with a second factor
        need dropbear-bin have dropbear
        need_own_tests
    fi
}

# Install Debian packages, or print the command to type and stop.
install_packages() {
    say "installing: $*"
    if ! have apt-get >/dev/null; then
        stop "this is not Debian or Ubuntu; please install the contents of these packages: $*"
    elif [ "$(id -u)" -eq 0 ]; then
        sh tools/apt_install.sh "$@"
    elif sudo -n true 2>/dev/null; then
        sudo -n sh tools/apt_install.sh "$@"
    else
        cat >&2 <<END
bootstrap: installing packages requires root. Please run

    sudo apt-get install --no-install-recommends $*

and try again. (The following command installs the same packages but starts no
daemon: sudo sh tools/apt_install.sh $*)
END
        exit 1
    fi
}

get_programs() {
    look_for_programs
    [ -n "$missing" ] || return 0
    # shellcheck disable=SC2086 # a list of words
    install_packages $missing
    look_for_programs
    [ -z "$missing" ] ||
        stop "these packages were installed, but their programs were not found:$missing"
}

# ---- Python packages -----------------------------------------------------

# Print the folder and the interpreter of the venv. A venv must not be moved.
venv_id() {
    printf '%s %s\n' "$PWD" "${PYTHON:-$(sed 's/.* //' "$venv/sshgateway-id")}"
}

venv_is_usable() {
    [ -f "$venv/sshgateway-id" ] &&
        [ "$(cat "$venv/sshgateway-id")" = "$(venv_id)" ] &&
        "$venv/bin/python" -c '' 2>/dev/null
}

# make_venv PYTHON [FLAG]: make the venv again. "import sshgateway" finds the source
# tree.
make_venv() {
    say "making $venv with $("$1" --version)"
    "$1" -m venv --clear ${2+"$2"} "$venv"
    site=$("$venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
    echo "$PWD/python" >"$site/sshgateway.pth"
    printf '%s %s\n' "$PWD" "${PYTHON:-$1}" >"$venv/sshgateway-id"
}

pip() { "$venv/bin/python" -m pip --disable-pip-version-check "$@"; }

index_answers() {
    probe=$(mktemp -d)
    result=0
    timeout 60 "$venv/bin/python" -m pip --disable-pip-version-check download -q \
        --no-deps --retries 0 --timeout 15 -d "$probe" setuptools >/dev/null 2>&1 ||
        result=1
    rm -rf "$probe"
    return $result
}

# install_beside NAME [PIP OPTION...]: install requirements/NAME.txt into a folder of
# its own. Tests use these packages in processes of their own, because the venv
# cannot hold two versions of a package.
install_beside() {
    name=$1
    shift
    rm -rf "$venv/$name"
    pip install -qq --target "$venv/$name" "$@" -r "requirements/$name.txt" || {
        rm -rf "$venv/$name"
        say "$name cannot be installed here; its tests will be skipped"
    }
}

install_other_versions() {
    install_beside paramiko-2.12
    # Install these without their requirements, because the tests choose the Paramiko.
    install_beside fabric-2.6 --no-deps
    install_beside fab-classic --no-deps
    install_beside paramiko-ng --no-deps
    install_beside peers --no-deps
    install_beside neighbours
}

install_from_index() {
    venv_is_usable || make_venv "$python"
    if [ "$what" = fuzz ]; then # these packages are optional
        pip install -qq -r requirements/fuzz.txt ||
            say 'atheris cannot be installed here; Python is fuzzed without coverage'
        return
    fi
    index_answers || return 1
    say "installing Python packages for $what"
    pip install -qq -r "requirements/$what.txt" || return 1
    [ "$what" != test ] || install_other_versions
}

# Install the distribution's packages and make a venv that can import them.
install_from_distribution() {
    say 'no Python package index answers: using the packages of the distribution'
    case $what in
    demo) set -- ;;
    test) set -- python3-pytest python3-hypothesis python3-fabric ;;
    check) set -- mypy clang-format python3-pytest ;;
    docs) set -- python3-sphinx python3-fabric ;;
    esac
    set -- python3 python3-venv python3-dev \
        python3-paramiko python3-setuptools python3-wheel "$@"
    wanted=
    for package in "$@"; do
        [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] ||
            wanted="$wanted $package"
    done
    # shellcheck disable=SC2086 # a list of words
    [ -z "$wanted" ] || install_packages $wanted
    if [ ! -f "$venv/sshgateway-from-distribution" ]; then
        make_venv "$system_python" --system-site-packages
        touch "$venv/sshgateway-from-distribution"
    fi
    say 'to try the package index again, remove .venv'
}

get_python_packages() {
    stamp=$venv/sshgateway-ready-$what
    wanted_stamp=$(cat requirements/*.txt tools/bootstrap.sh | cksum)
    if venv_is_usable && [ "$(cat "$stamp" 2>/dev/null)" = "$wanted_stamp" ]; then
        return 0
    fi
    if [ -f "$venv/sshgateway-from-distribution" ] || ! install_from_index; then
        install_from_distribution
    fi
    echo "$wanted_stamp" >"$stamp"
}

# ---- libssh2 ---------------------------------------------------------------

# Build the pinned libssh2. If its source cannot be obtained, use the system's libssh2
# and do not try again; "make libssh2" does.
get_libssh2() {
    tried=$venv/sshgateway-libssh2-tried
    case ${SSHGATEWAY_LIBSSH2:-auto} in
    system) return ;;
    pinned) sh deps/libssh2/build || exit 1 ;;
    *)
        if [ -f build/libssh2-pinned/made-of ] || [ ! -f "$tried" ]; then
            touch "$tried"
            sh deps/libssh2/build 2>build/libssh2.log || {
                rm -rf build/libssh2-pinned
                say "using the system's libssh2, because ours could not be built:" \
                    'see build/libssh2.log, or try "make libssh2"'
            }
        fi
        ;;
    esac
}

# Make the build rebuild the extension if it was built with another libssh2.
note_libssh2() {
    built=$venv/sshgateway-built
    made_of=build/libssh2-pinned/made-of
    chosen=system
    [ "${SSHGATEWAY_LIBSSH2:-auto}" = system ] || [ ! -f $made_of ] || chosen=pinned
    if [ "$(cat build/libssh2-chosen 2>/dev/null)" != $chosen ] ||
        { [ $chosen = pinned ] && [ $made_of -nt "$built" ]; }; then
        rm -f "$built"
    fi
}

get_programs
get_python_packages
get_programs # again, because the interpreter may have changed
mkdir -p build
get_libssh2
note_libssh2
