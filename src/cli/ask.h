/* Ask: one request of a command, from making its target to saying why it failed. */
#ifndef MINIKV_CLI_ASK_H
#define MINIKV_CLI_ASK_H

#include "cli/cli.h"

/* Appends `bytes` percent-encoded; `keep_slashes` for the key in a path, not in a query. */
void ask_put_encoded(struct buf *target, struct bytes bytes, bool keep_slashes);
/* The target of a key: "/v1/kv/" and the key. `target` is initialised here, released by the
 * caller. */
void ask_key_target(struct buf *target, const char *path, const char *key);

/* Calls and, on failure, says so on standard error. `reply` is initialised here, released by the
 * caller in every case. Returns the exit code; EXIT_CODE_OK means a 2xx reply. */
enum exit_code ask_call(struct cli *cli, const struct http_request *request, bool is_repeatable,
                        struct http_reply *reply);

/* The JSON object in the body; NULL, with a word on standard error, when there is none. The caller
 * gives it back with json_decref. */
json_t *ask_json(const struct cli *cli, const struct http_reply *reply);

/* The revision in ETag: "7"; 0 when there is none. */
uint64_t ask_revision(const struct http_reply *reply);

/* GET of `target`, whose answer is a JSON object; `out_json` is the caller's to give back. */
enum exit_code ask_for_json(struct cli *cli, const char *target, json_t **out_json);

/* Sets member `name` to the text, or `name`_base64 when the bytes are no text. */
void ask_set_bytes(json_t *item, const char *name, struct bytes bytes);

/* Prints on one line and gives it back; main looks at the state of standard output. */
void ask_print_json(json_t *root);

/* The text or the base64 of member `name` of `item`, appended to `out` as bytes. False when it is
 * not there. `out_is_text`: it came as text, so it is UTF-8. */
bool ask_bytes(const json_t *item, const char *name, struct buf *out, bool *out_is_text);

#endif
