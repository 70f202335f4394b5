// Any bytes as a configuration: either it parses, or one line says why not. What parses must survive being
// printed and parsed again.
#include <cstdlib>
#include <string>
#include <string_view>

#include "deepspeed/base/error.h"
#include "deepspeed/engine/parse_config.h"

namespace config = deepspeed::config;
namespace engine = deepspeed::engine;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string_view text(reinterpret_cast<const char*>(data), size);
  try {
    config::Document document = config::parse_text(text, "fuzz.json");
    if (config::parse_text(document.json.dump(), "again").json != document.json) std::abort();
    engine::parse_config(document, 2);
  } catch (const deepspeed::base::Error& error) {
    if (std::string_view(error.what()).find('\n') != std::string_view::npos) std::abort();
  }
  return 0;
}
