#include "deepspeed/data/pack_plan.h"

#include <algorithm>

namespace deepspeed::data {
namespace {

constexpr size_t kOpenSamples = 64;

struct OpenSample {
  std::vector<Piece> pieces;
  int64_t room;
};

void close(PackPlan& plan, const OpenSample& sample) {
  plan.pieces.insert(plan.pieces.end(), sample.pieces.begin(), sample.pieces.end());
  plan.first.push_back(static_cast<int64_t>(plan.pieces.size()));
}

bool less_room(const OpenSample& a, const OpenSample& b) { return a.room < b.room; }

/// The open sample that the piece fills best; a new one where none has room, for which the fullest is closed
/// when too many are open.
std::vector<OpenSample>::iterator place_for(const Piece& piece, int64_t sample_length,
                                            std::vector<OpenSample>& open, PackPlan& plan) {
  auto best = open.end();
  for (auto sample = open.begin(); sample != open.end(); ++sample)
    if (sample->room >= piece.length && (best == open.end() || sample->room < best->room)) best = sample;
  if (best != open.end()) return best;
  if (open.size() == kOpenSamples) {
    const auto fullest = std::min_element(open.begin(), open.end(), less_room);
    close(plan, *fullest);
    open.erase(fullest);
  }
  open.push_back({{}, sample_length});
  return open.end() - 1;
}

}  // namespace

Cut cut_documents(const TokenStore& store, int64_t sample_length) {
  Cut cut;
  for (int64_t i = 0; i < store.documents(); ++i) {
    const Document d = store.document(i);
    const bool pair = d.learnt > d.begin;
    const int64_t end = pair ? std::min(d.end, d.begin + sample_length) : d.end;
    if (end < d.end) ++cut.shortened;
    // The first token of a piece is predicted from nothing.
    if (std::max(d.learnt, d.begin + 1) >= end) {
      ++cut.left_out;
      continue;
    }
    for (int64_t begin = d.begin; begin + 1 < end; begin += sample_length)
      cut.pieces.push_back({.begin = begin,
                            .length = static_cast<int32_t>(std::min(sample_length, end - begin)),
                            .given = static_cast<int32_t>(std::max<int64_t>(0, d.learnt - begin))});
  }
  return cut;
}

PackPlan plan_packing(std::span<const Piece> pieces, int64_t sample_length, bool together) {
  PackPlan plan;
  plan.pieces.reserve(pieces.size());
  std::vector<OpenSample> open;
  for (const Piece& piece : pieces) {
    if (!together) {
      close(plan, {{piece}, 0});
      continue;
    }
    const auto sample = place_for(piece, sample_length, open, plan);
    sample->pieces.push_back(piece);
    sample->room -= piece.length;
    if (sample->room == 0) {
      close(plan, *sample);
      open.erase(sample);
    }
  }
  for (const auto& sample : open) close(plan, sample);
  return plan;
}

}  // namespace deepspeed::data
