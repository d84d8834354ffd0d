/* SPDX-License-Identifier: BSD-2-Clause
 *
 * The docstrings of _core.Session.  Only python/session.c includes this file.
 *
 * The first line of each is the signature that inspect.signature() reads;
 * python/sshgateway/_core.pyi must agree with it.
 */

/* The last paragraph of each step. */
#define RAISES_SESSION                                                        \
    "Raises sshgateway._messages.SessionFailed if the step fails or takes\n"  \
    "longer than timeout, OSError(EBADF) after start() and close(), and\n"    \
    "RuntimeError if another thread uses the session."

PyDoc_STRVAR(
    handshake_doc,
    "handshake($self, kex, host_keys, ciphers, macs, timeout, /)\n"
    "--\n\n"
    "Exchange versions and keys with the server (RFC 4253, sections 4.2, 7).\n"
    "\n"
    "kex, host_keys, ciphers, macs\n"
    "    the algorithms to offer, separated by commas, the preferred one\n"
    "    first; None for the default\n"
    "timeout\n"
    "    seconds allowed, or None for no limit\n"
    "\n"
    "Returns None; check host_key next.\n"
    "\n" RAISES_SESSION);

PyDoc_STRVAR(
    userauth_send_doc,
    "userauth_send($self, message, timeout, /)\n"
    "--\n\n"
    "Send one message of the authentication without waiting for a reply.\n"
    "\n"
    "message\n"
    "    a bytes-like object: SSH_MSG_SERVICE_REQUEST (RFC 4253, section 10)\n"
    "    or a message with a number from 50 to 79 (RFC 4252)\n"
    "timeout\n"
    "    seconds allowed, or None for no limit; it passes only while a key\n"
    "    exchange is in progress\n"
    "\n"
    "Returns None.\n"
    "\n" RAISES_SESSION);

PyDoc_STRVAR(
    userauth_receive_doc,
    "userauth_receive($self, timeout, /)\n"
    "--\n\n"
    "Wait for the next message of the authentication.\n"
    "\n"
    "timeout\n"
    "    seconds allowed, or None for no limit\n"
    "\n"
    "Returns the message as bytes: SSH_MSG_SERVICE_ACCEPT or one with a\n"
    "number from 50 to 79, in the order of arrival.\n"
    "\n" RAISES_SESSION);

PyDoc_STRVAR(
    key_public_doc,
    "key_public($self, key, passphrase, /)\n"
    "--\n\n"
    "Compute the public key of a private key; nothing is sent.\n"
    "\n"
    "key\n"
    "    the private key in OpenSSH's format, PEM or PKCS #8, bytes-like\n"
    "passphrase\n"
    "    a str, or None if the key is not encrypted\n"
    "\n"
    "Returns bytes (RFC 4253, section 6.6).  Raises ValueError if the key\n"
    "cannot be read, and what userauth_send() raises.");

PyDoc_STRVAR(
    key_sign_doc,
    "key_sign($self, algorithm, key, passphrase, data, /)\n"
    "--\n\n"
    "Sign data by a private key; nothing is sent.\n"
    "\n"
    "algorithm\n"
    "    the name of the signature's algorithm, such as \"rsa-sha2-256\"\n"
    "key, passphrase\n"
    "    as for key_public()\n"
    "data\n"
    "    a bytes-like object\n"
    "\n"
    "Returns the signature as bytes, without the algorithm's name around it.\n"
    "Raises ValueError if the key cannot be read or used, and what\n"
    "userauth_send() raises.");

PyDoc_STRVAR(
    auth_none_doc,
    "auth_none($self, user, timeout, /)\n"
    "--\n\n"
    "Ask for the authentication methods (RFC 4252, section 5.2).\n"
    "\n"
    "user\n"
    "    the user name\n"
    "timeout\n"
    "    seconds allowed, or None for no limit\n"
    "\n"
    "Returns the names of the methods that can continue, separated by\n"
    "commas, or None if the server lets the user in without any.\n"
    "\n" RAISES_SESSION);

PyDoc_STRVAR(auth_password_doc,
             "auth_password($self, user, password, timeout, /)\n"
             "--\n\n"
             "Authenticate with a password (RFC 4252, section 8).\n"
             "\n"
             "user\n"
             "    the user name\n"
             "password\n"
             "    a bytes-like object\n"
             "timeout\n"
             "    seconds allowed, or None for no limit\n"
             "\n"
             "Returns None if the server accepts it, else (code, text) of\n"
             "libssh2's error.\n"
             "\n" RAISES_SESSION);

PyDoc_STRVAR(
    auth_key_doc,
    "auth_key($self, user, key, passphrase, certificate, timeout, /)\n"
    "--\n\n"
    "Authenticate with a private key (\"publickey\", RFC 4252, section 7).\n"
    "\n"
    "user\n"
    "    the user name\n"
    "key\n"
    "    the private key in OpenSSH's format, PEM or PKCS #8, bytes-like\n"
    "passphrase\n"
    "    a str, or None if the key is not encrypted\n"
    "certificate\n"
    "    the line of a certificate file for the key, or None\n"
    "timeout\n"
    "    seconds allowed, or None for no limit\n"
    "\n"
    "Returns None if the server accepts the key, else (code, text) of\n"
    "libssh2's error.\n"
    "\n" RAISES_SESSION);

PyDoc_STRVAR(
    auth_signer_doc,
    "auth_signer($self, user, blob, sign, timeout, /)\n"
    "--\n\n"
    "Authenticate with a key that an agent or a token holds (\"publickey\",\n"
    "RFC 4252, section 7).\n"
    "\n"
    "user\n"
    "    the user name\n"
    "blob\n"
    "    the public key or certificate (RFC 4253, section 6.6), bytes-like\n"
    "sign\n"
    "    a function: sign(algorithm, data) returns the signature as bytes,\n"
    "    without the name of the algorithm around it; algorithm is a str\n"
    "    such as \"rsa-sha2-256\" (RFC 8332)\n"
    "timeout\n"
    "    seconds allowed, or None for no limit\n"
    "\n"
    "Returns None if the server accepts the key, else (code, text) of\n"
    "libssh2's error.\n"
    "\n" RAISES_SESSION "\n\n"
    "An exception of sign() passes through.");

PyDoc_STRVAR(
    auth_interactive_doc,
    "auth_interactive($self, user, ask, timeout, /)\n"
    "--\n\n"
    "Authenticate with \"keyboard-interactive\" (RFC 4256).\n"
    "\n"
    "user\n"
    "    the user name\n"
    "ask\n"
    "    a function: ask(name, instruction, prompt, echo) returns the\n"
    "    response to one prompt as a str, or None to give up; echo is True\n"
    "    if the response may be shown\n"
    "timeout\n"
    "    seconds allowed, or None for no limit\n"
    "\n"
    "Returns None if the server is satisfied, else (code, text) of\n"
    "libssh2's error.\n"
    "\n" RAISES_SESSION "\n\n"
    "An exception of ask() passes through.");

PyDoc_STRVAR(
    start_doc,
    "start($self, alive_interval, alive_count_max, /)\n"
    "--\n\n"
    "Give the session to a loop of its own, which can then open channels.\n"
    "\n"
    "alive_interval\n"
    "    seconds without a byte from the server until the loop sends a\n"
    "    probe; 0 means never (ssh_config's ServerAliveInterval)\n"
    "alive_count_max\n"
    "    intervals without an answer after which the session is lost\n"
    "    (ServerAliveCountMax)\n"
    "\n"
    "Returns None.  Raises OSError if no thread or descriptor is available\n"
    "or the session is closed (EBADF), and RuntimeError if another thread\n"
    "uses it.");

PyDoc_STRVAR(
    session_close_doc,
    "close($self, /)\n"
    "--\n\n"
    "End the session and its channels without waiting; further calls do\n"
    "nothing.\n"
    "\n"
    "The loop delivers the bytes that the channels have sent, within a\n"
    "second, and disconnects.\n"
    "\n"
    "Raises RuntimeError if another thread uses the session.");

PyDoc_STRVAR(by_messages_doc,
             "True if userauth_send() and userauth_receive() can be used.");
PyDoc_STRVAR(
    hello_doc,
    "The bytes that the server sent before the keys were in use: lines of\n"
    "text, its identification string and KEXINIT (RFC 4253, sections 4.2,\n"
    "7.1).  Empty after a successful handshake.\n"
    "\n"
    "OSError(EBADF) after start().");
PyDoc_STRVAR(session_id_doc,
             "The session identifier as bytes (RFC 4253, section 7.2).\n"
             "\n"
             "OSError(EBADF) after start().");
PyDoc_STRVAR(
    server_sig_algs_doc,
    "The server's server-sig-algs (RFC 8308, section 3.1), a comma list;\n"
    "None if it has not sent one.  OSError(EBADF) after start().");
PyDoc_STRVAR(host_key_doc,
             "The server's public key as bytes (RFC 4253, section 6.6).\n"
             "\n"
             "OSError(EBADF) after start().");
PyDoc_STRVAR(methods_doc,
             "A dict of the algorithms agreed upon: kex, host_key, cipher,\n"
             "mac; and server_version.  OSError(EBADF) after start().");
PyDoc_STRVAR(
    counts_doc,
    "A dict of int: bytes_sent, bytes_received, channels_open,\n"
    "channels_opened, rekeys, and round_trip, the nanoseconds that the last\n"
    "probe took, or 0 before the first.");
PyDoc_STRVAR(failure_doc,
             "(errno, text) of the failure that ended the session, or None.");
PyDoc_STRVAR(is_alive_doc,
             "True after start() until the session is closed or lost.");

PyDoc_STRVAR(
    session_doc,
    "Session(fd, by_messages=True)\n"
    "--\n\n"
    "One SSH connection to a gateway, step by step.\n"
    "\n"
    "fd\n"
    "    the descriptor of a connected socket, which the session then owns\n"
    "by_messages\n"
    "    compose the messages of the authentication in Python, if the\n"
    "    libssh2 in use can do this; False lets libssh2 compose them\n"
    "\n"
    "Call handshake(), check host_key, authenticate, then call start().\n"
    "Raises OSError, and the caller still owns fd, if the session cannot be\n"
    "made.");
