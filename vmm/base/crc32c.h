/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * CRC-32C, the Castagnoli checksum (RFC 3720, appendix B.4): reflected
 * polynomial 0x82f63b78, initial value and final inversion all ones.
 */
#ifndef VMM_BASE_CRC32C_H
#define VMM_BASE_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/*
 * The checksum of @len bytes at @data, appended to the bytes with checksum
 * @crc; start with 0. crc32c(crc32c(0, a, n), b, m) is the checksum of a and b
 * together.
 */
uint32_t crc32c(uint32_t crc, const void *data, size_t len);

/* Type of crc32c() and of faster implementations. */
typedef uint32_t crc32c_function(uint32_t crc, const void *data, size_t len);

#endif
