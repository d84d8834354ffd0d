# SPDX-License-Identifier: BSD-2-Clause
"""fab-classic: a fabfile with a gateway.  ``fab -f use_fab_classic.py -H db1,db2 uptime``"""

from fabric.api import env, run, task

import sshgateway.fabric_classic

sshgateway.fabric_classic.install()

env.gateway = env.gateway or "deploy@bastion"  # --gateway has precedence


@task
def uptime() -> None:
    """One login on the gateway serves all hosts; with ``-P``, each process has its own."""
    run("uptime")
