#include "deepspeed/data/open_samples.h"

#include <fmt/format.h>

#include "deepspeed/base/error.h"
#include "deepspeed/data/packed_dataset.h"

namespace deepspeed::data {
namespace {

bool holds_pairs(const TokenStore& store) {
  for (int64_t i = 0; i < store.documents(); ++i)
    if (const Document d = store.document(i); d.learnt > d.begin) return true;
  return false;
}

std::string describe(const PackedDataset& dataset, const std::string& name) {
  std::string text = fmt::format("{}: {} documents in {} samples", name, dataset.pieces(), dataset.size());
  if (dataset.shortened() > 0) text += fmt::format(", {} cut to --seq-length", dataset.shortened());
  if (dataset.left_out() > 0) text += fmt::format(", {} left out (nothing to learn)", dataset.left_out());
  return text;
}

}  // namespace

std::optional<Packing> parse_packing(std::string_view name) {
  if (name == "auto") return std::nullopt;
  if (name == "stream") return Packing::kStream;
  if (name == "documents") return Packing::kDocuments;
  if (name == "single") return Packing::kSingle;
  base::fail("--packing '{}' is unknown (auto, stream, documents, single)", name);
}

Samples make_samples(const TokenStorePtr& store, const SampleOptions& options,
                     std::optional<Packing> packing) {
  if (!packing) packing = holds_pairs(*store) ? Packing::kDocuments : Packing::kStream;
  if (*packing == Packing::kStream)
    return {.dataset = std::make_shared<TokenDataset>(store, options),
            .packing = *packing,
            .note = "",
            .store = store};
  auto made = std::make_shared<PackedDataset>(store, options, *packing == Packing::kDocuments);
  std::string note = describe(*made, store->name());
  return {.dataset = std::move(made), .packing = *packing, .note = std::move(note), .store = nullptr};
}

}  // namespace deepspeed::data
