# SPDX-License-Identifier: BSD-2-Clause
"""fab-classic: a fabfile with a gateway.  ``fab -f use_fab_classic.py -H db1,db2 uptime``"""

from fabric.api import env, run, task

import sshgateway.fabric_classic

sshgateway.fabric_classic.install()

env.gateway = env.gateway or "deploy@bastion"  # what --gateway says comes first


@task
def uptime() -> None:
    """One login on the gateway for all hosts; with ``-P``, one for each process."""
    run("uptime")
