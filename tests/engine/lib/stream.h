/* SPDX-License-Identifier: BSD-2-Clause
 *
 * Reading and writing a descriptor in tests.
 *
 * Unless it says otherwise, a function waits up to PATIENCE for each step and
 * then fails the test.  The descriptor may be a socket or a pipe, and should
 * be blocking.
 */
#ifndef SG_TEST_STREAM_H
#define SG_TEST_STREAM_H

#include <stddef.h>

/* Write all `n` bytes at `data`. */
void write_all(int fd, const char *data, size_t n);

/* Read to `to` until there are `n` bytes or the other end has closed.
 * Returns the number of bytes read. */
size_t read_up_to(int fd, char *to, size_t n);

/* Check that the next bytes are `text`, which has up to 255 bytes. */
void expect_text(int fd, const char *text);

/* Check that the next thing is the end: neither data nor an error. */
void expect_eof(int fd);

/* Check that `n` bytes of the pattern, from position 0 on, come next and then
 * the end. */
void expect_pattern(int fd, size_t n);

/* Send 1000 bytes of the pattern, from position `seed` on, into `from` and
 * check that they come out of `to`. */
void ping(int from, int to, size_t seed);

/* Write bytes of the pattern, from position 0 on, until `fd` and every buffer
 * behind it is full: until it takes nothing for `quiet_ms` milliseconds.
 * Returns the number of bytes written. */
size_t fill_up(int fd, int quiet_ms);

/* Send one byte and with it copies of the `n` descriptors at `fds`, up to 16,
 * over the Unix socket `fd` (SCM_RIGHTS).  Does not wait for room; fails the
 * test if the socket does not take them. */
void send_descriptors(int fd, const int *fds, size_t n);

#endif
