#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# empty_env.sh HOME COMMAND...: run the command as on a newly installed machine.
# HOME is the given directory. PATH has only the directories of the distribution,
# so python3 is the distribution's. The command keeps the few variables that a
# machine may need to reach its package archives (proxies, certificates and pip's
# settings), and also CI and TERM.
set -eu

home=$1
shift

kept='CI|TERM|PIP_[A-Z_]+|(http|https|ftp|all|no)_proxy|(HTTP|HTTPS|FTP|ALL|NO)_PROXY'
kept="$kept|SSL_CERT_(FILE|DIR)|REQUESTS_CA_BUNDLE|CURL_CA_BUNDLE"
for name in $(env | sed -nE "s/^($kept)=.*/\1/p" | sort -u); do
    eval "value=\${$name-}"
    [ -z "$value" ] || set -- "$name=$value" "$@"
done

# Keep the user's configuration of pip, which pip does not find in the new HOME.
config=${XDG_CONFIG_HOME:-${HOME:-}/.config}/pip/pip.conf
if [ -z "${PIP_CONFIG_FILE:-}" ] && [ -r "$config" ]; then
    set -- "PIP_CONFIG_FILE=$config" "$@"
fi

exec env -i HOME="$home" PATH=/usr/sbin:/usr/bin:/sbin:/bin "$@"
