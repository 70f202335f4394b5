// The JSON header of a safetensors file as values: parsing and printing, without any file. Used by
// safetensors.cpp.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "deepspeed/formats/dtype.h"

namespace deepspeed::formats {

struct SafetensorsHeader {
  std::vector<TensorInfo> tensors;  // in the order of the text
  std::map<std::string, std::string> metadata;
};

/// Checks grammar, types, name and key uniqueness, and that end - begin = shape x type; not where tensors
/// lie. `where` names the file in Errors.
SafetensorsHeader parse_safetensors_header(std::string_view text, const std::string& where);

/// The header text, padded with spaces to a multiple of 8 bytes.
std::string format_safetensors_header(const SafetensorsHeader& header, const std::string& where);

}  // namespace deepspeed::formats
