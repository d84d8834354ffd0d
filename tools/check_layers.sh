#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# check_layers.sh DIRECTORY: who among the C sources may include what and call
# what (docs/architecture.rst). Prints each offence as file:line: text.
set -u
cd "$1" || exit 2
found=0

# rule TEXT LINES: LINES, if there are any, break the rule.
rule() {
    [ -n "$2" ] || return 0
    printf '%s:\n%s\n' "$1" "$2" >&2
    found=1
}

# code FILE...: as file:line:text, without comments and the text of strings.
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

includes() {
    grep -nE "^[ 	]*#[ 	]*include[ 	]*[<\"]$1[\">]" -- *.[ch] /dev/null
}

calls='read|write|readv|writev|open|openat|creat|close|close_range|poll|ppoll|select|pselect'
calls="$calls|epoll_create1?|epoll_ctl|epoll_p?wait|recv|recvfrom|recvmsg|send|sendto|sendmsg"
calls="$calls|socket|socketpair|connect|accept4?|bind|listen|shutdown|pipe2?|splice|tee"
calls="$calls|fork|vfork|clone|_exit|execve?|execvp?e?|execl|posix_spawnp?|kill|killpg|tgkill"
calls="$calls|wait|waitid|waitpid|wait4|fcntl|ioctl|dup[23]?|eventfd|timerfd_[a-z]+|signalfd"
calls="$calls|syscall|getsockopt|setsockopt|getsockname|getpeername|clock_gettime|gettimeofday"
calls="$calls|sigaction|sigprocmask|setsid|chdir|usleep|nanosleep|sleep|prctl"
calls="$calls|pidfd_open|pidfd_send_signal|pidfd_getfd|getpid|getrlimit|setrlimit"


rule 'Python.h belongs in py_* only' \
    "$(includes 'Python\.h' | grep -v '^py_')"
rule 'libssh2.h belongs in session*.c, handshake.c, auth.c and channel*.c only' \
    "$(includes 'libssh2[a-z_]*\.h' | grep -vE '^(session(_loop)?|handshake|auth|channel(_open)?)\.c:')"
rule 'system calls belong in sys.c only' \
    "$(code ./*.c | sed 's,^\./,,' | grep -vE '^sys(_[a-z]+)?\.c:' |
        grep -E "(:|[^A-Za-z0-9_.>])($calls)[ 	]*\(")"

[ "$found" -eq 0 ] && echo 'layers: as they should be'
exit "$found"
