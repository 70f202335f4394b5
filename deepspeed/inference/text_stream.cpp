#include "deepspeed/inference/text_stream.h"

#include <span>
#include <string_view>
#include <utility>

namespace deepspeed::inference {
namespace {

// Tokens that stay in the window: enough that its first ones are no rest of a character, and not many.
constexpr size_t kShortest = 4, kTried = 8, kLongest = 64;
constexpr std::string_view kReplacement = "\xEF\xBF\xBD";

}  // namespace

std::string TokenText::tell(const std::string& text, size_t end) {
  if (end <= told_) return {};
  const size_t begin = std::exchange(told_, end);
  return text.substr(begin, end - begin);
}

void TokenText::shorten_window(const std::string& text) {
  for (size_t length = kShortest; length <= kTried && length < window_.size(); ++length) {
    const std::string rest = tokenizer_->decode(std::span(window_).last(length));
    if (rest.starts_with(kReplacement) || !text.ends_with(rest)) continue;
    window_.erase(window_.begin(), window_.end() - static_cast<ptrdiff_t>(length));
    told_ = rest.size();
    return;
  }
}

std::string TokenText::put(int32_t token) {
  if (tokenizer_ == nullptr) return {};
  window_.push_back(token);
  const std::string text = tokenizer_->decode(window_);
  size_t end = text.size();  // of what no further token changes
  while (std::string_view(text).substr(0, end).ends_with(kReplacement)) end -= kReplacement.size();
  if (window_.size() > kLongest) {  // bytes that are no character, for long
    std::string out = tell(text, text.size());
    window_.clear();
    told_ = 0;
    return out;
  }
  std::string out = tell(text, end);
  if (end == text.size()) shorten_window(text);
  return out;
}

std::string TokenText::finish() {
  if (tokenizer_ == nullptr || window_.empty()) return {};
  const std::string text = tokenizer_->decode(window_);
  window_.clear();
  return tell(text, text.size());
}

TextStream::TextStream(const text::Tokenizer* tokenizer, std::shared_ptr<const StopStrings> stops)
    : decoder_(tokenizer), finder_(std::move(stops)) {}

std::string TextStream::put(int32_t token) {
  if (stopped()) return {};
  return finder_.push(decoder_.put(token));
}

std::string TextStream::finish() {
  if (stopped()) return {};
  std::string text = finder_.push(decoder_.finish());
  return stopped() ? text : text + finder_.finish();
}

}  // namespace deepspeed::inference
