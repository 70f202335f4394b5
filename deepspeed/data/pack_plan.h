// Which documents go together into which sample: a pure function of their lengths. Torch-free.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "deepspeed/data/token_store.h"

namespace deepspeed::data {

/// A document, or a part of one, that goes into a sample whole: `length` tokens from `begin` of the store,
/// whose first `given` are not learnt.
struct Piece {
  int64_t begin = 0;
  int32_t length = 0, given = 0;
  bool operator==(const Piece&) const = default;
};

/// What became of a store's documents.
struct Cut {
  std::vector<Piece> pieces;
  int64_t shortened = 0;  // pairs longer than a sample: their end is left out
  int64_t left_out = 0;   // pairs and documents in which nothing would be learnt
};

/// The documents as pieces of at most `sample_length` tokens: a long document becomes several, a long pair
/// loses its end (a response without its prompt would teach the wrong thing). Of every piece at least one
/// token is predicted from another.
Cut cut_documents(const TokenStore& store, int64_t sample_length);

/// Samples as lists of pieces: sample s holds pieces[first[s]] ... pieces[first[s+1] - 1].
struct PackPlan {
  std::vector<Piece> pieces;
  std::vector<int64_t> first{0};
  int64_t samples() const { return static_cast<int64_t>(first.size()) - 1; }
};

/// Fills samples of `sample_length` by best fit over the 64 that are open at a time, so that what lies
/// together in the file stays near each other and the time is linear. With `together` false each piece gets
/// a sample of its own.
PackPlan plan_packing(std::span<const Piece> pieces, int64_t sample_length, bool together = true);

}  // namespace deepspeed::data
