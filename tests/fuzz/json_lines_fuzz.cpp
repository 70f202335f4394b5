// Any bytes as .jsonl training data: every line is read, or one line says which and why not. What is read is
// valid UTF-8, as the tokenizer demands.
#include <cstdlib>
#include <string_view>

#include "deepspeed/base/error.h"
#include "deepspeed/text/json_lines.h"
#include "deepspeed/text/utf8.h"

namespace text = deepspeed::text;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  try {
    size_t last = 0;
    text::read_json_lines({reinterpret_cast<const char*>(data), size}, "fuzz.jsonl", "text",
                          [&](size_t line, const text::Example& example) {
                            if (line <= last || (!example.is_pair && !example.prompt.empty())) std::abort();
                            last = line;
                            for (const auto& part : {example.prompt, example.text})
                              if (text::find_invalid_utf8(part) != std::string_view::npos) std::abort();
                          });
  } catch (const deepspeed::base::Error& error) {
    if (std::string_view(error.what()).find('\n') != std::string_view::npos) std::abort();
  }
  return 0;
}
