/* SPDX-License-Identifier: BSD-2-Clause
 *
 * Signals that interrupt a wait of the calling thread.
 */
#ifndef SG_TEST_INTERRUPTS_H
#define SG_TEST_INTERRUPTS_H

#include "ssh/session.h"

/* Send SIGUSR1 to this thread every 10 ms, from another thread.  Returns a
 * wait without a deadline, which the fourth signal interrupts. */
struct sg_wait interrupts_start(void);

/* Fails unless the wait was interrupted.  The signals have ended. */
void interrupts_end(void);

#endif
