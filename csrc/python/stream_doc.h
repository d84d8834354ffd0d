/* SPDX-License-Identifier: BSD-2-Clause
 *
 * The docstrings of _core.Stream; included by py_stream.c only.
 */

PyDoc_STRVAR(
    recv_doc,
    "recv($self, bufsize, flags=0, /)\n"
    "--\n\n"
    "Receive up to bufsize bytes, as soon as there are any.\n"
    "\n"
    "Returns bytes; b\"\" once the far end has closed in peace.  When it went\n"
    "away otherwise, the first call after all data was received raises the\n"
    "reason, a ProxyCommandError; later ones return b\"\".\n"
    "\n"
    "flags are those of recv(2); MSG_OOB is refused with OSError(EOPNOTSUPP).\n"
    "Raises TimeoutError(\"timed out\") after the timeout, BlockingIOError in\n"
    "non-blocking mode, OSError(EBADF) when closed, also when another thread\n"
    "closes the stream during the call.  See socket.socket.recv.");

PyDoc_STRVAR(
    recv_into_doc,
    "recv_into($self, /, buffer, nbytes=0, flags=0)\n"
    "--\n\n"
    "Receive up to nbytes bytes (0: as many as fit) into a writable buffer.\n"
    "\n"
    "Returns the number of bytes, 0 at the end of the stream.  Otherwise as\n"
    "recv().  See socket.socket.recv_into.");

PyDoc_STRVAR(
    recvfrom_doc,
    "recvfrom($self, bufsize, flags=0, /)\n"
    "--\n\n"
    "Like recv(), but returns (data, None): a connected stream has no sender.\n"
    "\n"
    "See socket.socket.recvfrom.");

PyDoc_STRVAR(recvfrom_into_doc,
             "recvfrom_into($self, /, buffer, nbytes=0, flags=0)\n"
             "--\n\n"
             "Like recv_into(), but returns (nbytes, None).\n"
             "\n"
             "See socket.socket.recvfrom_into.");

PyDoc_STRVAR(
    recvmsg_doc,
    "recvmsg($self, bufsize, ancbufsize=0, flags=0, /)\n"
    "--\n\n"
    "Like recv(), but returns (data, ancdata, msg_flags, address).\n"
    "\n"
    "No ancillary data comes through a gateway: ancdata is [], address None.\n"
    "See socket.socket.recvmsg.");

PyDoc_STRVAR(
    recvmsg_into_doc,
    "recvmsg_into($self, buffers, ancbufsize=0, flags=0, /)\n"
    "--\n\n"
    "Receive into an iterable of writable buffers.\n"
    "\n"
    "Returns (nbytes, ancdata, msg_flags, address), with [] and None as in\n"
    "recvmsg().  See socket.socket.recvmsg_into.");

PyDoc_STRVAR(
    send_doc,
    "send($self, data, flags=0, /)\n"
    "--\n\n"
    "Send a bytes-like object; returns how many bytes were accepted.\n"
    "\n"
    "What is accepted will be delivered, also after close(), as long as the\n"
    "far end takes it.  Raises TimeoutError(\"timed out\") when nothing could be\n"
    "accepted within the timeout, BlockingIOError in non-blocking mode, and\n"
    "BrokenPipeError with the reason (a ProxyCommandError) once the far end is\n"
    "gone; but when it failed before its first byte, sends are taken until\n"
    "recv() has told why, up to 64 KiB.  See socket.socket.send.");

PyDoc_STRVAR(
    sendall_doc,
    "sendall($self, data, flags=0, /)\n"
    "--\n\n"
    "Send all of a bytes-like object; returns None.\n"
    "\n"
    "The timeout (seconds) is for the whole of it.  After an error there is no\n"
    "way to tell how much was accepted.  Otherwise as send().  See\n"
    "socket.socket.sendall.");

PyDoc_STRVAR(
    sendmsg_doc,
    "sendmsg($self, buffers, ancdata=(), flags=0, address=None, "
    "/)\n"
    "--\n\n"
    "Send an iterable of bytes-like objects; returns how many bytes went out.\n"
    "\n"
    "Ancillary data can't cross a gateway: any is refused with\n"
    "OSError(EOPNOTSUPP).  Otherwise as send().  See socket.socket.sendmsg.");

PyDoc_STRVAR(
    sendfile_doc,
    "sendfile($self, /, file, offset=0, count=None)\n"
    "--\n\n"
    "Send a file, opened in binary mode, from offset (bytes) to its end.\n"
    "\n"
    "count (bytes): at most so many.  Returns the number of bytes sent and\n"
    "leaves the file's position behind them.  See socket.socket.sendfile.");

PyDoc_STRVAR(
    makefile_doc,
    "makefile($self, /, mode='r', buffering=None, *, encoding=None, "
    "errors=None, newline=None)\n"
    "--\n\n"
    "A file object on the stream, exactly that of socket.socket.makefile.\n"
    "\n"
    "While file objects are open, close() is deferred.");

PyDoc_STRVAR(
    settimeout_doc,
    "settimeout($self, seconds, /)\n"
    "--\n\n"
    "Set the timeout of every following call, in seconds (float).\n"
    "\n"
    "None: wait for ever.  0: don't wait.  Raises ValueError when negative.\n"
    "See socket.socket.settimeout.");

PyDoc_STRVAR(
    gettimeout_doc,
    "gettimeout($self, /)\n"
    "--\n\n"
    "The timeout in seconds, or None.  See socket.socket.gettimeout.");

PyDoc_STRVAR(setblocking_doc,
             "setblocking($self, flag, /)\n"
             "--\n\n"
             "settimeout(None) when flag is true, else settimeout(0).");

PyDoc_STRVAR(getblocking_doc,
             "getblocking($self, /)\n"
             "--\n\n"
             "False when the timeout is 0.  See socket.socket.getblocking.");

PyDoc_STRVAR(
    fileno_doc,
    "fileno($self, /)\n"
    "--\n\n"
    "The descriptor, for select, poll, asyncio...; -1 when closed.\n"
    "\n"
    "It is one end of an AF_UNIX socket pair, and ready when the stream is.");

PyDoc_STRVAR(
    detach_doc,
    "detach($self, /)\n"
    "--\n\n"
    "Give up the descriptor and return it, open; the object is closed then.\n"
    "\n"
    "The descriptor goes on working, and the far end lives until it is closed;\n"
    "who uses it sees plain ends of stream without a reason.  See\n"
    "socket.socket.detach.");

PyDoc_STRVAR(
    dup_doc,
    "dup($self, /)\n"
    "--\n\n"
    "A plain socket.socket on a copy of the descriptor, with the same timeout.\n"
    "\n"
    "The far end lives until both are closed.  See socket.socket.dup.");

PyDoc_STRVAR(
    shutdown_doc,
    "shutdown($self, how, /)\n"
    "--\n\n"
    "End one direction (SHUT_RD, SHUT_WR) or both (SHUT_RDWR).\n"
    "\n"
    "SHUT_WR is a half-close: the far end sees the end of its input after all\n"
    "that was sent, and the other direction goes on.  After SHUT_RD what\n"
    "arrives is discarded.  See socket.socket.shutdown.");

PyDoc_STRVAR(
    close_doc,
    "close($self, /)\n"
    "--\n\n"
    "Close the stream.  Returns at once; further calls do nothing.\n"
    "\n"
    "Callers that wait in other threads are woken with OSError(EBADF), unless\n"
    "dup() was called.  What was accepted is still delivered in the background;\n"
    "then the far end is ended and reaped.  Deferred while file objects of\n"
    "makefile() are open.  See socket.socket.close.");

PyDoc_STRVAR(
    getpeername_doc,
    "getpeername($self, /)\n"
    "--\n\n"
    "The target: (host, port), or the path of a Unix socket.\n"
    "\n"
    "A proxy command knows it only from peername=, else (\"unknown\", 0).");

PyDoc_STRVAR(getsockname_doc, "getsockname($self, /)\n"
                              "--\n\n"
                              "(\"\", 0): the near end has no address.");

PyDoc_STRVAR(
    getsockopt_doc,
    "getsockopt($self, level, optname, buflen=0, /)\n"
    "--\n\n"
    "A socket option, as int, or bytes when buflen is given.\n"
    "\n"
    "Options of IPPROTO_TCP read back what was set, 0 by default, and have no\n"
    "effect: there is no TCP on this side.  See socket.socket.getsockopt.");

PyDoc_STRVAR(
    setsockopt_doc,
    "setsockopt($self, level, optname, value, optlen=-1, /)\n"
    "--\n\n"
    "Set a socket option: value is an int, bytes, or None with optlen.\n"
    "\n"
    "Options of IPPROTO_TCP are only stored.  See socket.socket.setsockopt.");

PyDoc_STRVAR(bytes_sent_doc,
             "Bytes accepted from the methods of this object.");

PyDoc_STRVAR(bytes_received_doc,
             "Bytes returned by the methods of this object.");

PyDoc_STRVAR(family_doc,
             "socket.AF_UNIX; of a socket that was handed over, its own.");

PyDoc_STRVAR(type_doc, "socket.SOCK_STREAM.");

PyDoc_STRVAR(proto_doc, "0; of a socket that was handed over, its own.");

PyDoc_STRVAR(timeout_doc, "The timeout in seconds, or None.");

PyDoc_STRVAR(closed_doc, "True after close() or detach().");

PyDoc_STRVAR(
    stream_doc,
    "What every stream through a gateway can do.\n"
    "\n"
    "The methods are those of a connected socket.socket, with the same\n"
    "arguments, results and exceptions; each says where it differs.  Safe to\n"
    "use from several threads as a socket is.  In the child of a fork() the\n"
    "stream is closed; the parent's goes on.");
