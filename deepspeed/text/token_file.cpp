#include "deepspeed/text/token_file.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <string>

#include "deepspeed/base/error.h"
#include "deepspeed/base/file.h"
#include "deepspeed/text/utf8.h"

namespace deepspeed::text {
namespace {

constexpr size_t kIdsAtOnce = 1 << 16;

size_t bytes_of(TokenWidth width) { return width == TokenWidth::kU16 ? 2 : 4; }

}  // namespace

TokenWidth parse_token_width(std::string_view name) {
  if (name == "u16") return TokenWidth::kU16;
  if (name == "u32") return TokenWidth::kU32;
  base::fail("token ids are stored as u16 or u32, not {}", quote(name));
}

void write_token_file(const std::filesystem::path& path, std::span<const int32_t> ids, TokenWidth width) {
  const size_t size = bytes_of(width);
  const int64_t limit = width == TokenWidth::kU16 ? 0xFFFF : std::numeric_limits<int32_t>::max();
  for (const int32_t id : ids) {
    DS_CHECK(id >= 0 && id <= limit, "{}: token id {} does not fit in u16; store u32 instead", path.string(),
             id);
  }
  base::AtomicFile file(path);
  std::string bytes;
  for (size_t first = 0; first < ids.size(); first += kIdsAtOnce) {
    bytes.clear();
    for (const int32_t id : ids.subspan(first, std::min(kIdsAtOnce, ids.size() - first))) {
      for (size_t byte = 0; byte < size; ++byte) bytes += static_cast<char>(id >> (8 * byte) & 0xFF);
    }
    file.write(bytes);
  }
  file.commit();
}

std::vector<int32_t> read_token_file(const std::filesystem::path& path, TokenWidth width) {
  const base::MappedFile file(path);
  const size_t size = bytes_of(width);
  const auto bytes = file.bytes();
  DS_CHECK(bytes.size() % size == 0, "{}: {} bytes are not a whole number of {}-byte token ids",
           path.string(), bytes.size(), size);
  std::vector<int32_t> ids(bytes.size() / size);
  for (size_t i = 0; i < ids.size(); ++i) {
    uint32_t id = 0;
    for (size_t byte = 0; byte < size; ++byte)
      id |= std::to_integer<uint32_t>(bytes[i * size + byte]) << (8 * byte);
    DS_CHECK(id <= std::numeric_limits<int32_t>::max(),
             "{}: entry {} is {}, which is no token id; is the file u16?", path.string(), i, id);
    ids[i] = static_cast<int32_t>(id);
  }
  return ids;
}

}  // namespace deepspeed::text
