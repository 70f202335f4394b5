// DeepSpeed's description of a model's weights in several files. Torch-free.
#pragma once

#include <string>
#include <vector>

#include "deepspeed/config/json.h"

namespace deepspeed::inference {

/// The files of {"type": ..., "checkpoints": [FILE, ...], "version": ..., "base_dir": ...}, each of which
/// holds some of the model's tensors under their Hugging Face names; under base_dir where that is given.
/// `where` stands for the description in errors: none are named, keys are unknown or of another type, and
/// what is split for tensor parallelism (ranks read their slices of whole files here).
std::vector<std::string> parse_checkpoint_files(const config::Json& description, const std::string& where);

}  // namespace deepspeed::inference
