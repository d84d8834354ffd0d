/* SPDX-License-Identifier: BSD-2-Clause
 *
 * Closing descriptors on a thread that holds the GIL; see descriptor.h.
 */
#include "python/descriptor.h"

#include "sys/sys.h"

void
sg_descriptor_close(unsigned generation, int *fd)
{
    if (*fd < 0) {
        return;
    }
    Py_BEGIN_ALLOW_THREADS
    sg_sys_close_of(generation, fd);
    Py_END_ALLOW_THREADS
}
