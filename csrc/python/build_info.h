/* SPDX-License-Identifier: BSD-2-Clause
 *
 * What this engine was built from, for sshgateway.build_info().
 */
#ifndef SG_BUILD_INFO_H
#define SG_BUILD_INFO_H

/* "pinned" (deps/libssh2, linked in) or "system". */
const char *sg_build_libssh2(void);

/* The patches in it, each followed by a newline; "" for the system's, which
 * may have some that we know nothing of. */
const char *sg_build_patches(void);

/* The version of the OpenSSL that a pinned libssh2 uses; NULL for the
 * system's, which may use something else. */
const char *sg_build_openssl(void);

/* "epoll" or "poll". */
const char *sg_build_poller(void);

#endif
