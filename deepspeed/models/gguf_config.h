// What llama.cpp's metadata says of a model, in the words of config.json (github.com/ggml-org/llama.cpp,
// gguf-py/gguf/constants.py and its converter). Torch-free.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "deepspeed/formats/model_files.h"

namespace deepspeed::models {

/// All elements of a tensor of floating-point numbers.
std::vector<double> floats_of(const formats::ModelFiles& files, const std::string& name);

/// The keys of config.json as the metadata has them. Errors: architectures that are not known (the line names
/// those that are), keys that are missing or of another type, sizes that the file's tensors contradict.
nlohmann::json gguf_config(const formats::ModelFiles& files);

/// The first dimension of the file's tensor. Errors: it is not there, or has no dimensions.
int64_t gguf_rows(const formats::ModelFiles& files, const std::string& tensor);

/// gguf_config's refusal of architectures that are not known, alone.
void check_gguf_architecture(const formats::ModelFiles& files);

}  // namespace deepspeed::models
