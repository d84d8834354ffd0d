#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# check_layers.sh DIRECTORY: check the layers of the C sources. Each folder of
# DIRECTORY is one layer, and may include the headers of some others:
#
#   sys <- engine <- {proxy, ssh} <- python
#
# System calls belong in sys, libssh2.h in ssh, Python.h in python. Every
# include of a header of ours names its folder. Each violation is printed as
# file:line:text.
set -u
cd "$1" || exit 2
found=0

# rule TEXT LINES: report that LINES, unless empty, break the rule TEXT.
rule() {
    [ -n "$2" ] || return 0
    printf '%s:\n%s\n' "$1" "$2" >&2
    found=1
}

# code FILE...: print the lines of FILE as file:line:text, without comments and
# without the text of strings.
code() {
    awk '
    FNR == 1 { comment = 0 }
    {
        line = $0; out = ""
        while (line != "") {
            if (comment) {
                end = index(line, "*/")
                if (!end) break
                line = substr(line, end + 2); comment = 0
            } else if (match(line, /^"([^"\\]|\\.)*"/)) {
                out = out "\"\""; line = substr(line, RLENGTH + 1)
            } else if (match(line, /^\047([^\047\\]|\\.)*\047/)) {
                out = out "0"; line = substr(line, RLENGTH + 1)
            } else if (substr(line, 1, 2) == "//") {
                break
            } else if (substr(line, 1, 2) == "/*") {
                line = substr(line, 3); comment = 1
            } else {
                out = out substr(line, 1, 1); line = substr(line, 2)
            }
        }
        if (out ~ /[^ \t]/) print FILENAME ":" FNR ":" out
    }' "$@"
}

# includes PATTERN: print the lines that include a header that matches PATTERN.
includes() {
    grep -nE "^[ 	]*#[ 	]*include[ 	]*[<\"]$1[\">]" -- */*.[ch] /dev/null
}

# may_include FOLDER LAYER|LAYER...: FOLDER includes headers of these layers only.
may_include() {
    rule "$1 may include headers of $2 only" \
        "$(grep -nE '^[ 	]*#[ 	]*include[ 	]*"' -- "$1"/*.[ch] /dev/null |
            grep -vE ":[ 	]*#[ 	]*include[ 	]*\"($2)/[a-z_]+\.h\"")"
}

calls='read|write|readv|writev|open|openat|creat|close|close_range|poll|ppoll|select|pselect'
calls="$calls|epoll_create1?|epoll_ctl|epoll_p?wait|recv|recvfrom|recvmsg|send|sendto|sendmsg"
calls="$calls|socket|socketpair|connect|accept4?|bind|listen|shutdown|pipe2?|splice|tee"
calls="$calls|fork|vfork|clone|_exit|execve?|execvp?e?|execl|posix_spawnp?|kill|killpg|tgkill"
calls="$calls|wait|waitid|waitpid|wait4|fcntl|ioctl|dup[23]?|eventfd|timerfd_[a-z]+|signalfd"
calls="$calls|syscall|getsockopt|setsockopt|getsockname|getpeername|clock_gettime|gettimeofday"
calls="$calls|sigaction|sigprocmask|setsid|chdir|usleep|nanosleep|sleep|prctl"
calls="$calls|pidfd_open|pidfd_send_signal|pidfd_getfd|getpid|getrlimit|setrlimit"

may_include sys 'sys'
may_include engine 'sys|engine'
may_include proxy 'sys|engine|proxy'
may_include ssh 'sys|engine|ssh'
may_include python 'sys|engine|proxy|ssh|python'
rule 'an internal.h is for its own folder only' \
    "$(includes '[a-z]+/([a-z]+_)?internal\.h' |
        awk -F'[/:"]' '$1 != $5')"
rule 'sources belong in one of the five folders' \
    "$(find . -name '*.[ch]' | grep -vE '^\./(sys|engine|proxy|ssh|python)/[a-z_]+\.[ch]$')"
rule 'Python.h belongs in python only' \
    "$(includes 'Python\.h' | grep -v '^python/')"
rule 'libssh2.h belongs in ssh only' \
    "$(includes 'libssh2[a-z_]*\.h' | grep -v '^ssh/')"
rule 'system calls belong in sys only' \
    "$(code */*.c | grep -v '^sys/' |
        grep -E "(:|[^A-Za-z0-9_.>])($calls)[ 	]*\(")"

[ "$found" -eq 0 ] && echo 'layers: no violation'
exit "$found"
