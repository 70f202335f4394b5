// Any bytes as a tokenizer.json: either it loads, or one line says why not. What loads must encode and decode
// text.
#include <cstdlib>
#include <string>
#include <string_view>

#include "deepspeed/base/error.h"
#include "deepspeed/base/log.h"
#include "deepspeed/text/tokenizer.h"
#include "deepspeed/text/utf8.h"

namespace base = deepspeed::base;
namespace text = deepspeed::text;

namespace {

constexpr std::string_view kText =
    "I'll say <s>caf\u00e9, e\u0301 \u4e2d\u6587 12345\r\n\t  ok  <|endoftext|>\U0001f600 ab abc";

void use(const text::Tokenizer& tokenizer) {
  try {
    const text::Encoding encoding = tokenizer.encode(kText);
    if (encoding.offsets.size() != encoding.ids.size() || encoding.tokens.size() != encoding.ids.size())
      std::abort();
    if (tokenizer.encode(kText, false).ids != tokenizer.encode_ids(kText)) std::abort();
    if (text::find_invalid_utf8(tokenizer.decode(encoding.ids, false)) != std::string_view::npos)
      std::abort();
  } catch (const base::Error&) {  // a pattern may need more steps than are allowed
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  base::set_log_level(base::LogLevel::kCritical);
  try {
    use(text::Tokenizer::from_json(std::string_view(reinterpret_cast<const char*>(data), size), "fuzz.json"));
  } catch (const base::Error& error) {
    if (std::string_view(error.what()).find('\n') != std::string_view::npos) std::abort();
  }
  return 0;
}
