// The index of a model in several files: model.safetensors.index.json, pytorch_model.bin.index.json. Used by
// safetensors_model.cpp and torch_model.cpp.
#pragma once

#include <filesystem>
#include <map>
#include <string>

namespace deepspeed::formats {

/// The file of every tensor, as names relative to the index's folder. Errors name the index: malformed JSON,
/// a tensor twice, a file outside the folder, no tensors.
std::map<std::string, std::string> read_weight_map(const std::filesystem::path& path);

}  // namespace deepspeed::formats
