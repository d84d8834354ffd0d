# SPDX-License-Identifier: BSD-2-Clause
"""Helpers of the tests, the bench and the demo: private servers, clients and waiting.

Tests import from here as ``from support.sshd import PrivateSshd``.  pytest and mypy find
the package in ``tests`` (pyproject.toml); ``support.fresh`` passes that path to scripts
in interpreters of their own.

======================  ===================================================================
``server``              base of the private servers on loopback; ``keeper`` is the process
                        that runs one and removes everything of it
``sshd``                a private OpenSSH server
``ssh_agent``           a private ssh-agent(1)
``http_proxy``          a private tinyproxy
``web``                 a web server, and an HTTP conversation with it
``scripted``            servers that misbehave, and Paramiko's server
``auth_script``         Paramiko servers whose authentication a test writes
``pam``                 a private OpenSSH server with PAM and a known password
``peers``               asyncssh's server (``asyncssh_server``) and dropbear
``oracle``              whether ssh(1) can log in
``fake_agent``          an agent whose replies a test decides
``crowd``               one process that serves thousands of connections
``delay_relay``         a TCP relay that delays every byte
``certificate``         a TLS certificate for loopback
``gateways``            Gateways to a private sshd, and targets behind them
``streams``             the kinds of stream that tests/contract runs on
``outcome``             compares the outcomes of the same call on two sockets
``logins``              flows of logins with Paramiko
``fabrics``             flows of Fabric 2 and 3 with our gateways
``fabfile_classic``     tasks for Fabric 1; ``fab`` is the program that runs them
``fresh``               runs a script in a fresh interpreter
``terminal``            a program in a pseudo-terminal
``footprint``           descriptors, children, threads and memory of a process
``waiting``             waiting for events with a deadline
======================  ===================================================================

``keeper``, ``crowd`` and ``delay_relay`` are also run as programs, by their path; they
import only the standard library.
"""
