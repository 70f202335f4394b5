// Files of token ids: little-endian 16- or 32-bit numbers and nothing else (ds_train's .bin).
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string_view>
#include <vector>

namespace deepspeed::text {

enum class TokenWidth { kU16, kU32 };

/// "u16" or "u32"; anything else is an Error.
TokenWidth parse_token_width(std::string_view name);
/// Replaces the file atomically. An Error when an id does not fit; the file is untouched then.
void write_token_file(const std::filesystem::path& path, std::span<const int32_t> ids, TokenWidth width);
/// An Error when the file's size is no multiple of the width, or an id is 2^31 or more.
std::vector<int32_t> read_token_file(const std::filesystem::path& path, TokenWidth width);

}  // namespace deepspeed::text
