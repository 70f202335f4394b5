// Decoders: how tokens become text again.
#pragma once

#include <string>
#include <variant>
#include <vector>

#include "deepspeed/text/matcher.h"

namespace deepspeed::text {

/// One after the other, separated by spaces: what a file without a decoder means.
struct SpacesDecoder {};
/// Their bytes, as GPT-2 writes them; what is not UTF-8 becomes U+FFFD.
struct ByteLevelDecoder {};
/// Runs of tokens such as "<0x0A>" become characters, or one U+FFFD a byte where they are not UTF-8.
struct ByteFallbackDecoder {};
/// All tokens become one.
struct FuseDecoder {};
/// Up to `start` and `stop` occurrences of a character at each token's ends go.
struct StripDecoder {
  uint32_t content;
  size_t start, stop;
};
struct ReplaceDecoder {
  Matcher matcher;
  std::string content;
};
/// The marker becomes a space; in the first token it goes where encoding may have put it there.
struct MetaspaceDecoder {
  std::string marker;
  bool drops_first;
};
/// Spaces before tokens without the prefix, which goes; `cleanup` undoes spaces before punctuation and in
/// English contractions.
struct WordPieceDecoder {
  std::string prefix = "##";
  bool cleanup = true;
};
/// BPEDecoder: the suffix becomes a space; in the last token it goes.
struct SuffixDecoder {
  std::string suffix = "</w>";
};

using DecoderStep =
    std::variant<SpacesDecoder, ByteLevelDecoder, ByteFallbackDecoder, FuseDecoder, StripDecoder,
                 ReplaceDecoder, MetaspaceDecoder, WordPieceDecoder, SuffixDecoder>;

/// The text of all tokens.
std::string decode_tokens(const std::vector<DecoderStep>& steps, std::vector<std::string> tokens);

/// Each on its own, for steps whose every token stays one (all but SpacesDecoder, ByteLevelDecoder,
/// ByteFallbackDecoder and FuseDecoder). `first` and `last`: whether it is that of the whole text.
std::string decode_token(const DecoderStep& step, const std::string& token, bool first, bool last);
/// The byte of a token such as "<0x0A>", or -1.
int byte_of_token(std::string_view token);

}  // namespace deepspeed::text
