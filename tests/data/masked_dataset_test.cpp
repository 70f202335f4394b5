#include "deepspeed/data/masked_dataset.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>

#include <set>

#include "deepspeed/base/error.h"

namespace deepspeed::data {
namespace {

constexpr int64_t kVocab = 1000, kMask = 3;

MaskedOptions options(int64_t length, bool by_document = false, uint64_t seed = 7) {
  return {.length = length,
          .begin_token = 1,
          .end_token = 2,
          .padding = 0,
          .by_document = by_document,
          .mask = {.vocab = kVocab, .mask_token = kMask, .untouched = {0, 1, 2}, .seed = seed}};
}

TokenStorePtr tokens(int64_t count, std::vector<Document> documents = {}) {
  std::vector<int32_t> ids;
  for (int64_t i = 0; i < count; ++i) ids.push_back(static_cast<int32_t>(10 + i % 900));
  return hold_tokens("tokens", std::move(ids), std::move(documents));
}

TEST(MaskedDataset, SaysWhetherDocumentsAreMissingOrEmpty) {
  const auto error = [](const TokenStorePtr& store) -> std::string {
    try {
      MaskedDataset(store, options(34, /*by_document=*/true));
    } catch (const base::Error& e) {
      return e.what();
    }
    return "none";
  };
  EXPECT_THAT(error(tokens(9)), testing::HasSubstr("holds no documents"));
  EXPECT_THAT(error(tokens(0, {{0, 0, 0}, {0, 0, 0}})),
              testing::HasSubstr("none of its 2 documents holds a token"));
}

TEST(MaskedDataset, SamplesAreTheStreamBetweenBeginAndEndAndLabelsWhatWasMasked) {
  const MaskedDataset dataset(tokens(1000), options(34));
  EXPECT_EQ(dataset.size(), 31);
  for (int64_t i = 0; i < dataset.size(); ++i) {
    const auto sample = dataset.get(i);
    const auto ids = sample[0].accessor<int64_t, 1>(), labels = sample[1].accessor<int64_t, 1>();
    EXPECT_EQ(ids[0], 1);
    EXPECT_EQ(ids[33], 2);
    EXPECT_EQ(sample[3].item<int64_t>(), 34);
    for (int64_t t = 0; t < 34; ++t) {
      const int64_t original = t == 0 ? 1 : t == 33 ? 2 : 10 + (i * 32 + t - 1) % 900;
      if (labels[t] == -100)
        EXPECT_EQ(ids[t], original);
      else
        EXPECT_EQ(labels[t], original);
    }
    EXPECT_EQ(labels[0], -100);
    EXPECT_EQ(labels[33], -100);
    EXPECT_GT(sample[1].ge(0).sum().item<int64_t>(), 0);
  }
}

TEST(MaskedDataset, FifteenPercentAreChosenOfWhichEightyTenAndTenPercentBecomeMaskRandomAndThemselves) {
  const MaskedDataset dataset(tokens(200000), options(202));
  double chosen = 0, masked = 0, kept = 0;
  std::set<int64_t> random;
  for (int64_t i = 0; i < dataset.size(); ++i) {
    const auto sample = dataset.get(i);
    const at::Tensor at = sample[1].ge(0);
    chosen += at.sum().item<double>();
    masked += sample[0].eq(kMask).sum().item<double>();
    kept += sample[0].eq(sample[1]).sum().item<double>();
    const at::Tensor other =
        sample[0].masked_select(at.logical_and(sample[0].ne(kMask)).logical_and(sample[0].ne(sample[1])));
    for (int64_t j = 0; j < other.numel(); ++j) random.insert(other[j].item<int64_t>());
  }
  EXPECT_NEAR(chosen / 200000, 0.15, 0.003);
  EXPECT_NEAR(masked / chosen, 0.8, 0.01);
  EXPECT_NEAR(kept / chosen, 0.1, 0.01);
  EXPECT_GT(random.size(), 900u);
  EXPECT_LT(*random.rbegin(), kVocab);
}

TEST(MaskedDataset, MasksDependOnSeedEpochAndSampleAlone) {
  const MaskedDataset one(tokens(5000), options(66)), again(tokens(5000), options(66)),
      other(tokens(5000), options(66, false, 8));
  const auto ids = [](const MaskedDataset& d, int64_t i, int64_t epoch) {
    return d.get_in_epoch(i, epoch)[0];
  };
  EXPECT_TRUE(ids(one, 5, 3).equal(ids(again, 5, 3)));
  EXPECT_TRUE(ids(one, 5, 0).equal(one.get(5)[0]));
  EXPECT_FALSE(ids(one, 5, 3).equal(ids(one, 5, 4)));
  EXPECT_FALSE(ids(one, 5, 3).equal(ids(other, 5, 3)));
  EXPECT_FALSE(one.get(5)[1].ge(0).equal(one.get(6)[1].ge(0)));
}

TEST(MaskedDataset, AnyWorldSizeSeesTheSameMaskedSamplesInTheSameEpochs) {
  const auto dataset = std::make_shared<MaskedDataset>(tokens(700), options(34));
  std::vector<at::Tensor> alone, together;
  Loader single(dataset, {.micro_batch = 6, .shuffle = true, .seed = 4});
  Loader first(dataset, {.micro_batch = 3, .rank = 0, .world_size = 2, .shuffle = true, .seed = 4}, 2),
      second(dataset, {.micro_batch = 3, .rank = 1, .world_size = 2, .shuffle = true, .seed = 4});
  for (int i = 0; i < 9; ++i) {  // more than two epochs of 21 samples
    const at::Tensor whole = single.next()[0];
    EXPECT_TRUE(whole.equal(at::cat({first.next()[0], second.next()[0]}))) << i;
  }
  single.seek(2);
  const at::Tensor third = single.next()[0];
  single.seek(2);
  EXPECT_TRUE(third.equal(single.next()[0]));
}

TEST(MaskedDataset, DocumentsStayApartAndLongOnesAreCut) {
  const MaskedDataset dataset(tokens(20, {{0, 5, 0}, {5, 17, 5}, {17, 20, 17}}), options(10, true));
  EXPECT_EQ(dataset.size(), 4);
  std::vector<int64_t> ends;
  for (int64_t i = 0; i < 4; ++i) ends.push_back(dataset.get(i)[3].item<int64_t>());
  EXPECT_THAT(ends, testing::ElementsAre(7, 10, 6, 5));
  const auto sample = dataset.get(0);
  EXPECT_EQ(sample[0][6].item<int64_t>(), 2);
  EXPECT_EQ(sample[0].narrow(0, 7, 3).abs().sum().item<int64_t>(), 0);
}

TEST(MaskedDataset, RefusesTooFewTokensAndIdsOutsideTheVocabulary) {
  EXPECT_THROW(MaskedDataset(tokens(10), options(34)), base::Error);
  EXPECT_THROW(MaskedDataset(tokens(100), options(34, true)), base::Error);
  MaskedOptions small = options(34);
  small.mask.vocab = 50;
  EXPECT_THROW(MaskedDataset(tokens(100), small), base::Error);
}

TEST(MaskTokens, ChooseOneWhereChanceChoosesNone) {
  MaskOptions never{.vocab = 50, .mask_token = 3, .untouched = {1}, .probability = 0, .seed = 1};
  std::vector<int64_t> ids = {1, 8, 9}, labels(3);
  mask_tokens(never, 0, 0, ids, labels);
  EXPECT_THAT(labels, testing::ElementsAre(-100, 8, -100));
}

}  // namespace
}  // namespace deepspeed::data
