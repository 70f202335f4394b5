// Models in GGUF files: what llama.cpp's names and layouts mean (github.com/ggml-org/llama.cpp,
// gguf-py/gguf/tensor_mapping.py and its converter); its metadata is gguf_config.h's.
//
// Its tensors are Hugging Face's under other names ("blk.3.attn_q.weight") and: rows of LLaMA's queries and
// keys stand so that what rotary positions turn together are neighbours; fused queries, keys and values stand
// one after the other; experts' matrices are one tensor; Gemma's norms hold 1 + weight; GPT-2's projections
// are not transposed; Phi-3's "ffn_up" is its gate_up_proj.
#pragma once

#include <filesystem>

#include "deepspeed/formats/model_files.h"
#include "deepspeed/models/arch_spec.h"

namespace deepspeed::models {

/// The spec of a GGUF model by its metadata alone; errors as gguf_config has them.
ArchSpec gguf_arch_spec(const formats::ModelFiles& files);

/// The spec, read from a config.json, with names and layouts of a GGUF file in place of Hugging Face's.
ArchSpec with_gguf_names(ArchSpec spec, const formats::ModelFiles& files);

/// The spec of the model that lies at `folder_or_file` and in `files`: by config.json where `folder_or_file`
/// is a folder that has one with sizes in it (GGUF repositories' often name a type alone), else by GGUF's
/// metadata.
ArchSpec arch_spec_of(const std::filesystem::path& folder_or_file, const formats::ModelFiles& files);

}  // namespace deepspeed::models
