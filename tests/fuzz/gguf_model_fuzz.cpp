// Any bytes as the GGUF file of a model: what opens gives a configuration, a tokenizer, a chat template and
// generation defaults, or one line a piece says why not. The tokenizer must encode and decode text, the
// template render.
#include <cstdlib>
#include <span>
#include <string>
#include <string_view>

#include "deepspeed/base/error.h"
#include "deepspeed/base/log.h"
#include "deepspeed/formats/model_files.h"
#include "deepspeed/inference/generation_config.h"
#include "deepspeed/inference/gguf_tokenizer.h"
#include "deepspeed/models/gguf_config.h"
#include "deepspeed/text/utf8.h"

namespace base = deepspeed::base;
namespace formats = deepspeed::formats;
namespace inference = deepspeed::inference;
namespace models = deepspeed::models;
namespace text = deepspeed::text;

namespace {

template <class Call>
void answers(Call&& call) {
  try {
    call();
  } catch (const base::Error& error) {
    if (std::string_view(error.what()).find('\n') != std::string_view::npos) std::abort();
  }
}

void check_tokenizer(const formats::GgufMetadata& metadata) {
  const auto tokenizer = inference::gguf_tokenizer(metadata, "fuzz.gguf");
  if (!tokenizer) return;
  const text::Encoding encoding =
      tokenizer->encode("I'll say <s>caf\u00e9 \u4e2d 12\r\n  ok [SEP]\U0001f600 ab");
  if (encoding.offsets.size() != encoding.ids.size() || encoding.tokens.size() != encoding.ids.size())
    std::abort();
  if (text::find_invalid_utf8(tokenizer->decode(encoding.ids, false)) != std::string_view::npos) std::abort();
}

void check_template(const formats::GgufMetadata& metadata) {
  const auto chat = inference::gguf_chat_template(metadata, "fuzz.gguf");
  if (!chat) return;
  text::ChatInput input;
  input.messages = R"([{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}])";
  input.variables = inference::gguf_special_tokens(metadata).dump();
  input.add_generation_prompt = true;
  if (text::find_invalid_utf8(chat->render(input).text) != std::string_view::npos) std::abort();
}

void check(const formats::ModelFiles& files) {
  const formats::GgufMetadata& metadata = *files.gguf_metadata();
  answers([&] { models::gguf_config(files); });
  answers([&] { check_tokenizer(metadata); });
  answers([&] { check_template(metadata); });
  answers([&] {
    inference::parse_generation(deepspeed::config::Json::object(),
                                inference::gguf_generation_defaults(metadata));
  });
  answers([&] { inference::gguf_pooling(metadata); });
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  base::set_log_level(base::LogLevel::kCritical);
  const auto image = std::as_bytes(std::span(data, size));
  answers([&] { check(formats::ModelFiles::of_gguf(formats::GgufFile::from_bytes(image, "fuzz.gguf"))); });
  return 0;
}
