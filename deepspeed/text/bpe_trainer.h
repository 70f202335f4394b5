// Learns a byte-level BPE vocabulary from text: Sennrich et al. 2016 (arXiv:1508.07909) on GPT-2's byte
// alphabet, with the tie-breaking of `tokenizers` 0.23.3's BpeTrainer, so that both learn the same merges.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace deepspeed::text {

struct BpeTrainOptions {
  int vocab_size = 8192;  // special tokens and the 256 bytes included; fewer when the text has no more pairs
  int min_frequency = 2;  // a pair seen less often is not merged
  std::vector<std::string> special_tokens = {"<|endoftext|>"};  // they take the first ids
};

/// The text of a tokenizer.json (ByteLevel without prefix space, GPT-2's pattern) that Tokenizer and
/// `tokenizers` load. An Error when the text is not UTF-8 or empty, or `vocab_size` cannot hold special
/// tokens and bytes.
std::string train_byte_level_bpe(std::string_view utf8_text, const BpeTrainOptions& options = {});

}  // namespace deepspeed::text
