/* One claim, told step by step what the cluster answers. */
#ifndef MINIKV_TESTS_UNIT_CLIENT_CLAIM_FIXTURE_H
#define MINIKV_TESTS_UNIT_CLIENT_CLAIM_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "unit/client/claim_world.h"

struct rig {
    struct claim *claim;
    struct blob text;
    struct minikv_request request;
    time_us now;
};

static inline void begin(struct rig *rig, const struct minikv_hold_request *request)
{
    *rig = (struct rig){.claim = claim_new(request), .now = 1000000};
    assert_non_null(rig->claim);
    blob_init(&rig->text);
}

static inline void end(struct rig *rig)
{
    claim_free(rig->claim);
    blob_release(&rig->text);
}

/* Sends what is due: that step. */
static inline void ask(struct rig *rig, enum claim_step step)
{
    time_us at;
    assert_int_equal(claim_next(rig->claim, rig->now, &at), step);
    blob_clear(&rig->text, 4096);
    assert_true(claim_request(rig->claim, &rig->text, &rig->request));
    claim_asked(rig->claim, rig->now);
    assert_int_equal(claim_next(rig->claim, rig->now, &at), CLAIM_REST);
}

static inline void tell(struct rig *rig, const char *body)
{
    struct minikv_result result = {.code = MINIKV_OK, .body = minikv_text(body)};
    claim_answered(rig->claim, rig->now, &result);
}

static inline void refuse(struct rig *rig, enum minikv_code code, const char *word)
{
    struct minikv_result result = {.code = code};
    (void)snprintf(result.word, sizeof result.word, "%s", word);
    claim_answered(rig->claim, rig->now, &result);
}

/* What is known of a write that got no answer. */
static inline void lose_answer(struct rig *rig, enum minikv_code code, uint64_t sequence)
{
    struct minikv_result result = {.code = code,
                                   .effect = MINIKV_MAYBE_APPLIED,
                                   .identity = {.client = "me", .sequence = sequence}};
    claim_answered(rig->claim, rig->now, &result);
}

static inline void tell_page(struct rig *rig, const struct minikv_item *items, size_t count,
                             const char *next)
{
    struct minikv_result page = {.code = MINIKV_OK,
                                 .items = items,
                                 .items_count = count,
                                 .revision = 20,
                                 .next = minikv_text(next)};
    claim_answered(rig->claim, rig->now, &page);
}

static const struct minikv_hold_request job = {.name = {"job", 3}, .value = {"me", 2}};

#define GRANTED "{\"lease\":30,\"ttl_ms\":10000}"
#define ENTERED "{\"succeeded\":true,\"revision\":12,\"results\":[{\"put\":{}}]}"
#define OWN     "job/000000000000001e"

static inline struct minikv_item item_of(const char *key, uint64_t created)
{
    return (struct minikv_item){.key = minikv_text(key), .create_revision = created};
}

/* Until it looks who is before. */
static inline void enter(struct rig *rig)
{
    begin(rig, &job);
    ask(rig, CLAIM_GRANT);
    tell(rig, GRANTED);
    ask(rig, CLAIM_ENTER);
    tell(rig, ENTERED);
    ask(rig, CLAIM_PAGE);
}

#endif
