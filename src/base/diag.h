/* Diag: one line per thing an operator should know, on standard error.
 *
 * Errors are logged once, where they are handled; modules below `node` log at debug level at most.
 * A line reads at night: what happened, to whom, what follows. */
#ifndef MINIKV_BASE_DIAG_H
#define MINIKV_BASE_DIAG_H

enum diag_level {
    DIAG_NOTHING = -1, /* for diag_set_level only: whoever runs many nodes says it in another way */
    DIAG_ERROR,
    DIAG_WARN,
    DIAG_INFO,
    DIAG_DEBUG
};

/* Lines above `level` are dropped; the default is DIAG_INFO. Set once, at start. */
void diag_set_level(enum diag_level level);
/* A name put before each line ("node 2"); at most 31 bytes are kept. */
void diag_set_name(const char *name);
void diag(enum diag_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Text of an error on a cold path, wrapped from outside in: "open node 2: wal: bad checksum". */
struct errtext {
    char text[256];
};
void errtext_set(struct errtext *error, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* Puts "<text>: " in front of what is there. */
void errtext_wrap(struct errtext *error, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#endif
