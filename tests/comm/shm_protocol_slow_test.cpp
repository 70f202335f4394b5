// As shm_protocol_test.cpp, with more ranks and rounds.
#include "tests/comm/shm_protocol_search.h"

namespace deepspeed::comm {
namespace {

using searched::search;

TEST(ShmProtocolSlow, ThreeRanksPassWhateverTheOrder) {
  EXPECT_EQ(search({.ranks = 3, .calls = {{1, false}}}).failure, "");
}

TEST(ShmProtocolSlow, LongerCallsOfBothKindsFollowEachOtherWhateverTheOrder) {
  for (const bool first : {false, true})
    EXPECT_EQ(search({.calls = {{3, first}, {3, !first}, {1, first}}}).failure, "");
}

TEST(ShmProtocolSlow, CountsWrapAroundAtAnySlot) {
  for (const uint32_t before : {1u, 2u, 3u, 4u})
    EXPECT_EQ(search({.first_round = 0u - before, .calls = {{5, true}}}).failure, "");
}

TEST(ShmProtocolSlow, ClosingOneRankWithinALaterCallEndsAllWhateverTheOrder) {
  EXPECT_EQ(search({.calls = {{1, true}, {2, false}}, .closer = true}).failure, "");
}

}  // namespace
}  // namespace deepspeed::comm
