/* config_cas: sets one line "NAME=VALUE" of a text that many programs change at the same time.
 *
 *      cc config_cas.c -o config_cas $(pkg-config --cflags --libs minikv)
 *      ./config_cas 127.0.0.1:8081,127.0.0.1:8082,127.0.0.1:8083 config colour blue
 *
 * Read, change, write back on the condition that nobody else wrote in between; else once more from
 * the start. When the answer to the write gets lost for good, the program does not guess: it has
 * the cluster settle the question, and goes by that. */
#include <minikv/minikv.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The text with its line for `name` replaced, or one added; to be freed. NULL without memory. */
static char *change(struct minikv_bytes text, const char *name, const char *value)
{
    size_t name_count = strlen(name);
    size_t bytes_max = text.count + name_count + strlen(value) + 4;
    char *changed = malloc(bytes_max);
    const char *line = text.data;
    const char *end = line + text.count;
    size_t used = 0;

    if (changed == NULL)
        return NULL;
    while (line < end) {
        const char *newline = memchr(line, '\n', (size_t)(end - line));
        size_t count = newline != NULL ? (size_t)(newline - line) : (size_t)(end - line);
        bool is_ours =
            count > name_count && memcmp(line, name, name_count) == 0 && line[name_count] == '=';
        if (!is_ours) {
            memcpy(changed + used, line, count);
            used += count;
            changed[used++] = '\n';
        }
        line += count + (newline != NULL);
    }
    snprintf(changed + used, bytes_max - used, "%s=%s\n", name, value);
    return changed;
}

/* The fate of a write whose answer got lost: its own result, or MINIKV_UNAVAILABLE if that cannot
 * be found out either. A write that was not carried out never will be, and counts as a condition
 * that failed: the caller begins again. */
static enum minikv_code settle(struct minikv *kv, struct minikv_result *result)
{
    struct minikv_identity identity = result->identity;
    enum minikv_fate fate;

    minikv_result_release(result);
    if (minikv_outcome(kv, &identity, true, &fate, result) != MINIKV_OK)
        return MINIKV_UNAVAILABLE;
    return fate == MINIKV_FATE_APPLIED ? result->code : MINIKV_CONDITION_FAILED;
}

/* Reads, changes and writes once. MINIKV_CONDITION_FAILED: somebody else was quicker. */
static enum minikv_code try_set(struct minikv *kv, struct minikv_bytes key, const char *name,
                                const char *value, struct minikv_result *result)
{
    enum minikv_code code = minikv_get(kv, key, result);
    if (code != MINIKV_OK && code != MINIKV_NOT_FOUND)
        return code;

    struct minikv_bytes text = minikv_text("");
    uint64_t revision = 0; /* the condition is then that there is no such key */
    if (code == MINIKV_OK) {
        text = result->items[0].value;
        revision = result->items[0].mod_revision;
    }
    char *changed = change(text, name, value);
    if (changed == NULL)
        return MINIKV_NO_MEMORY;

    minikv_result_release(result);
    code = minikv_cas(kv, key, revision, minikv_text(changed), result);
    if (code != MINIKV_OK && result->effect == MINIKV_MAYBE_APPLIED)
        code = settle(kv, result);
    free(changed);
    return code;
}

int main(int argc, char **argv)
{
    struct minikv *kv;
    struct minikv_result result;
    enum minikv_code code;
    unsigned rounds_count = 0;

    if (argc != 5) {
        fprintf(stderr, "usage: config_cas ENDPOINTS KEY NAME VALUE\n");
        return 2;
    }
    if (minikv_open(argv[1], NULL, &kv) != MINIKV_OK) {
        fprintf(stderr, "config_cas: %s: want host:port[,host:port...]\n", argv[1]);
        return 2;
    }
    for (;;) {
        code = try_set(kv, minikv_text(argv[2]), argv[3], argv[4], &result);
        rounds_count++;
        if (code != MINIKV_CONDITION_FAILED)
            break;
        minikv_result_release(&result);
    }
    if (code == MINIKV_OK)
        printf("set in round %u\n", rounds_count);
    else
        fprintf(stderr, "config_cas: %s: %s\n", minikv_code_name(code), result.detail);
    minikv_result_release(&result);
    minikv_close(kv);
    return code == MINIKV_OK ? 0 : 1;
}
