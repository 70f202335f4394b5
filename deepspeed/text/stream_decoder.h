// Text out of token ids that come one at a time.
#pragma once

#include <string>

#include "deepspeed/text/tokenizer.h"

namespace deepspeed::text {

/// What `put` and `finish` return is, one after the other, what Tokenizer::decode makes of all ids; no call
/// ends within a UTF-8 character. One difference: where tokens of bytes ("<0x0A>") follow each other and are
/// not UTF-8 as a whole, decode() gives one U+FFFD a byte, this the characters that are there and U+FFFD for
/// what is none.
class StreamDecoder {
 public:
  /// An Error when the decoder's steps need all of the text at once.
  explicit StreamDecoder(Tokenizer tokenizer, bool skip_special_tokens = true);

  /// The text that is now certain; ids that no token has are skipped.
  std::string put(int32_t id);
  /// What is left, with U+FFFD for a character that never became whole.
  std::string finish();

 private:
  std::string decoded(std::string token);
  std::string stripped_start(std::string text);
  std::string whole_characters();

  Tokenizer tokenizer_;
  bool skip_special_tokens_;
  bool first_ = true;
  bool is_byte_ = false;   // `pending_` ends with bytes of byte tokens
  size_t start_left_ = 0;  // occurrences of a Strip behind Fuse that are still to be dropped
  std::string held_;       // the end that such a Strip may drop
  std::string pending_;    // bytes that are not yet a character
};

}  // namespace deepspeed::text
