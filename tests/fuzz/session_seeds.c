/* SPDX-License-Identifier: BSD-2-Clause
 *
 * The first inputs of fuzz_session.c; see session_input.h.
 */
#include "session_input.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../engine/lib/packets.h"

/* Append packets without a MAC to `seed` as records, and free them. */
static void
add_records(struct bytes *seed, struct bytes *packets)
{
    size_t at = 0;

    while (at + 6 <= packets->len) {
        const unsigned char *packet = packets->data + at;
        uint32_t length;
        size_t n;

        memcpy(&length, packet, sizeof(length));
        length = ntohl(length);
        n = length - 1 - packet[4] - 1;
        bytes_add_u8(seed, packet[5]);
        bytes_add_u8(seed, (int)(n >> 8));
        bytes_add_u8(seed, (int)(n & 0xff));
        bytes_add(seed, packet + 6, n);
        at += 4 + length;
    }
    free(packets->data);
    *packets = (struct bytes){0};
}

static void
save_seed(const char *directory, const char *name, int choices, int method,
          struct bytes *packets)
{
    struct bytes seed = {0};
    char path[4096];
    FILE *file;

    bytes_add_u8(&seed, choices);
    bytes_add_u8(&seed, method);
    bytes_add_u8(&seed, 0);
    if (!(choices & LOGGED_IN)) {
        bytes_add_u8(&seed, 0);
        bytes_add_u8(&seed, 0);
        bytes_add_u8(&seed, sizeof(SERVER_BANNER) - 1);
        bytes_add(&seed, SERVER_BANNER, sizeof(SERVER_BANNER) - 1);
    }
    add_records(&seed, packets);
    snprintf(path, sizeof(path), "%s/%s", directory, name);
    file = fopen(path, "we");
    if (file == NULL) {
        perror(path);
        exit(1);
    }
    fwrite(seed.data, 1, seed.len, file);
    fclose(file);
    free(seed.data);
}

static void
put_channel(struct bytes *packets, uint32_t id)
{
    packet_put(packets, 0, MSG_CHANNEL_OPEN_CONFIRMATION, "uuuu", id, id + 7,
               65536U, 32768U);
    packet_put(packets, 0, MSG_CHANNEL_DATA, "us", id, "some words");
    packet_put(packets, 0, MSG_CHANNEL_WINDOW_ADJUST, "uu", id, 1000U);
}

static void
put_end(struct bytes *packets, uint32_t id)
{
    packet_put(packets, 0, MSG_CHANNEL_EOF, "u", id);
    packet_put(packets, 0, MSG_CHANNEL_CLOSE, "u", id);
}

static void
put_other_messages(struct bytes *packets)
{
    packet_put(packets, 0, MSG_GLOBAL_REQUEST, "sb", "hostkeys-00@openssh.com",
               0);
    packet_put(packets, 0, MSG_GLOBAL_REQUEST, "sb", "keepalive@openssh.com",
               1);
    packet_put(packets, 0, MSG_CHANNEL_EXTENDED_DATA, "uus", 0U, 1U, "oops");
    packet_put(packets, 0, MSG_CHANNEL_REQUEST, "usbu", 0U, "exit-status", 0,
               1U);
    packet_put(packets, 0, MSG_CHANNEL_REQUEST, "usbsbss", 0U, "exit-signal",
               0, "TERM", 0, "words", "");
    packet_put(packets, 0, MSG_CHANNEL_OPEN, "suuususu", "forwarded-tcpip", 5U,
               65536U, 32768U, "host", 22U, "host", 23U);
    packet_put(packets, 0, MSG_CHANNEL_OPEN, "suuusu", "x11", 5U, 65536U,
               32768U, "host", 22U);
    packet_put(packets, 0, MSG_IGNORE, "s", "nothing");
    packet_put(packets, 0, MSG_DEBUG, "bss", 1, "nothing", "");
    packet_put(packets, 0, MSG_UNIMPLEMENTED, "u", 3U);
    packet_put(packets, 0, MSG_REQUEST_SUCCESS, "");
}

static void
save_seeds_after_the_login(const char *directory)
{
    static const int choices[] = {LOGGED_IN,
                                  LOGGED_IN | CLOSED,
                                  LOGGED_IN | HALF_CLOSED | WRITES,
                                  LOGGED_IN | ENDED | WRITES,
                                  LOGGED_IN | ABANDONED,
                                  LOGGED_IN | NO_CHANNEL};
    struct bytes packets = {0};
    char name[32];

    for (size_t i = 0; i < sizeof(choices) / sizeof(*choices); i++) {
        put_channel(&packets, 0);
        put_channel(&packets, 1);
        put_other_messages(&packets);
        put_kex(&packets, 0);
        put_end(&packets, 0);
        put_end(&packets, 1);
        packet_put(&packets, 0, MSG_DISCONNECT, "uss", 11U, "lunch", "en");
        snprintf(name, sizeof(name), "channels-%zu", i);
        save_seed(directory, name, choices[i], 0, &packets);
    }
    packet_put(&packets, 0, MSG_CHANNEL_OPEN_FAILURE, "uuss", 0U, 2U,
               "refused", "en");
    put_channel(&packets, 1);
    save_seed(directory, "refused", LOGGED_IN, 0, &packets);
}

static void
save_seeds_of_logins(const char *directory)
{
    struct bytes packets = {0};
    char name[32];

    for (int method = 0; method < 4; method++) {
        for (int is_good = 0; is_good < 2; is_good++) {
            put_kex(&packets, 0);
            packet_put(&packets, 0, MSG_SERVICE_ACCEPT, "s", "ssh-userauth");
            packet_put(&packets, 0, MSG_USERAUTH_BANNER, "ss", "hello", "");
            if (method == 2) {
                packet_put(&packets, 0, MSG_USERAUTH_INFO_REQUEST, "sd",
                           "ssh-ed25519",
                           "\0\0\0\013ssh-ed25519\0\0\0\0400123456789abcdef"
                           "0123456789abcdef",
                           (size_t)51);
            }
            if (method == 3) {
                packet_put(&packets, 0, MSG_USERAUTH_INFO_REQUEST, "sssusbsb",
                           "name", "instruction", "", 2U, "one", 0, "two", 1);
            }
            if (is_good) {
                packet_put(&packets, 0, MSG_USERAUTH_SUCCESS, "");
                put_channel(&packets, 0);
            }
            else {
                packet_put(&packets, 0, MSG_USERAUTH_FAILURE, "sb",
                           "publickey,password", 0);
            }
            snprintf(name, sizeof(name), "login-%d-%d", method, is_good);
            save_seed(directory, name, 0, method, &packets);
        }
    }
}

void
save_seeds(const char *directory)
{
    save_seeds_after_the_login(directory);
    save_seeds_of_logins(directory);
}
