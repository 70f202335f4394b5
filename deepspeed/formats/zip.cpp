#include "deepspeed/formats/zip.h"

#include <algorithm>
#include <array>
#include <optional>

#include "deepspeed/base/error.h"
#include "deepspeed/formats/byte_reader.h"
#include "deepspeed/formats/dtype.h"

namespace deepspeed::formats {
namespace {

constexpr uint32_t kLocalHeader = 0x04034b50, kDirectoryHeader = 0x02014b50, kEnd = 0x06054b50,
                   kEnd64 = 0x06064b50, kEnd64Locator = 0x07064b50;
constexpr size_t kEndBytes = 22, kEnd64Bytes = 56, kLocatorBytes = 20, kDirectoryHeaderBytes = 46,
                 kMostComment = 0xffff;
constexpr uint16_t kEncrypted = 1, kDescriptorFollows = 8, kUnknownNow = 0xffff, kZip64Field = 1;
constexpr uint32_t kIn64 = 0xffffffff;  // the number stands in a ZIP64 record

struct Directory {
  uint64_t count = 0, begin = 0, size = 0;
  uint64_t end = 0;  // of what may lie in front of the end records
};

// The end record is the last one whose comment reaches the end of the file.
size_t find_end(std::span<const std::byte> image, const std::string& where) {
  DS_CHECK(image.size() >= kEndBytes, "'{}' is truncated: {} bytes are too few for a zip file", where,
           image.size());
  const size_t last = image.size() - kEndBytes, first = last - std::min(last, kMostComment);
  for (size_t at = last + 1; at-- > first;) {
    ByteReader reader(image, where, at);
    if (reader.number<uint32_t>("signature") != kEnd) continue;
    reader.bytes(16, "end record");
    if (reader.number<uint16_t>("length of the comment") == reader.remaining()) return at;
  }
  base::fail("'{}' is truncated: it has no zip end record in its last {} bytes", where, image.size() - first);
}

Directory read_end64(std::span<const std::byte> image, const std::string& where, size_t locator_at) {
  ByteReader locator(image, where, locator_at);
  locator.bytes(4, "locator");
  const auto disk = locator.number<uint32_t>("disk");
  const auto at = locator.number<uint64_t>("offset of the zip64 end record");
  if (disk != 0 || locator.number<uint32_t>("disks") > 1)
    locator.fail_at(locator_at, "the zip file is one of several disks, which is not supported");
  if (at > locator_at || locator_at - at < kEnd64Bytes)
    locator.fail_at(locator_at, "the zip64 end record is said to lie at byte {}", at);
  ByteReader record(image, where, static_cast<size_t>(at));
  if (record.number<uint32_t>("signature") != kEnd64)
    record.fail_at(static_cast<size_t>(at), "no zip64 end record lies here");
  const auto size = record.number<uint64_t>("size of the zip64 end record");
  if (size < kEnd64Bytes - 12 || size > locator_at - at - 12)
    record.fail_at(static_cast<size_t>(at), "the zip64 end record claims {} bytes", size);
  record.bytes(4, "versions");
  const auto this_disk = record.number<uint32_t>("disk"),
             directory_disk = record.number<uint32_t>("disk of the directory");
  const auto here = record.number<uint64_t>("entries here"), count = record.number<uint64_t>("entries");
  if (this_disk != 0 || directory_disk != 0 || here != count)
    record.fail_at(static_cast<size_t>(at), "the zip file is one of several disks, which is not supported");
  Directory directory;
  directory.count = count;
  directory.size = record.number<uint64_t>("size of the directory");
  directory.begin = record.number<uint64_t>("offset of the directory");
  directory.end = at;
  return directory;
}

Directory read_end(std::span<const std::byte> image, const std::string& where) {
  const size_t at = find_end(image, where);
  ByteReader reader(image, where, at + 4);
  const auto disk = reader.number<uint16_t>("disk"), directory_disk = reader.number<uint16_t>("disk"),
             here = reader.number<uint16_t>("entries"), count = reader.number<uint16_t>("entries");
  Directory directory;
  directory.count = count;
  directory.size = reader.number<uint32_t>("size of the directory");
  directory.begin = reader.number<uint32_t>("offset of the directory");
  directory.end = at;
  if (at >= kLocatorBytes) {
    const size_t locator_at = at - kLocatorBytes;
    if (ByteReader(image, where, locator_at).number<uint32_t>("signature") == kEnd64Locator)
      return read_end64(image, where, locator_at);
  }
  if (disk != 0 || directory_disk != 0 || here != count)
    reader.fail_at(at, "the zip file is one of several disks, which is not supported");
  return directory;
}

// Takes the 64-bit numbers that stand for those of the header that are all ones, in their order.
void read_zip64_field(ByteReader extra, std::array<uint64_t*, 3> numbers) {
  while (extra.remaining() >= 4) {
    const auto id = extra.number<uint16_t>("extra field");
    const auto field_size = extra.number<uint16_t>("size of an extra field");
    if (field_size > extra.remaining()) extra.fail("an extra field claims {} bytes", field_size);
    if (id != kZip64Field) {
      extra.bytes(field_size, "extra field");
      continue;
    }
    const size_t behind = extra.remaining() - field_size;
    for (uint64_t* number : numbers)
      if (*number == kIn64) {
        if (extra.remaining() < behind + 8) extra.fail("the zip64 field is too short");
        *number = extra.number<uint64_t>("zip64 number");
      }
    return;
  }
}

struct LocalPlace {
  ZipEntry entry;
  size_t header = 0;  // where its local header begins
};

// What follows the local header, whose own sizes are zero where a descriptor follows the data.
void find_data(std::span<const std::byte> image, const std::string& where, const Directory& directory,
               LocalPlace& place) {
  const auto front = image.first(static_cast<size_t>(directory.begin));
  ByteReader reader(front, where, place.header);
  if (reader.number<uint32_t>("local header") != kLocalHeader)
    reader.fail_at(place.header, "no local header of entry '{}' lies here", shown(place.entry.name));
  reader.bytes(2, "version");
  const auto flags = reader.number<uint16_t>("flags"), method = reader.number<uint16_t>("method");
  reader.bytes(8, "time and checksum");
  const auto stored = reader.number<uint32_t>("size");
  reader.bytes(4, "size");
  const auto name_length = reader.number<uint16_t>("length of the name"),
             extra_length = reader.number<uint16_t>("length of the extra field");
  const auto name = reader.text(name_length, "name");
  if (method != place.entry.method || name != place.entry.name)
    reader.fail_at(place.header, "the local header is not that of the directory's entry '{}'",
                   shown(place.entry.name));
  reader.bytes(extra_length, "extra field");
  if ((flags & kDescriptorFollows) == 0 && stored != kIn64 && stored != place.entry.size)
    reader.fail_at(place.header, "entry '{}' has {} bytes here but {} in the directory",
                   shown(place.entry.name), stored, place.entry.size);
  place.entry.begin = reader.at();
  reader.bytes(place.entry.size, "an entry's data");
}

LocalPlace read_directory_entry(ByteReader& reader, std::span<const std::byte> image,
                                const std::string& where, const Directory& directory) {
  const size_t at = reader.at();
  if (reader.number<uint32_t>("signature of a directory entry") != kDirectoryHeader)
    reader.fail_at(at, "no directory entry lies here");
  reader.bytes(4, "versions");
  const auto flags = reader.number<uint16_t>("flags"), method = reader.number<uint16_t>("method");
  reader.bytes(4, "time");
  LocalPlace place;
  place.entry.crc = reader.number<uint32_t>("checksum");
  uint64_t stored = reader.number<uint32_t>("stored size"), size = reader.number<uint32_t>("size");
  const auto name_length = reader.number<uint16_t>("length of the name"),
             extra_length = reader.number<uint16_t>("length of the extra field"),
             comment_length = reader.number<uint16_t>("length of the comment"),
             disk = reader.number<uint16_t>("disk");
  reader.bytes(6, "attributes");
  uint64_t header = reader.number<uint32_t>("offset of the local header");
  place.entry.name = reader.text(name_length, "name");
  const size_t extra_at = reader.at();
  reader.bytes(extra_length, "extra field");
  read_zip64_field(ByteReader(image.first(reader.at()), where, extra_at), {&size, &stored, &header});
  reader.bytes(comment_length, "comment");
  const std::string name = shown(place.entry.name);
  if ((flags & kEncrypted) != 0) reader.fail_at(at, "entry '{}' is encrypted, which is not supported", name);
  if (method == 0 && stored != size)
    reader.fail_at(at, "entry '{}' is stored in {} bytes but has {}", name, stored, size);
  if (disk != 0 && disk != kUnknownNow)
    reader.fail_at(at, "entry '{}' lies on another disk, which is not supported", name);
  if (header > directory.begin)
    reader.fail_at(at, "entry '{}' is said to lie at byte {}, behind the directory", name, header);
  place.entry.size = static_cast<size_t>(stored);
  place.entry.method = method;
  place.header = static_cast<size_t>(header);
  find_data(image, where, directory, place);
  return place;
}

void check_overlaps(const std::vector<LocalPlace>& sorted, const std::string& where) {
  size_t end = 0;
  for (const LocalPlace& place : sorted) {
    DS_CHECK(place.header >= end, "'{}' at byte {}: entry '{}' overlaps the one before it", where,
             place.header, shown(place.entry.name));
    end = place.entry.begin + place.entry.size;
  }
}

}  // namespace

bool ZipArchive::recognizes(std::span<const std::byte> image) {
  constexpr std::array kStart = {std::byte{'P'}, std::byte{'K'}, std::byte{3}, std::byte{4}};
  return image.size() >= kStart.size() && std::equal(kStart.begin(), kStart.end(), image.begin());
}

ZipArchive::ZipArchive(std::span<const std::byte> image, const std::string& where)
    : image_(image), where_(where) {
  const Directory directory = read_end(image, where_);
  DS_CHECK(directory.begin <= directory.end && directory.size <= directory.end - directory.begin,
           "'{}' is truncated: its zip directory takes bytes {} to {} of {}", where_, directory.begin,
           directory.begin + directory.size, directory.end);
  DS_CHECK(directory.count <= directory.size / kDirectoryHeaderBytes,
           "'{}' at byte {}: the zip directory has no room for the {} entries it claims", where_,
           directory.begin, directory.count);
  const size_t end = static_cast<size_t>(directory.begin + directory.size);
  ByteReader reader(image.first(end), where_, static_cast<size_t>(directory.begin));
  std::vector<LocalPlace> places;
  places.reserve(static_cast<size_t>(directory.count));
  for (uint64_t i = 0; i < directory.count; ++i)
    places.push_back(read_directory_entry(reader, image, where_, directory));
  if (reader.remaining() != 0) reader.fail("{} bytes follow the last directory entry", reader.remaining());
  std::sort(places.begin(), places.end(),
            [](const LocalPlace& a, const LocalPlace& b) { return a.header < b.header; });
  check_overlaps(places, where_);
  entries_.reserve(places.size());
  for (LocalPlace& place : places) entries_.push_back(std::move(place.entry));
  for (size_t i = 0; i < entries_.size(); ++i)
    DS_CHECK(index_.emplace(entries_[i].name, i).second, "'{}' at byte {}: entry '{}' appears twice", where_,
             entries_[i].begin, shown(entries_[i].name));
}

const ZipEntry* ZipArchive::find(std::string_view name) const {
  const auto found = index_.find(name);
  return found == index_.end() ? nullptr : &entries_[found->second];
}

std::span<const std::byte> ZipArchive::data(const ZipEntry& entry) const {
  DS_CHECK(entry.method == 0,
           "'{}' at byte {}: entry '{}' is compressed (method {}): only stored entries, as torch.save "
           "writes, are read",
           where_, entry.begin, shown(entry.name), entry.method);
  return image_.subspan(entry.begin, entry.size);
}

void ZipArchive::check_crc(const ZipEntry& entry) const {
  const uint32_t found = crc32(data(entry));
  DS_CHECK(entry.crc == 0 || found == entry.crc,
           "'{}' at byte {}: entry '{}' is damaged: its checksum is {:08x}, not {:08x}", where_, entry.begin,
           shown(entry.name), found, entry.crc);
}

uint32_t crc32(std::span<const std::byte> bytes) {
  static const auto kTable = [] {
    std::array<uint32_t, 256> table;
    for (uint32_t i = 0; i < 256; ++i) {
      uint32_t value = i;
      for (int bit = 0; bit < 8; ++bit) value = (value >> 1) ^ ((value & 1) != 0 ? 0xedb88320u : 0u);
      table[i] = value;
    }
    return table;
  }();
  uint32_t crc = 0xffffffff;
  for (std::byte byte : bytes) crc = kTable[(crc ^ std::to_integer<uint32_t>(byte)) & 0xff] ^ (crc >> 8);
  return ~crc;
}

}  // namespace deepspeed::formats
