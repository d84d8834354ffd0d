# SPDX-License-Identifier: BSD-2-Clause
"""Decide whether a host key is trusted, beside the public module known_hosts.py.

``policy`` takes the decisions for a Gateway. ``lines`` are those of known_hosts files, and
``command`` runs KnownHostsCommand. ``certificates`` reads host certificates. ``revocation`` reads
the files of revoked keys, and ``krl`` those that are key revocation lists; both compare keys in
the encoding of ``canonical_keys``.
"""
