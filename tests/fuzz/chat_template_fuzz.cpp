// Any bytes as a chat template: either it renders within its bounds, or one line says why not.
#include <cstdlib>
#include <string>
#include <string_view>

#include "deepspeed/base/error.h"
#include "deepspeed/text/chat_template.h"
#include "deepspeed/text/utf8.h"

namespace base = deepspeed::base;
namespace text = deepspeed::text;

namespace {

text::ChatInput conversation() {
  text::ChatInput input;
  input.messages =
      R"([{"role": "system", "content": "Be brief."}, {"role": "user", "content": "a\n\u00e9 <b>"},
          {"role": "assistant", "content": null, "tool_calls": [{"function": {"name": "f", "arguments": {"x": [1, 2.5]}}}]},
          {"role": "user", "content": [{"type": "text", "text": "t"}]}])";
  input.tools =
      R"([{"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {"x": {}}}}}])";
  input.documents = R"([{"title": "t", "text": "x"}])";
  input.variables = R"({"bos_token": "<s>", "eos_token": "</s>"})";
  input.add_generation_prompt = true;
  input.now = std::chrono::system_clock::time_point{};
  return input;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const text::ChatInput input = conversation();
  try {
    const auto chat =
        text::ChatTemplate::from_source(std::string_view(reinterpret_cast<const char*>(data), size), "fuzz");
    const text::RenderedChat out = chat.render(input);
    if (text::find_invalid_utf8(out.text) != std::string_view::npos) std::abort();
    for (const auto& [begin, end] : out.generations)
      if (begin > end || end > out.text.size()) std::abort();
  } catch (const base::Error& error) {
    if (std::string_view(error.what()).find('\n') != std::string_view::npos) std::abort();
  }
  return 0;
}
