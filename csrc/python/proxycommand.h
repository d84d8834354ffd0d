/* SPDX-License-Identifier: BSD-2-Clause
 *
 * _core.ProxyCommand: a stream carried by a local program.
 */
#ifndef SG_PY_PROXYCOMMAND_H
#define SG_PY_PROXYCOMMAND_H

#include "python/module.h"

extern PyType_Spec sg_proxycommand_spec;

#endif
