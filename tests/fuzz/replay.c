/* Runs a fuzz target over files, without a fuzzer: the corpus as an ordinary test.
 *
 *      replay FILE…    every file once; a crash is the failure */
#include <stdint.h>
#include <stdio.h>

#include "support/golden.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t count);

enum { INPUT_BYTES_MAX = 16 * 1024 * 1024 };

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        struct buf input;
        buf_init(&input, INPUT_BYTES_MAX);
        if (!golden_read_file(argv[i], &input)) {
            (void)fprintf(stderr, "cannot read %s\n", argv[i]);
            return 1;
        }
        (void)fprintf(stderr, "%s\n", argv[i]);
        (void)LLVMFuzzerTestOneInput(input.data, input.count); /* 0 by convention */
        buf_release(&input);
    }
    return argc > 1 ? 0 : 1;
}
