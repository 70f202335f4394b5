// Models that are broken in one place each, as a stranger may hand them to us.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "deepspeed/config/json.h"

namespace deepspeed::inference {

using Files = std::map<std::string, std::string>;  // of a model's folder, by name

struct BrokenModel {
  std::string name;
  Files files;
  std::string error;  // what the one line that refuses it must hold
};

/// A whole tiny LLaMA with safetensors, tokenizer and chat template.
const Files& whole_model();
/// The same but for these files; "" leaves a file out.
Files whole_model_with(const Files& changed);

/// Weights in safetensors and PyTorch's files: broken_weights.cpp.
std::vector<BrokenModel> broken_weights();
/// broken_gguf.cpp.
std::vector<BrokenModel> broken_gguf();
/// config.json, tokenizer.json, chat templates: broken_texts.cpp.
std::vector<BrokenModel> broken_texts();

}  // namespace deepspeed::inference
