/* SPDX-License-Identifier: BSD-2-Clause
 *
 * A session with a hostile server (script.h), and its two outcomes.
 *
 * A case calls begin_session(), misbehaves in the name of the server, and then
 * checks the outcome.  end_alive() checks that the session is alive and
 * carries bytes.  end_lost() checks that the session has ended by itself, that
 * the channel knows why, and that nothing is left.
 */
#ifndef SG_TEST_HOSTILE_H
#define SG_TEST_HOSTILE_H

#include "lib/script.h"

/* The server of the running case, and the client's channel. */
extern struct script script;
extern struct channel channel;

/* Open a session and one channel on it. */
void begin_session(void);

/* Check that the channel carries bytes both ways and that neither the channel
 * nor the session has failed. */
void check_alive(void);

/* Check that another channel can be opened, carries bytes, and can be closed.
 * `channel` stays as it was. */
void check_new_channel(void);

/* Wait until the client has processed everything that was sent before: it
 * answers a global request. */
void round_trip(void);

/* ---- Outcomes --------------------------------------------------------- */

/* Close the channel and the session as their callers do, let the server hang
 * up, and release both. */
void end_session(void);

/* Check that the session is alive and idle, then end_session(). */
void end_alive(void);

/* Check that the session has ended by itself, with `why` in the channel's
 * reason, and release both.  "" accepts any reason. */
void end_lost(const char *why);

/* Check that the channel ends without an error and the session is alive, then
 * end_session(). */
void end_channel_closed(void);

#endif
