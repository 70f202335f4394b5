// CRC-32C (Castagnoli) and TFRecord's masked form of it.
#pragma once

#include <cstdint>
#include <string_view>

namespace deepspeed::observe {

/// Polynomial 0x1EDC6F41, reflected, initial value and final xor all ones (RFC 3720, B.4).
uint32_t crc32c(std::string_view bytes);

/// Rotated and shifted, so that the checksum of data that holds checksums is sound (TensorFlow's record
/// format).
uint32_t masked_crc32c(std::string_view bytes);

}  // namespace deepspeed::observe
