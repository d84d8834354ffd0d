/* SPDX-License-Identifier: BSD-2-Clause
 *
 * A PAM module that asks one question: the second factor of the tests.  pam.py
 * compiles it.  Arguments of the line in the PAM configuration:
 *
 *   info=TEXT    show this text first
 *   ask=TEXT     ask with echo
 *   prompt=TEXT  ask without echo
 *   answer=TEXT  the answer that is right; default: the empty one
 */
#define _GNU_SOURCE
#include <security/pam_appl.h>
#include <security/pam_modules.h>
#include <stdlib.h>
#include <string.h>

/* The text of the argument `name`, which includes "=", or NULL. */
static const char *
argument(int argc, const char **argv, const char *name)
{
    for (int i = 0; i < argc; i++) {
        if (strncmp(argv[i], name, strlen(name)) == 0) {
            return argv[i] + strlen(name);
        }
    }
    return NULL;
}

/* Show a message.  Returns the answer, which the caller frees, or NULL. */
static char *
converse(pam_handle_t *pam, int style, const char *text)
{
    const struct pam_message message = {.msg_style = style, .msg = text};
    const struct pam_message *messages = &message;
    struct pam_response *response = NULL;
    const void *item = NULL;
    const struct pam_conv *conv;
    char *answer = NULL;

    if (pam_get_item(pam, PAM_CONV, &item) != PAM_SUCCESS || item == NULL) {
        return NULL;
    }
    conv = item;
    if (conv->conv(1, &messages, &response, conv->appdata_ptr) == PAM_SUCCESS
        && response != NULL) {
        answer = response->resp;
        free(response);
    }
    return answer;
}

int
pam_sm_authenticate(pam_handle_t *pam, int flags, int argc, const char **argv)
{
    const char *info = argument(argc, argv, "info=");
    const char *echoed = argument(argc, argv, "ask=");
    const char *hidden = argument(argc, argv, "prompt=");
    const char *right = argument(argc, argv, "answer=");
    char *answer = NULL;
    int result;

    (void)flags;
    if (info != NULL) {
        free(converse(pam, PAM_TEXT_INFO, info));
    }
    if (echoed != NULL) {
        answer = converse(pam, PAM_PROMPT_ECHO_ON, echoed);
    }
    else if (hidden != NULL) {
        answer = converse(pam, PAM_PROMPT_ECHO_OFF, hidden);
    }
    result = answer != NULL && strcmp(answer, right != NULL ? right : "") == 0
                 ? PAM_SUCCESS
                 : PAM_AUTH_ERR;
    free(answer);
    return result;
}

int
pam_sm_setcred(pam_handle_t *pam, int flags, int argc, const char **argv)
{
    (void)pam;
    (void)flags;
    (void)argc;
    (void)argv;
    return PAM_SUCCESS;
}
