/* SPDX-License-Identifier: BSD-2-Clause
 *
 * _core.DirectTcpipChannel: a stream that a channel of an SSH connection
 * carries.
 */
#ifndef SG_PY_CHANNEL_H
#define SG_PY_CHANNEL_H

#include "python/module.h"

/* The subtype of Stream, which module.c makes. */
extern PyType_Spec sg_channel_spec;

#endif
