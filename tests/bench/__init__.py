# SPDX-License-Identifier: BSD-2-Clause
"""The bench: contestants do the same works side by side, taking turns.

``python tests/bench`` (``make bench``) measures sshgateway beside Paramiko, ssh(1),
asyncssh and bare pipes.  A *contestant* provides a connected stream.  A *work* is done
once by a contestant and returns figures.

===============  ==========================================================================
``__main__``     the command line
``runner``       runs each work on each contestant in turn, and collects the figures
``worker``       the process in which one contestant does its works
``peer``         the program at the other end of every measured stream
``servers``      the sshds, byte servers and delays that a run needs, all on loopback
``meter``        clocks: time, CPU time, memory, threads, descriptors
``machine``      describes the machine and the versions of a run
``contestants``  ``base``: the interface of a contestant; ``proxycommand``: streams
                 through a local program; ``gateway``: streams through an SSH gateway;
                 ``session_inside``: a Paramiko session inside such a stream;
                 ``asyncssh_loop``: asyncssh driven from one thread
``works``        ``base``: the interface of a work; ``streams``: bulk data and echo;
                 ``proxycommand`` and ``gateway``: works of each, and the lists of all;
                 ``many_channels``: hundreds of channels on one gateway; ``curves``:
                 figures over a growing number, size or distance
``report``       ``results``: the figures, and their JSON file; ``goals``: the required
                 figures; ``tables``: tables for a terminal; ``pages``: files for the
                 manual; ``plot``: charts as SVG
===============  ==========================================================================
"""
