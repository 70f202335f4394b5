// A GGUF file's model as a folder.
#pragma once

#include <c10/core/ScalarType.h>

#include <filesystem>

namespace deepspeed::inference {

/// The GGUF file without tensors that stands for tokenizer.json and its like in a folder that was made of
/// one.
constexpr const char* kGgufCompanion = "tokenizer.gguf";

/// Writes `folder` from the decoder in `file`: config.json and weights of type `dtype` under Hugging Face's
/// names, and kGgufCompanion with the file's metadata. Memory holds the model in fp32. Errors: other kinds of
/// models.
void export_gguf(const std::filesystem::path& file, const std::filesystem::path& folder,
                 at::ScalarType dtype);

}  // namespace deepspeed::inference
