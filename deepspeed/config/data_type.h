// Number formats as configuration files name them.
#pragma once

namespace deepspeed::config {

/// "fp32", "fp16", "bf16" and their long spellings ("float32", "half", "bfloat16", ...).
enum class DataType { kFp32, kFp16, kBf16 };

}  // namespace deepspeed::config
