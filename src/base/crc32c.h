/* CRC32C (Castagnoli, RFC 3720 appendix B.4): the checksum of log records and peer frames. */
#ifndef MINIKV_BASE_CRC32C_H
#define MINIKV_BASE_CRC32C_H

#include "base/bytes.h"

/* Continues `crc` over `bytes`; start with 0. crc32c(crc32c(0, a), b) == crc32c(0, ab). */
uint32_t crc32c(uint32_t crc, struct bytes bytes);
/* The portable version; a test proves it equal to what the processor computes. */
uint32_t crc32c_portable(uint32_t crc, struct bytes bytes);

#endif
