# SPDX-License-Identifier: BSD-2-Clause
"""Importing in a subinterpreter raises ImportError and has no other effect."""

import os
import sys

import sshgateway

CODE = f"""
import os, sys
sys.path[:] = {sys.path!r}
try:
    import sshgateway
except ImportError as error:
    said = "ImportError"
except BaseException as error:
    said = repr(error)
else:
    said = "imported"
os.write({{}}, said.encode())
"""

try:
    import _interpreters as interpreters  # 3.13
except ImportError:
    import _xxsubinterpreters as interpreters

reading, writing = os.pipe()
os.set_inheritable(writing, True)
other = interpreters.create()
(getattr(interpreters, "exec", None) or interpreters.run_string)(other, CODE.format(writing))
os.close(writing)
said = os.read(reading, 1000).decode()
os.close(reading)
assert said == "ImportError", said
interpreters.destroy(other)

with sshgateway.ProxyCommand("cat") as sock:
    sock.sendall(b"unharmed")
    assert sock.recv(10) == b"unharmed"
