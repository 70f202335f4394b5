// The subset of ZIP that torch.save writes (PKWARE's APPNOTE.TXT): stored entries, ZIP64, no encryption, one
// disk. Read from the file's image; nothing is copied but the names.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace deepspeed::formats {

struct ZipEntry {
  std::string name;
  size_t begin = 0;  // of its bytes in the file
  size_t size = 0;
  uint16_t method = 0;  // of compression; 0: stored
  uint32_t crc = 0;     // 0 also where the writer left it out
};

/// Checked when it is made: the end record ends the file, the directory lies in front of it and holds exactly
/// its entries, every entry is stored, has a local header of the same name, lies in front of the directory
/// and overlaps no other, and no name appears twice. Every violation is an Error that names file and offset.
class ZipArchive {
 public:
  /// Whether the image begins as such a file does.
  static bool recognizes(std::span<const std::byte> image);
  /// `image` must outlive this object; `where` names the file in messages.
  ZipArchive(std::span<const std::byte> image, const std::string& where);

  /// In the order of their bytes in the file.
  const std::vector<ZipEntry>& entries() const { return entries_; }
  /// The entry, or null.
  const ZipEntry* find(std::string_view name) const;
  /// An Error when the entry is compressed.
  std::span<const std::byte> data(const ZipEntry& entry) const;
  /// An Error when the entry's bytes do not have its checksum. Reads them all: for small entries.
  void check_crc(const ZipEntry& entry) const;

 private:
  std::span<const std::byte> image_;
  std::string where_;
  std::vector<ZipEntry> entries_;
  std::unordered_map<std::string_view, size_t> index_;  // views of the names in entries_
};

/// The checksum of ZIP and gzip (polynomial 0xEDB88320).
uint32_t crc32(std::span<const std::byte> bytes);

}  // namespace deepspeed::formats
