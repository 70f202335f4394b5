// Patterns that buffers are named by (data_types.keep_in_fp32_modules). Torch-free: the schema checks them.
#pragma once

#include <regex>
#include <string>
#include <vector>

namespace deepspeed::engine {

/// Whether any pattern is found anywhere in a name: std::regex_search with the result. As in DeepSpeed's
/// runtime/keep_in_fp32.py `*` stands for any text, and whatever else means something in a regular expression
/// means it here. No patterns match nothing. base::Error for what is no regular expression.
std::regex name_pattern(const std::vector<std::string>& patterns);

}  // namespace deepspeed::engine
