/* SPDX-License-Identifier: BSD-2-Clause
 *
 * _core.ProxyCommand: a stream that a local program carries.
 */
#ifndef SG_PY_PROXYCOMMAND_H
#define SG_PY_PROXYCOMMAND_H

#include "python/module.h"

/* The subtype of Stream, which module.c makes. */
extern PyType_Spec sg_proxycommand_spec;

#endif
