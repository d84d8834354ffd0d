/* SPDX-License-Identifier: BSD-2-Clause
 *
 * _core.DirectTcpipChannel: a stream through an SSH connection.
 */
#ifndef SG_PY_CHANNEL_H
#define SG_PY_CHANNEL_H

#include "python/module.h"

extern PyType_Spec sg_channel_spec;

#endif
