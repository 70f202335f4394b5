// Reads the datasets of tests/data/make_goldens.py.
#include <gmock/gmock.h>

#include "deepspeed/data/token_store.h"

namespace deepspeed::data {
namespace {

using ::testing::ElementsAre;

TokenStorePtr golden(const std::string& name) {
  const std::filesystem::path folder = std::filesystem::path(DS_SOURCE_DIR) / "tests/data/goldens";
  return map_megatron(folder / (name + ".idx"), folder / (name + ".bin"));
}

std::vector<int64_t> read(const TokenStore& store, int64_t position, size_t count) {
  std::vector<int64_t> ids(count);
  store.read(position, ids);
  return ids;
}

TEST(Megatron, IsOneRowOfTokensWithItsDocuments) {
  for (const char* name : {"u16", "deepspeed_u16"}) {
    const auto store = golden(name);
    ASSERT_EQ(store->tokens(), 15);
    EXPECT_THAT(read(*store, 0, 15), ElementsAre(1, 2, 3, 4, 256, 5, 6, 256, 7, 8, 9, 10, 11, 12, 256));
    ASSERT_EQ(store->documents(), 3);
    EXPECT_EQ(store->document(1), (Document{5, 8, 5}));
  }
}

TEST(Megatron, ADocumentIsAllItsSequences) {
  const auto store = golden("i32");
  ASSERT_EQ(store->documents(), 2);
  EXPECT_EQ(store->document(0), (Document{0, 5, 0}));
  EXPECT_EQ(store->document(1), (Document{5, 9, 5}));  // its first sequence is empty
  EXPECT_THAT(read(*store, 3, 4), ElementsAre(4, 5, 70000, 7));
}

TEST(Megatron, SequencesAreReadFromWhereverTheyLie) {
  const auto store = golden("scattered");
  ASSERT_EQ(store->tokens(), 6);
  EXPECT_THAT(read(*store, 0, 6), ElementsAre(10, 11, 20, 30, 31, 32));
  for (int64_t begin = 0; begin < 6; ++begin)
    for (int64_t count = 0; begin + count <= 6; ++count) {
      const auto whole = read(*store, 0, 6), part = read(*store, begin, static_cast<size_t>(count));
      EXPECT_TRUE(std::equal(part.begin(), part.end(), whole.begin() + begin));
    }
}

}  // namespace
}  // namespace deepspeed::data
