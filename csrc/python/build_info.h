/* SPDX-License-Identifier: BSD-2-Clause
 *
 * The facts of the build that sshgateway.build_info() shows.
 *
 * All strings are static: the caller does not free them.
 */
#ifndef SG_BUILD_INFO_H
#define SG_BUILD_INFO_H

/* Returns "pinned" if the libssh2 of deps/libssh2 is linked in, "system" if
 * the system's is. */
const char *sg_build_libssh2(void);

/* Returns the names of the patches in the pinned libssh2, each followed by a
 * newline.  Returns "" for the system's libssh2, whose patches are unknown. */
const char *sg_build_patches(void);

/* Returns the version of OpenSSL that the pinned libssh2 uses.  Returns NULL
 * for the system's libssh2, which may use another library. */
const char *sg_build_openssl(void);

/* Returns "epoll", or "poll" in a portable build. */
const char *sg_build_poller(void);

#endif
