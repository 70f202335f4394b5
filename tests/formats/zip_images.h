// Zip files made in memory, right and wrong, for the tests of this folder.
#pragma once

#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "deepspeed/formats/zip.h"

namespace deepspeed::formats {

inline std::span<const std::byte> image_of(std::string_view text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

template <class T>
void put(std::string& bytes, size_t at, T value) {
  std::memcpy(bytes.data() + at, &value, sizeof value);
}
template <class T>
void append(std::string& bytes, T value) {
  bytes.append(reinterpret_cast<const char*>(&value), sizeof value);
}

/// A zip file of stored entries and where its records begin, for tests that change them.
struct ZipImage {
  std::string bytes;
  std::vector<size_t> local, directory;  // of each entry
  size_t directory_begin = 0, end64 = 0, locator = 0, end = 0;

  std::span<const std::byte> span() const { return image_of(bytes); }
};

/// `zip64`: sizes and offsets stand in ZIP64 records alone.
inline ZipImage zip_image(const std::vector<std::pair<std::string, std::string>>& files, bool zip64 = false) {
  ZipImage image;
  std::string& out = image.bytes;
  auto sizes = [&](const std::string& data) {
    append<uint32_t>(out, crc32(image_of(data)));
    for (int i = 0; i < 2; ++i)
      append<uint32_t>(out, zip64 ? 0xffffffffu : static_cast<uint32_t>(data.size()));
  };
  for (const auto& [name, data] : files) {
    image.local.push_back(out.size());
    append<uint32_t>(out, 0x04034b50);
    for (uint16_t field : {45, 0, 0, 0, 0}) append<uint16_t>(out, field);
    sizes(data);
    append<uint16_t>(out, static_cast<uint16_t>(name.size()));
    append<uint16_t>(out, zip64 ? 20 : 0);
    out += name;
    if (zip64) {
      append<uint32_t>(out, 0x00100001);
      for (int i = 0; i < 2; ++i) append<uint64_t>(out, data.size());
    }
    out += data;
  }
  image.directory_begin = out.size();
  for (size_t i = 0; i < files.size(); ++i) {
    const auto& [name, data] = files[i];
    image.directory.push_back(out.size());
    append<uint32_t>(out, 0x02014b50);
    for (uint16_t field : {45, 45, 0, 0, 0, 0}) append<uint16_t>(out, field);
    sizes(data);
    append<uint16_t>(out, static_cast<uint16_t>(name.size()));
    append<uint16_t>(out, zip64 ? 28 : 0);
    for (int field = 0; field < 5; ++field) append<uint16_t>(out, 0);
    append<uint32_t>(out, zip64 ? 0xffffffffu : static_cast<uint32_t>(image.local[i]));
    out += name;
    if (zip64) {
      append<uint32_t>(out, 0x00180001);
      for (int j = 0; j < 2; ++j) append<uint64_t>(out, data.size());
      append<uint64_t>(out, image.local[i]);
    }
  }
  const size_t size = out.size() - image.directory_begin;
  if (zip64) {
    image.end64 = out.size();
    append<uint32_t>(out, 0x06064b50);
    append<uint64_t>(out, 44);
    append<uint32_t>(out, 0x002d002d);
    append<uint64_t>(out, 0);
    for (uint64_t field : {files.size(), files.size(), size, image.directory_begin})
      append<uint64_t>(out, field);
    image.locator = out.size();
    append<uint32_t>(out, 0x07064b50);
    append<uint32_t>(out, 0);
    append<uint64_t>(out, image.end64);
    append<uint32_t>(out, 1);
  }
  image.end = out.size();
  append<uint32_t>(out, 0x06054b50);
  append<uint32_t>(out, 0);
  for (int i = 0; i < 2; ++i) append<uint16_t>(out, zip64 ? 0xffff : static_cast<uint16_t>(files.size()));
  append<uint32_t>(out, zip64 ? 0xffffffffu : static_cast<uint32_t>(size));
  append<uint32_t>(out, zip64 ? 0xffffffffu : static_cast<uint32_t>(image.directory_begin));
  append<uint16_t>(out, 0);
  return image;
}

}  // namespace deepspeed::formats
