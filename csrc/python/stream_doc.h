/* SPDX-License-Identifier: BSD-2-Clause
 *
 * The docstrings of _core.Stream.  Only python/stream.c includes this file.
 *
 * The first line of each is the signature that inspect.signature() reads;
 * python/sshgateway/_core.pyi must agree with it.  Sphinx reads the rest as
 * reStructuredText.
 */

PyDoc_STRVAR(
    recv_doc,
    "recv($self, bufsize, flags=0, /)\n"
    "--\n\n"
    "Receive up to bufsize bytes; wait only until there are some.\n"
    "\n"
    "bufsize\n"
    "    the largest number of bytes to return\n"
    "flags\n"
    "    flags of recv(2), such as socket.MSG_PEEK\n"
    "\n"
    "Returns bytes; b\"\" means the end of the stream, unless bufsize is 0.\n"
    "If the far end failed, the first call after the last byte raises the\n"
    "reason, a ProxyCommandError or a GatewayLostError, and later calls\n"
    "return b\"\".\n"
    "\n"
    "Raises TimeoutError(\"timed out\") if no byte arrives within the\n"
    "timeout, BlockingIOError if the stream is non-blocking and no byte is\n"
    "there, OSError(EBADF) if the stream is closed, even if another thread\n"
    "closes it during the call, OSError(EOPNOTSUPP) for socket.MSG_OOB, and\n"
    "ValueError if bufsize is negative.  See socket.socket.recv.");

PyDoc_STRVAR(
    recv_into_doc,
    "recv_into($self, /, buffer, nbytes=0, flags=0)\n"
    "--\n\n"
    "Receive up to nbytes bytes into a buffer.\n"
    "\n"
    "buffer\n"
    "    a writable bytes-like object\n"
    "nbytes\n"
    "    the largest number of bytes to receive; 0 means the buffer's size\n"
    "flags\n"
    "    flags of recv(2)\n"
    "\n"
    "Returns the number of bytes received; 0 means the end of the stream.\n"
    "\n"
    "Raises ValueError if nbytes is negative or larger than the buffer, and\n"
    "whatever recv() raises.  See socket.socket.recv_into.");

PyDoc_STRVAR(recvfrom_doc,
             "recvfrom($self, bufsize, flags=0, /)\n"
             "--\n\n"
             "Receive up to bufsize bytes, and the address of the sender.\n"
             "\n"
             "bufsize, flags\n"
             "    as in recv()\n"
             "\n"
             "Returns (data, None), as a connected stream socket does.\n"
             "\n"
             "Raises whatever recv() raises.  See socket.socket.recvfrom.");

PyDoc_STRVAR(
    recvfrom_into_doc,
    "recvfrom_into($self, /, buffer, nbytes=0, flags=0)\n"
    "--\n\n"
    "Receive up to nbytes bytes into a buffer, and the sender's address.\n"
    "\n"
    "buffer, nbytes, flags\n"
    "    as in recv_into()\n"
    "\n"
    "Returns (nbytes, None), where nbytes is the number of bytes received.\n"
    "\n"
    "Raises whatever recv_into() raises.  See socket.socket.recvfrom_into.");

PyDoc_STRVAR(
    recvmsg_doc,
    "recvmsg($self, bufsize, ancbufsize=0, flags=0, /)\n"
    "--\n\n"
    "Receive up to bufsize bytes, and the flags of the message.\n"
    "\n"
    "bufsize\n"
    "    the largest number of bytes to return\n"
    "ancbufsize\n"
    "    bytes of ancillary data to accept; ignored, because none arrives\n"
    "flags\n"
    "    flags of recvmsg(2)\n"
    "\n"
    "Returns (data, ancdata, msg_flags, address).  ancdata is [] and address\n"
    "is None.\n"
    "\n"
    "Raises ValueError if a size is negative, and whatever recv() raises.\n"
    "See socket.socket.recvmsg.");

PyDoc_STRVAR(
    recvmsg_into_doc,
    "recvmsg_into($self, buffers, ancbufsize=0, flags=0, /)\n"
    "--\n\n"
    "Receive into several buffers, and fill one after the other.\n"
    "\n"
    "buffers\n"
    "    an iterable of writable bytes-like objects\n"
    "ancbufsize, flags\n"
    "    as in recvmsg()\n"
    "\n"
    "Returns (nbytes, ancdata, msg_flags, address), where nbytes is the\n"
    "number of bytes received, ancdata is [] and address is None.\n"
    "\n"
    "Raises OSError(EMSGSIZE) for more than IOV_MAX buffers, and whatever\n"
    "recvmsg() raises.  See socket.socket.recvmsg_into.");

PyDoc_STRVAR(
    send_doc,
    "send($self, data, flags=0, /)\n"
    "--\n\n"
    "Send bytes; wait only until some of them are accepted.\n"
    "\n"
    "data\n"
    "    a bytes-like object\n"
    "flags\n"
    "    flags of send(2)\n"
    "\n"
    "Returns the number of bytes accepted, which can be less than the size\n"
    "of data.  Accepted bytes are delivered as long as the far end takes\n"
    "them, even after close().\n"
    "\n"
    "Raises TimeoutError(\"timed out\") if no byte is accepted within the\n"
    "timeout, BlockingIOError if the stream is non-blocking and has no room,\n"
    "OSError(EBADF) if the stream is closed, even if another thread closes\n"
    "it during the call, and OSError(EOPNOTSUPP) for socket.MSG_OOB.  Raises\n"
    "BrokenPipeError if the far end is gone; if it failed, this is the\n"
    "reason, a ProxyCommandError or a GatewayLostError.  One exception: if\n"
    "the far end failed before it sent a byte, send() discards data and\n"
    "reports success until recv() has raised the reason, or until 64 KiB\n"
    "were sent.  See socket.socket.send.");

PyDoc_STRVAR(
    sendall_doc,
    "sendall($self, data, flags=0, /)\n"
    "--\n\n"
    "Send bytes, and wait until all of them are accepted.\n"
    "\n"
    "data\n"
    "    a bytes-like object\n"
    "flags\n"
    "    flags of send(2)\n"
    "\n"
    "Returns None.  The timeout applies to the whole call.\n"
    "\n"
    "Raises TimeoutError(\"timed out\") if not all bytes are accepted within\n"
    "the timeout, BlockingIOError if the stream is non-blocking and runs out\n"
    "of room, and whatever send() raises.  After an exception the number of\n"
    "bytes accepted is unknown.  See socket.socket.sendall.");

PyDoc_STRVAR(
    sendmsg_doc,
    "sendmsg($self, buffers, ancdata=(), flags=0, address=None, /)\n"
    "--\n\n"
    "Send the bytes of several buffers, one after the other.\n"
    "\n"
    "buffers\n"
    "    an iterable of bytes-like objects\n"
    "ancdata\n"
    "    must be empty, because a gateway carries no ancillary data\n"
    "flags\n"
    "    flags of sendmsg(2)\n"
    "address\n"
    "    must be None, because the stream is connected\n"
    "\n"
    "Returns the number of bytes accepted, which can be less than the sum of\n"
    "the sizes.\n"
    "\n"
    "Raises OSError(EOPNOTSUPP) for ancillary data, OSError(EISCONN) for an\n"
    "address, OSError(EMSGSIZE) for more than IOV_MAX buffers, and whatever\n"
    "send() raises.  See socket.socket.sendmsg.");

PyDoc_STRVAR(
    sendfile_doc,
    "sendfile($self, /, file, offset=0, count=None)\n"
    "--\n\n"
    "Send the contents of a file.\n"
    "\n"
    "file\n"
    "    a file object opened in binary mode\n"
    "offset\n"
    "    where to start, in bytes; 0 means the current position of the file\n"
    "count\n"
    "    the largest number of bytes to send; None means up to the end\n"
    "\n"
    "Returns the number of bytes sent.  If any were sent, the position of\n"
    "the file is then offset plus this number, even after an exception.\n"
    "The timeout applies to each send() and not to the whole call.\n"
    "\n"
    "Raises ValueError for a file in text mode, a count that is not positive\n"
    "or a non-blocking stream, TypeError for a count that is no integer, and\n"
    "whatever send() and file.read() raise.  See socket.socket.sendfile.");

PyDoc_STRVAR(
    makefile_doc,
    "makefile($self, /, mode='r', buffering=None, *, encoding=None, "
    "errors=None, newline=None)\n"
    "--\n\n"
    "Return a file object that reads from and writes to the stream.\n"
    "\n"
    "mode\n"
    "    \"r\", \"w\" or \"rw\", and \"b\" for bytes instead of str\n"
    "buffering\n"
    "    the size of the buffer in bytes; 0 means none, None the default\n"
    "encoding, errors, newline\n"
    "    as in open(), for str\n"
    "\n"
    "close() closes the descriptor only after the last of these files is\n"
    "closed.  The stream must not be non-blocking.\n"
    "\n"
    "Raises ValueError for another mode.  This method runs the code of\n"
    "socket.socket.makefile.");

PyDoc_STRVAR(
    settimeout_doc,
    "settimeout($self, seconds, /)\n"
    "--\n\n"
    "Set the timeout of all calls that start from now on.\n"
    "\n"
    "seconds\n"
    "    int or float; 0 makes the stream non-blocking; None means no limit,\n"
    "    which is the default\n"
    "\n"
    "Raises ValueError if seconds is negative, OverflowError if it is too\n"
    "large, TypeError if it is no number, and OSError(EBADF) if the stream\n"
    "is closed.  See socket.socket.settimeout.");

PyDoc_STRVAR(gettimeout_doc,
             "gettimeout($self, /)\n"
             "--\n\n"
             "Return the timeout in seconds as a float; None means no limit.\n"
             "\n"
             "See socket.socket.gettimeout.");

PyDoc_STRVAR(setblocking_doc,
             "setblocking($self, flag, /)\n"
             "--\n\n"
             "Make the stream blocking or non-blocking.\n"
             "\n"
             "flag\n"
             "    True is settimeout(None), False is settimeout(0)\n"
             "\n"
             "Raises OSError(EBADF) if the stream is closed.  See\n"
             "socket.socket.setblocking.");

PyDoc_STRVAR(getblocking_doc,
             "getblocking($self, /)\n"
             "--\n\n"
             "Return False if the stream is non-blocking (its timeout is 0).\n"
             "\n"
             "See socket.socket.getblocking.");

PyDoc_STRVAR(
    fileno_doc,
    "fileno($self, /)\n"
    "--\n\n"
    "Return the descriptor, for select, poll, asyncio and the like.\n"
    "\n"
    "Returns -1 if the stream is closed.  The descriptor is one end of an\n"
    "AF_UNIX socketpair.  It is readable when recv() would not wait, and\n"
    "writable when send() would not.  With fdpass it is the socket that the\n"
    "program handed over.  See socket.socket.fileno.");

PyDoc_STRVAR(
    get_inheritable_doc,
    "get_inheritable($self, /)\n"
    "--\n\n"
    "Return True if programs that this process executes get the descriptor.\n"
    "\n"
    "It is False for a new stream.  Raises OSError(EBADF) if the stream is\n"
    "closed.  See socket.socket.get_inheritable.");

PyDoc_STRVAR(
    set_inheritable_doc,
    "set_inheritable($self, /, inheritable)\n"
    "--\n\n"
    "Set whether programs that this process executes get the descriptor.\n"
    "\n"
    "Raises OSError(EBADF) if the stream is closed, and TypeError unless\n"
    "inheritable is a bool or an int.  See socket.socket.set_inheritable.");

PyDoc_STRVAR(
    detach_doc,
    "detach($self, /)\n"
    "--\n\n"
    "Close the object but not its descriptor, and return the descriptor.\n"
    "\n"
    "Returns -1 if the stream is closed.  From now on the descriptor is the\n"
    "caller's to close, and it stays open in a child of fork().  The far end\n"
    "lives until the descriptor is closed.  If the far end fails, reads from\n"
    "the descriptor see the end of the stream but no reason.  See\n"
    "socket.socket.detach.");

PyDoc_STRVAR(
    dup_doc,
    "dup($self, /)\n"
    "--\n\n"
    "Return a socket.socket on a duplicate of the descriptor.\n"
    "\n"
    "The duplicate has the same timeout.  The far end lives until both are\n"
    "closed.  After dup(), close() does not wake callers that wait in other\n"
    "threads.\n"
    "\n"
    "Raises OSError(EBADF) if the stream is closed.  See socket.socket.dup.");

PyDoc_STRVAR(
    shutdown_doc,
    "shutdown($self, how, /)\n"
    "--\n\n"
    "End one direction of the stream, or both.\n"
    "\n"
    "how\n"
    "    socket.SHUT_WR: the far end sees the end of its input after all\n"
    "    bytes that were sent (for a channel, SSH_MSG_CHANNEL_EOF of RFC\n"
    "    4254, section 5.3), and the other direction goes on;\n"
    "    socket.SHUT_RD: bytes that arrive from now on are discarded;\n"
    "    socket.SHUT_RDWR: both\n"
    "\n"
    "Returns None.  Raises OSError(EBADF) if the stream is closed, and\n"
    "OSError(EINVAL) for another value.  See socket.socket.shutdown.");

PyDoc_STRVAR(
    close_doc,
    "close($self, /)\n"
    "--\n\n"
    "Close the stream without waiting; further calls do nothing.\n"
    "\n"
    "Calls that wait in other threads raise OSError(EBADF), unless dup() was\n"
    "called.  Bytes that were sent before are delivered in the background,\n"
    "then the far end is closed; the constructor's linger limits the time\n"
    "without progress.  While files of makefile() are open, all of this\n"
    "happens when the last of them is closed.\n"
    "\n"
    "Returns None and raises nothing.  See socket.socket.close.");

PyDoc_STRVAR(
    getpeername_doc,
    "getpeername($self, /)\n"
    "--\n\n"
    "Return the address of the target.\n"
    "\n"
    "For a channel this is dest_addr: (host, port), or the path of a Unix\n"
    "socket.  For a proxy command it is the constructor's peername.  Without\n"
    "one it is (\"unknown\", 0), or with fdpass the address of the socket's\n"
    "peer.\n"
    "\n"
    "Raises OSError(EBADF) if the stream is closed.  See\n"
    "socket.socket.getpeername.");

PyDoc_STRVAR(
    getsockname_doc,
    "getsockname($self, /)\n"
    "--\n\n"
    "Return (\"\", 0), because the near end has no address.\n"
    "\n"
    "With fdpass, returns the socket's own address.  Raises OSError(EBADF)\n"
    "if the stream is closed.  See socket.socket.getsockname.");

PyDoc_STRVAR(
    getsockopt_doc,
    "getsockopt($self, level, optname, buflen=0, /)\n"
    "--\n\n"
    "Return the value of a socket option.\n"
    "\n"
    "level, optname\n"
    "    as in getsockopt(2), such as socket.SOL_SOCKET, socket.SO_SNDBUF\n"
    "buflen\n"
    "    the largest number of bytes to return, up to 1024; 0 means an int\n"
    "\n"
    "Returns an int, or bytes if buflen is not 0.  For socket.IPPROTO_TCP,\n"
    "returns the value that setsockopt() stored, or 0, because the near end\n"
    "has no TCP connection; with fdpass, the socket's own value.\n"
    "\n"
    "Raises OSError if buflen is out of range, the level or the option is\n"
    "unknown, or the stream is closed (EBADF).  See\n"
    "socket.socket.getsockopt.");

PyDoc_STRVAR(
    setsockopt_doc,
    "setsockopt($self, level, optname, value, optlen=-1, /)\n"
    "--\n\n"
    "Set the value of a socket option.\n"
    "\n"
    "level, optname\n"
    "    as in setsockopt(2)\n"
    "value\n"
    "    an int, a bytes-like object, or None\n"
    "optlen\n"
    "    the number of bytes, only if value is None\n"
    "\n"
    "Options of socket.IPPROTO_TCP, such as TCP_NODELAY, are stored for\n"
    "getsockopt() and have no other effect; with fdpass they are set.\n"
    "\n"
    "Raises OSError if the level or the option is unknown, or the stream is\n"
    "closed (EBADF), and TypeError for another value.  See\n"
    "socket.socket.setsockopt.");

PyDoc_STRVAR(decref_socketios_doc,
             "_decref_socketios($self, /)\n"
             "--\n\n"
             "Note that a file of makefile() was closed.\n"
             "\n"
             "CPython's socket.SocketIO calls this method.");

PyDoc_STRVAR(enter_doc, "__enter__($self, /)\n"
                        "--\n\n"
                        "Return the stream itself.");

PyDoc_STRVAR(exit_doc, "__exit__($self, /, *args)\n"
                       "--\n\n"
                       "Call close().  Exceptions pass through.");

PyDoc_STRVAR(bytes_sent_doc,
             "The number of bytes that the methods of this object have sent.\n"
             "\n"
             "Use of the descriptor by others is not counted.");

PyDoc_STRVAR(
    bytes_received_doc,
    "The number of bytes that the methods of this object have received.\n"
    "\n"
    "Use of the descriptor by others is not counted.");

PyDoc_STRVAR(family_doc,
             "socket.AF_UNIX; with fdpass, the family of the socket that the\n"
             "program handed over.");

PyDoc_STRVAR(type_doc, "socket.SOCK_STREAM.");

PyDoc_STRVAR(proto_doc,
             "0; with fdpass, the protocol of the socket that the program\n"
             "handed over.");

PyDoc_STRVAR(timeout_doc,
             "The timeout in seconds; None means no limit, 0 non-blocking.\n"
             "\n"
             "settimeout() and setblocking() change it.");

PyDoc_STRVAR(
    closed_doc,
    "True after close() and detach(), and in a child of fork() whose parent\n"
    "opened the stream.");

PyDoc_STRVAR(
    stream_doc,
    "The socket methods of ProxyCommand and DirectTcpipChannel.\n"
    "\n"
    "The methods have the parameters, results and exceptions of a connected\n"
    "socket.socket; the description of each names the differences.  Like a\n"
    "socket, a stream can be used by several threads at once.  In a child of\n"
    "fork() the stream is closed; in the parent it goes on.");
