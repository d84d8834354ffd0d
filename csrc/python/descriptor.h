/* SPDX-License-Identifier: BSD-2-Clause
 *
 * Closing descriptors on a thread that holds the GIL.
 *
 * close(2) of a socket with SO_LINGER waits for the network.  The GIL is
 * released meanwhile, so that all other threads of the program go on.
 */
#ifndef SG_PY_DESCRIPTOR_H
#define SG_PY_DESCRIPTOR_H

#include "python/module.h"

/* Release the GIL, close *fd as sg_sys_close_of(generation, fd) does, and take
 * the GIL again.  An exception that is set stays set.
 *
 * Other threads run meanwhile, so `fd` must point to a variable of the caller:
 * take the descriptor out of the object first. */
void sg_descriptor_close(unsigned generation, int *fd);

#endif
