#include <gmock/gmock.h>

#include <numeric>

#include "deepspeed/base/error.h"
#include "deepspeed/data/open_samples.h"
#include "deepspeed/data/pack_plan.h"
#include "deepspeed/data/packed_dataset.h"

namespace deepspeed::data {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

/// A store of documents with these lengths and prompts; token i has id i + 1.
TokenStorePtr store_of(const std::vector<std::pair<int64_t, int64_t>>& lengths_and_prompts) {
  std::vector<Document> documents;
  int64_t end = 0;
  for (const auto& [length, prompt] : lengths_and_prompts) {
    documents.push_back({end, end + length, end + prompt});
    end += length;
  }
  std::vector<int32_t> ids(static_cast<size_t>(end));
  std::iota(ids.begin(), ids.end(), 1);
  return hold_tokens("docs", ids, documents);
}

TEST(CutDocuments, LongDocumentsBecomeSeveralAndLongPairsLoseTheirEnd) {
  const auto store = store_of({{3, 0}, {10, 0}, {9, 2}, {9, 4}});
  const Cut cut = cut_documents(*store, 4);
  EXPECT_THAT(cut.pieces,
              ElementsAre(Piece{0, 3, 0}, Piece{3, 4, 0}, Piece{7, 4, 0}, Piece{11, 2, 0}, Piece{13, 4, 2}));
  EXPECT_EQ(cut.shortened, 2);
  EXPECT_EQ(cut.left_out, 1);  // the prompt of 4 fills the sample
}

TEST(CutDocuments, LeavesOutWhatTeachesNothing) {
  const auto store = store_of({{1, 0}, {0, 0}, {3, 3}, {2, 1}, {5, 0}});
  const Cut cut = cut_documents(*store, 4);
  EXPECT_THAT(cut.pieces, ElementsAre(Piece{4, 2, 1}, Piece{6, 4, 0}));  // of 5 tokens the last stands alone
  EXPECT_EQ(cut.left_out, 3);
}

TEST(PackPlan, EveryPieceIsInOneSampleAndNoSampleIsTooLong) {
  std::vector<Piece> pieces;
  int64_t total = 0;
  for (int64_t i = 0; i < 5000; ++i) {
    const auto length = static_cast<int32_t>(2 + (i * i * 31 + i * 17) % 200);
    pieces.push_back({total, length, 0});
    total += length;
  }
  const PackPlan plan = plan_packing(pieces, 256);
  std::vector<int64_t> begins;
  for (int64_t s = 0; s < plan.samples(); ++s) {
    int64_t length = 0;
    for (int64_t p = plan.first[static_cast<size_t>(s)]; p < plan.first[static_cast<size_t>(s) + 1]; ++p) {
      length += plan.pieces[static_cast<size_t>(p)].length;
      begins.push_back(plan.pieces[static_cast<size_t>(p)].begin);
    }
    ASSERT_LE(length, 256);
    ASSERT_GT(length, 0);
  }
  std::sort(begins.begin(), begins.end());
  ASSERT_EQ(begins.size(), pieces.size());
  for (size_t i = 0; i < pieces.size(); ++i) ASSERT_EQ(begins[i], pieces[i].begin);
  EXPECT_GT(static_cast<double>(total) / static_cast<double>(plan.samples() * 256), 0.97);
}

TEST(PackPlan, PiecesCanHaveASampleEach) {
  const std::vector<Piece> pieces = {{0, 2, 0}, {2, 2, 0}};
  EXPECT_EQ(plan_packing(pieces, 8).samples(), 1);
  EXPECT_EQ(plan_packing(pieces, 8, /*together=*/false).samples(), 2);
}

TEST(PackedDataset, MasksPromptsFirstTokensAndFilling) {
  const PackedDataset data(store_of({{3, 0}, {4, 2}}), {9, 100}, true);
  ASSERT_EQ(data.size(), 1);
  const auto sample = data.get(0);
  ASSERT_EQ(sample.size(), 3u);
  EXPECT_TRUE(at::equal(sample[0], at::tensor({1, 2, 3, 4, 5, 6, 7, 0, 0}, at::kLong)));
  EXPECT_TRUE(at::equal(sample[1], at::tensor({-100, 2, 3, -100, -100, 6, 7, -100, -100}, at::kLong)));
  EXPECT_TRUE(at::equal(sample[2], at::tensor({0, 0, 0, 3, 3, 3, 3, 7, 8}, at::kInt)));
}

TEST(PackedDataset, RefusesDataWithoutDocumentsOrWithNothingToLearn) {
  const auto error = [](const TokenStorePtr& store, int64_t vocab = 1000) -> std::string {
    try {
      PackedDataset(store, {4, vocab}, true).get(0);
    } catch (const base::Error& e) {
      return e.what();
    }
    return "none";
  };
  EXPECT_EQ(error(store_of({{3, 0}})), "none");
  EXPECT_THAT(error(hold_tokens("a.bin", {1, 2, 3})), HasSubstr("does not say where its documents begin"));
  EXPECT_THAT(error(store_of({{9, 5}, {8, 4}})), HasSubstr("--seq-length"));
  EXPECT_THAT(error(store_of({{3, 0}}), 3), HasSubstr("token 3 at position 2"));
}

TEST(Samples, PairsArePackedByThemselvesAndTheRestIsAStream) {
  const SampleOptions options{4, 1000};
  EXPECT_EQ(make_samples(store_of({{8, 0}}), options, std::nullopt).packing, Packing::kStream);
  const Samples pairs = make_samples(store_of({{3, 1}, {9, 1}, {5, 4}}), options, std::nullopt);
  EXPECT_EQ(pairs.packing, Packing::kDocuments);
  EXPECT_EQ(pairs.note,
            "docs: 2 documents in 2 samples, 2 cut to --seq-length, 1 left out (nothing to learn)");
  EXPECT_EQ(make_samples(store_of({{8, 0}}), options, Packing::kSingle).dataset->size(), 2);
  EXPECT_EQ(parse_packing("auto"), std::nullopt);
  EXPECT_THROW(parse_packing("tight"), base::Error);
}

}  // namespace
}  // namespace deepspeed::data
