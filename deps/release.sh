# SPDX-License-Identifier: BSD-2-Clause
# release.sh: functions that get a file of a release and check its SHA-256. The
# scripts deps/*/fetch source this file. Nothing here writes outside of "dir" or
# changes /etc/apt.
#
#   dir        the directory for the file; the caller sets it
#   PYTHON     a Python for the download where neither curl nor wget is installed

sum_of() {
    if command -v sha256sum >/dev/null; then sha256sum "$1"; else shasum -a 256 "$1"; fi |
        cut -d ' ' -f 1
}

# is_right FILE SHA256
is_right() { [ -f "$1" ] && [ "$(sum_of "$1")" = "$2" ]; }

# keep FILE SHA256 NAME: move FILE to dir/NAME if its checksum is right.
keep() { is_right "$1" "$2" && mv "$1" "$dir/$3"; }

# Print the URIs of the archives of this machine's release, without its updates.
mirrors() {
    apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(COMPONENT)' \
        'Created-By: Packages' 2>/dev/null |
        awk '$3 == "main" && $2 !~ /-/ { print $1 }' | sort -u
}

# sources_list SUITE
sources_list() {
    for keyring in /usr/share/keyrings/debian-archive-keyring.pgp \
        /usr/share/keyrings/debian-archive-keyring.gpg ''; do
        [ ! -f "$keyring" ] || break
    done
    for uri in $(mirrors); do
        printf 'Types: deb-src\nURIs: %s\nSuites: %s\nComponents: main\n' "$uri" "$1"
        printf '%s\n' "${keyring:+Signed-By: $keyring
}"
    done
}

# from_debian SUITE SOURCE_PACKAGE[=VERSION]: download a source package to "$work"
# from the mirror that this machine's apt uses. apt gets a state directory of its
# own. The caller removes "$work".
from_debian() {
    work=$(mktemp -d "$dir/apt.XXXXXX")
    command -v apt-get >/dev/null || return 1
    mkdir -p "$work/state/lists/partial" "$work/cache/archives/partial"
    sources_list "$1" >"$work/$1.sources"
    wanted=$2
    set -- -qq -o Dir::Etc::SourceList="$work/$1.sources" -o Dir::Etc::SourceParts=- \
        -o Dir::State="$work/state" -o Dir::Cache="$work/cache" \
        -o Dir::State::status=/dev/null -o APT::Sandbox::User= \
        -o Acquire::Retries=2 -o Acquire::http::Timeout=20
    apt-get "$@" update || true # an archive may not have that suite
    (cd "$work" && apt-get "$@" --download-only source "$wanted") || true
}

# from_url URL SHA256 NAME: download dir/NAME.
from_url() {
    part=$dir/part.$$
    if command -v curl >/dev/null; then
        curl -fsSL --connect-timeout 10 --max-time 300 -o "$part" "$1"
    elif command -v wget >/dev/null; then
        wget -q -T 20 -O "$part" "$1"
    else
        "${PYTHON:-python3}" -c 'import sys, urllib.request as r
open(sys.argv[2], "wb").write(r.urlopen(sys.argv[1], timeout=20).read())' "$1" "$part"
    fi && keep "$part" "$2" "$3" && return 0
    rm -f "$part"
    return 1
}
