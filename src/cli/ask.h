/* Ask: one request of a command, and saying why it failed. */
#ifndef MINIKV_CLI_ASK_H
#define MINIKV_CLI_ASK_H

#include "base/status.h"
#include "cli/cli.h"

/* Performs the request and, on failure, says so on standard error. `result` is to be released in
 * every case. EXIT_CODE_OK: it is there. */
enum exit_code ask_perform(struct cli *cli, const struct minikv_request *request,
                           struct minikv_result *result);
/* The same for a request of docs/http-api.md that may be sent again without harm. `body`: JSON,
 * given back here; NULL: none. */
enum exit_code ask_call(struct cli *cli, const char *method, const char *target, json_t *body,
                        struct minikv_result *result);
/* The same for a write, which takes effect once however often it is sent. */
enum exit_code ask_once(struct cli *cli, const char *method, const char *target, json_t *body,
                        struct minikv_result *result);
/* The same without a word. ask_report has it, and the exit code, when it is not MINIKV_OK. */
enum minikv_code ask_try_once(struct cli *cli, const char *method, const char *target, json_t *body,
                              struct minikv_result *result);
enum exit_code ask_report(const struct cli *cli, const struct minikv_result *result);
/* GET of `target`, whose answer is a JSON object; `out_json` is the caller's to give back. */
enum exit_code ask_for_json(struct cli *cli, const char *target, json_t **out_json);
/* The JSON object in the body; NULL, with a word on standard error, when there is none. The caller
 * gives it back with json_decref. */
json_t *ask_json(const struct cli *cli, const struct minikv_result *result);

/* What the server's word ("no-leader") means, for people; NULL: it is none of ours. */
const char *ask_title(const char *word);

/* Appends `bytes` percent-encoded. */
void ask_put_encoded(struct buf *target, struct bytes bytes);
bool ask_is_text(struct bytes bytes); /* UTF-8, as JSON has it */
/* Sets member `name` to the text, or `name`_base64 when the bytes are no text. */
void ask_set_bytes(json_t *item, const char *name, struct bytes bytes);
/* Appends what member `name` or `name`_base64 holds; false when neither is there, or not as it
 * should be. */
bool ask_take_bytes(const json_t *object, const char *name, struct buf *out);
/* A key with value and revisions, as the cluster's own JSON has it. */
json_t *ask_json_of_item(const struct minikv_item *item, bool keys_only);
/* Prints on one line and gives it back; main looks at the state of standard output. */
void ask_print_json(json_t *root);

static inline struct bytes ask_bytes(struct minikv_bytes bytes)
{
    return bytes_of(bytes.data, bytes.count);
}

#endif
