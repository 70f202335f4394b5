#include "deepspeed/inference/stop_strings.h"

#include <algorithm>
#include <utility>

namespace deepspeed::inference {

StopStrings::StopStrings(const std::vector<std::string>& strings) : strings_(strings) {
  for (const std::string& s : strings_) {
    std::vector<uint32_t> fallback(s.size(), 0);
    for (size_t i = 1, k = 0; i < s.size(); ++i) {
      while (k > 0 && s[i] != s[k]) k = fallback[k - 1];
      if (s[i] == s[k]) ++k;
      fallback[i] = static_cast<uint32_t>(k);
    }
    fallback_.push_back(std::move(fallback));
  }
}

StopFinder::StopFinder(std::shared_ptr<const StopStrings> strings)
    : strings_(std::move(strings)), matched_(strings_->strings().size(), 0) {}

bool StopFinder::step(size_t i, char byte) {
  const std::string& string = strings_->strings_[i];
  uint32_t& k = matched_[i];
  while (k > 0 && string[k] != byte) k = strings_->fallback_[i][k - 1];
  if (string[k] == byte) ++k;
  return k == string.size();
}

size_t StopFinder::longest_begun() const {
  return matched_.empty() ? 0 : *std::max_element(matched_.begin(), matched_.end());
}

std::string StopFinder::push(std::string_view text) {
  if (found_) return {};
  for (const char byte : text) {
    held_ += byte;
    for (size_t i = 0; i < matched_.size(); ++i) {
      const bool longer = !found_ || strings_->strings_[i].size() > strings_->strings_[*found_].size();
      if (step(i, byte) && longer) found_ = i;
    }
    if (!found_) continue;
    std::string answer = held_.substr(0, held_.size() - strings_->strings_[*found_].size());
    held_.clear();
    return answer;
  }
  const size_t certain = held_.size() - longest_begun();
  std::string answer = held_.substr(0, certain);
  held_.erase(0, certain);
  return answer;
}

std::string StopFinder::finish() { return std::exchange(held_, {}); }

}  // namespace deepspeed::inference
