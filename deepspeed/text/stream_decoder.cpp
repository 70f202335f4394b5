#include "deepspeed/text/stream_decoder.h"

#include <algorithm>

#include "deepspeed/base/error.h"
#include "deepspeed/text/byte_alphabet.h"
#include "deepspeed/text/pipeline.h"
#include "deepspeed/text/utf8.h"

namespace deepspeed::text {
namespace {

bool joins_all(const DecoderStep& step) {
  return std::holds_alternative<FuseDecoder>(step) || std::holds_alternative<ByteLevelDecoder>(step);
}

// Steps up to and with the one that joins all tokens.
size_t joined_after(const std::vector<DecoderStep>& steps) {
  const auto found = std::find_if(steps.begin(), steps.end(), joins_all);
  return static_cast<size_t>(found - steps.begin()) + (found != steps.end() ? 1 : 0);
}

// The Strip behind Fuse, if there is one.
const StripDecoder* final_strip(const std::vector<DecoderStep>& steps) {
  const size_t joined = joined_after(steps);
  return joined < steps.size() ? std::get_if<StripDecoder>(&steps[joined]) : nullptr;
}

// Length of the head of `bytes` that holds whole characters, or what no byte can make one.
size_t whole_length(std::string_view bytes) {
  for (size_t back = 1; back <= std::min<size_t>(3, bytes.size()); ++back) {
    const size_t at = bytes.size() - back;
    const auto lead = static_cast<unsigned char>(bytes[at]);
    if ((lead & 0xC0) == 0x80) continue;
    if (lead < 0xC2 || lead > 0xF4 || utf8_length(bytes[at]) <= back) return bytes.size();
    // As far as they go the bytes may be right: then putting the rest to them gives a character.
    for (const char* rest : {"\x80\x80\x80", "\xBF\xBF\xBF"}) {
      const std::string whole =
          std::string(bytes.substr(at)) + std::string(rest, utf8_length(bytes[at]) - back);
      if (find_invalid_utf8(whole) == std::string_view::npos) return at;
    }
    return bytes.size();
  }
  return bytes.size();
}

}  // namespace

StreamDecoder::StreamDecoder(Tokenizer tokenizer, bool skip_special_tokens)
    : tokenizer_(std::move(tokenizer)), skip_special_tokens_(skip_special_tokens) {
  const Pipeline& pipeline = *tokenizer_.pipeline_;
  const auto& steps = pipeline.decoder;
  const StripDecoder* strip = final_strip(steps);
  bool falls_back = false;
  for (size_t i = 0; i < joined_after(steps); ++i) {
    const bool joins = joins_all(steps[i]);
    DS_CHECK(!std::holds_alternative<SuffixDecoder>(steps[i]) && (!falls_back || joins),
             "{}: this decoder cannot work on one token at a time; decode all tokens at once", pipeline.name);
    falls_back = falls_back || std::holds_alternative<ByteFallbackDecoder>(steps[i]);
  }
  DS_CHECK(
      joined_after(steps) + (strip != nullptr ? 1 : 0) == steps.size(),
      "{}: the decoder's steps behind Fuse cannot work on one token at a time; decode all tokens at once",
      pipeline.name);
  if (strip != nullptr) start_left_ = strip->start;
}

std::string StreamDecoder::decoded(std::string token) {
  is_byte_ = false;
  const auto& steps = tokenizer_.pipeline_->decoder;
  for (size_t i = 0; i < joined_after(steps); ++i) {
    if (std::holds_alternative<ByteLevelDecoder>(steps[i])) {
      std::string bytes;
      append_token_bytes(token, bytes);
      token = std::move(bytes);
      is_byte_ = true;
    } else if (std::holds_alternative<SpacesDecoder>(steps[i])) {
      if (!first_) token.insert(0, 1, ' ');
    } else if (std::holds_alternative<ByteFallbackDecoder>(steps[i])) {
      if (const int byte = byte_of_token(token); byte >= 0) {
        is_byte_ = true;
        token.assign(1, static_cast<char>(byte));
      }
    } else {
      token = decode_token(steps[i], token, first_, false);
    }
  }
  first_ = false;
  return token;
}

std::string StreamDecoder::put(int32_t id) {
  const std::string* token = tokenizer_.pipeline_->decoded_token(id, skip_special_tokens_);
  if (token == nullptr) return "";
  std::string bytes = decoded(*token);
  std::string before;
  if (!is_byte_ && !pending_.empty()) before = utf8_lossy(std::exchange(pending_, {}));
  pending_ += bytes;
  return stripped_start(before + whole_characters());
}

std::string StreamDecoder::whole_characters() {
  const size_t length = whole_length(pending_);
  std::string out = utf8_lossy(pending_.substr(0, length));
  pending_.erase(0, length);
  return out;
}

// What a Strip behind Fuse does to the text so far: drops characters at its start, holds those that may be
// its end.
std::string StreamDecoder::stripped_start(std::string text) {
  const StripDecoder* strip = final_strip(tokenizer_.pipeline_->decoder);
  if (strip == nullptr || text.empty()) return text;
  size_t begin = 0;
  while (start_left_ > 0 && begin < text.size()) {
    size_t at = begin;
    if (next_code_point(text, at) != strip->content) {
      start_left_ = 0;
      break;
    }
    --start_left_;
    begin = at;
  }
  text = held_ + text.substr(begin);
  size_t end = text.size();
  for (size_t i = 0, at = end; i < strip->stop && at > 0 && previous_code_point(text, at) == strip->content;
       ++i)
    end = at;
  held_ = text.substr(end);
  return text.substr(0, end);
}

std::string StreamDecoder::finish() {
  std::string out = stripped_start(utf8_lossy(std::exchange(pending_, {})));
  held_.clear();
  return out;
}

}  // namespace deepspeed::text
