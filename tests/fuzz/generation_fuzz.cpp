// Any bytes as a request for text: either one line says what is wrong with it, or sequences come out that
// keep to it.
#include <cmath>
#include <cstdlib>
#include <string>
#include <string_view>

#include "deepspeed/base/error.h"
#include "deepspeed/base/log.h"
#include "deepspeed/inference/search.h"

namespace base = deepspeed::base;
namespace config = deepspeed::config;
namespace inference = deepspeed::inference;

namespace {

constexpr size_t kVocabulary = 12, kMostTokens = 14;

// Scores of any size, minus infinity among them, that depend on the row.
std::vector<float> scores_of(uint64_t row) {
  std::vector<float> scores(kVocabulary);
  for (size_t i = 0; i < kVocabulary; ++i)
    scores[i] = static_cast<float>(40 * inference::draw_uniform(5, row, i) - 20);
  scores[row % kVocabulary] = inference::kBanned;
  return scores;
}

void use(inference::GenerationConfig asked) {
  if (asked.num_beams > 8 || asked.num_return_sequences > 8) return;
  asked.check_tokens(kVocabulary);
  asked.stop_strings.clear();  // there is no tokenizer
  const size_t prompt = 3, wanted = static_cast<size_t>(asked.max_new_tokens.value_or(kMostTokens));
  const size_t most = prompt + std::min(wanted, kMostTokens);
  const auto search =
      inference::make_search({.prompt = {1, 2, 1}, .config = asked, .max_length = most, .seed = 9});
  std::vector<inference::Continuation> next = {{0, 1}};
  for (uint64_t step = 0; !next.empty(); ++step) {
    if (step > kMostTokens) std::abort();
    std::vector<std::vector<float>> rows;
    for (const auto& one : next) rows.push_back(scores_of(step * 31 + static_cast<uint64_t>(one.token)));
    next = search->advance(std::vector<std::span<const float>>(rows.begin(), rows.end()));
    for (const auto& one : next)
      if (one.parent >= rows.size() || one.token < 0 || one.token >= static_cast<int32_t>(kVocabulary))
        std::abort();
  }
  for (const auto& one : search->finish()) {
    if (one.tokens.empty() || one.tokens.size() > most) std::abort();
    for (const int32_t token : one.tokens)
      if (token < 0 || token >= static_cast<int32_t>(kVocabulary)) std::abort();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  base::set_log_level(base::LogLevel::kCritical);
  try {
    const auto document =
        config::parse_text(std::string_view(reinterpret_cast<const char*>(data), size), "fuzz.json");
    use(inference::parse_generation(document.json));
  } catch (const base::Error& error) {
    if (std::string_view(error.what()).find('\n') != std::string_view::npos) std::abort();
  }
  return 0;
}
