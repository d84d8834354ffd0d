/* SPDX-License-Identifier: BSD-2-Clause
 *
 * The inputs of fuzz_session.c: their format, seeds and mutations.
 *
 * An input has two bytes of choices, one byte that seeds the splitting, and
 * then records. A record has one byte of type, two bytes of length, and a
 * payload of that length. Each record becomes a packet, so a mutation seldom
 * breaks the framing. A record of type 0 that is the first or the last one is
 * sent as it is.
 */
#ifndef SG_FUZZ_SESSION_INPUT_H
#define SG_FUZZ_SESSION_INPUT_H

#include <stddef.h>
#include <stdint.h>

#define HEAD 3 /* bytes before the records */

/* The choices of the first byte. */
enum {
    LOGGED_IN = 1,   /* the records come after a login */
    CLOSED = 2,      /* the caller closes its channels at once */
    HALF_CLOSED = 4, /* the caller half-closes its channels */
    WRITES = 8,      /* the caller writes to its channels */
    ENDED = 16,      /* the caller closes the session at once */
    ABANDONED = 32,  /* the caller does not wait for the reply to an open */
    NO_CHANNEL = 64,
};

/* The second byte, modulo 4, is the method of the login: 0 none, 1 password, 2
 * a signer, 3 keyboard-interactive. */

/* Returns the size in bytes of the record at the start of `data`, at most `n`:
 * the last record of an input may be cut short. */
size_t record_size(const uint8_t *data, size_t n);

/* Write the first inputs of the fuzzer as files in `directory`. */
void save_seeds(const char *directory);

#endif
