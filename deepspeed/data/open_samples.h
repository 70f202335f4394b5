// From a token store to the samples that a causal language model trains on.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "deepspeed/data/loader.h"
#include "deepspeed/data/token_dataset.h"
#include "deepspeed/data/token_store.h"

namespace deepspeed::data {

enum class Packing {
  kStream,     // one stream cut into samples; attention crosses documents
  kDocuments,  // whole documents packed into samples; none sees another
  kSingle,     // a document a sample, filled up
};

/// "stream", "documents", "single"; "auto": nothing. Anything else is an Error.
std::optional<Packing> parse_packing(std::string_view name);

struct Samples {
  std::shared_ptr<const Dataset> dataset;
  Packing packing = Packing::kStream;
  std::string note;     // for a person: what packing made of the documents; may be empty
  TokenStorePtr store;  // what they were cut from, where that is one stream
};

/// Without `packing`: documents where the store holds prompts with responses, else stream.
Samples make_samples(const TokenStorePtr& store, const SampleOptions& options,
                     std::optional<Packing> packing);

}  // namespace deepspeed::data
