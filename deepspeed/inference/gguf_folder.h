// A GGUF file's model as a folder.
#pragma once

#include <c10/core/ScalarType.h>

#include <filesystem>

namespace deepspeed::inference {

/// Writes `folder` from the decoder in `file`: config.json and weights of type `dtype` under Hugging Face's
/// names, and formats::kGgufCompanion with the file's metadata. Memory holds the model in fp32. Errors: other
/// kinds of models, rotary angles that a tensor of the file scales, and GPT-2, whose matrices lie otherwise.
void export_gguf(const std::filesystem::path& file, const std::filesystem::path& folder,
                 at::ScalarType dtype);

}  // namespace deepspeed::inference
