#include "tests/comm/shm_protocol_search.h"

namespace deepspeed::comm {
namespace {

using searched::Fault;
using searched::search;

TEST(ShmProtocol, RoundsThatUseSlotsAgainPassWhateverTheOrder) {
  const auto result = search({.calls = {{5, true}}});
  EXPECT_EQ(result.failure, "");
  EXPECT_GT(result.states, 100000u);
}

TEST(ShmProtocol, CallsOfBothKindsFollowEachOtherWhateverTheOrder) {
  EXPECT_EQ(search({.calls = {{1, true}, {2, false}, {1, true}}}).failure, "");
}

TEST(ShmProtocol, CountsWrapAround) {
  EXPECT_EQ(search({.first_round = 0xffffffff, .calls = {{2, true}}}).failure, "");
}

TEST(ShmProtocol, ClosingOneRankEndsAllWhateverTheOrder) {
  EXPECT_EQ(search({.calls = {{1, true}}, .closer = true}).failure, "");
}

TEST(ShmProtocol, TheSearchFindsALostWakeUp) {
  EXPECT_EQ(search<Fault::kWakesNobody>({.calls = {{2, true}}}).failure, "a thread sleeps for ever");
  EXPECT_EQ(search<Fault::kSleepsWhateverTheCount>({.calls = {{2, true}}}).failure,
            "a thread sleeps for ever");
}

TEST(ShmProtocol, TheSearchFindsASlotThatIsUsedAgainTooSoon) {
  EXPECT_EQ(search({.slots = 3, .calls = {{6, false}}}).failure, "what was read is of another round");
}

}  // namespace
}  // namespace deepspeed::comm
