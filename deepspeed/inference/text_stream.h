// The text of a sequence while its tokens are chosen. Torch-free.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "deepspeed/inference/stop_strings.h"
#include "deepspeed/text/tokenizer.h"

namespace deepspeed::inference {

/// Token by token, the text that Tokenizer::decode gives for all of them, special tokens left out, in pieces
/// of whole characters: tokens that end inside one wait for the next. A value.
class TokenText {
 public:
  /// Without a tokenizer there is no text.
  explicit TokenText(const text::Tokenizer* tokenizer) : tokenizer_(tokenizer) {}
  /// The text that becomes certain.
  std::string put(int32_t token);
  /// What waits, incomplete characters as U+FFFD.
  std::string finish();

 private:
  // What of the window's text from `told_` to `end` is new.
  std::string tell(const std::string& text, size_t end);
  void shorten_window(const std::string& text);

  const text::Tokenizer* tokenizer_;
  std::vector<int32_t>
      window_;       // the last tokens: those that wait, and some that the next ones' text may depend on
  size_t told_ = 0;  // bytes of the window's text that are out
};

/// The same up to a stop string. A value.
class TextStream {
 public:
  TextStream(const text::Tokenizer* tokenizer, std::shared_ptr<const StopStrings> stops);
  /// Text of the answer that becomes certain; nothing after stopped().
  std::string put(int32_t token);
  std::string finish();
  /// The stop string at which it ended.
  std::optional<size_t> stopped() const { return finder_.found(); }

 private:
  TokenText decoder_;
  StopFinder finder_;
};

}  // namespace deepspeed::inference
