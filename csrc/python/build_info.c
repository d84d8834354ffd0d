/* SPDX-License-Identifier: BSD-2-Clause
 *
 * The facts of the build; see build_info.h.
 */
#include "python/build_info.h"

#include <stddef.h>

#ifdef SG_LIBSSH2_PINNED
#include <pinned_libssh2.h>
#include <openssl/crypto.h>
#endif

const char *
sg_build_libssh2(void)
{
#ifdef SG_LIBSSH2_PINNED
    return "pinned";
#else
    return "system";
#endif
}

const char *
sg_build_patches(void)
{
#ifdef SG_LIBSSH2_PINNED
    return LIBSSH2_PATCHES;
#else
    return "";
#endif
}

const char *
sg_build_openssl(void)
{
#ifdef SG_LIBSSH2_PINNED
    return OpenSSL_version(OPENSSL_VERSION_STRING);
#else
    return NULL;
#endif
}

const char *
sg_build_poller(void)
{
#ifdef SG_PORTABLE
    return "poll";
#else
    return "epoll";
#endif
}
