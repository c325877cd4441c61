/* Etag: entity tags are revisions: "7" in quotes, or * for any. Pure. */
#ifndef MINIKV_HTTP_ETAG_H
#define MINIKV_HTTP_ETAG_H

#include "base/bytes.h"
#include "base/diag.h"
#include "kv/command.h"

enum etag_header { ETAG_IF_MATCH, ETAG_IF_NONE_MATCH };

/* return   ST_OK; ST_BAD_CONDITION with `error` naming the form: weak tags, lists, no quotes */
MUST_CHECK enum status condition_parse(enum etag_header header, struct bytes value,
                                       enum condition *out_condition, uint64_t *out_revision,
                                       struct errtext *error);
/* Of a key with this mod_revision; 0: it does not exist. */
bool condition_holds(enum condition condition, uint64_t condition_revision, uint64_t mod_revision);

#endif
