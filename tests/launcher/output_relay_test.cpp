#include "deepspeed/launcher/output_relay.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <array>

namespace deepspeed::launcher {
namespace {

using testing::ElementsAre;

struct TestPipe {
  TestPipe() { EXPECT_EQ(::pipe2(ends.data(), O_CLOEXEC | O_NONBLOCK), 0); }
  void put(const std::string& text) {
    EXPECT_EQ(::write(ends[1], text.data(), text.size()), static_cast<ssize_t>(text.size()));
  }
  std::string take() {
    char buffer[1 << 16];
    ssize_t length = ::read(ends[0], buffer, sizeof(buffer));
    return length > 0 ? std::string(buffer, static_cast<size_t>(length)) : "";
  }
  std::array<int, 2> ends{};
};

TEST(LineTail, KeepsTheLastLinesAndAnUnfinishedOne) {
  LineTail tail(3);
  tail.feed("a\nb\nc\n");
  tail.feed("d\nhalf");
  EXPECT_THAT(tail.lines(), ElementsAre("c", "d", "half"));
}

TEST(LineTail, OfARedrawnLineKeepsTheLastState) {
  LineTail tail(5);
  tail.feed("10%\r20%\r30%\nwindows\r\nbar 1\r");
  tail.feed("bar 2\r");
  EXPECT_THAT(tail.lines(), ElementsAre("30%", "windows", "bar 2"));
}

TEST(LineTail, AnEndlessLineIsBounded) {
  LineTail tail(1);
  tail.feed(std::string(100000, 'x'));
  EXPECT_LE(tail.lines().front().size(), 4096u);
}

TEST(OutputRelay, PassesWholeLinesAndHoldsHalfOnesBack) {
  TestPipe rank0, rank1, terminal;
  OutputRelay relay(terminal.ends[1], 20);
  relay.add(rank0.ends[0]);
  relay.add(rank1.ends[0]);
  rank0.put("zero st");
  rank1.put("one\n");
  relay.pump();
  EXPECT_EQ(terminal.take(), "one\n");
  EXPECT_TRUE(relay.has_partial());
  rank0.put("arts\n");
  relay.pump();
  EXPECT_EQ(terminal.take(), "zero starts\n");
  rank1.put("prompt: ");
  relay.pump();
  relay.flush_partial();
  EXPECT_EQ(terminal.take(), "prompt: ");
  EXPECT_THAT(relay.tail(0), ElementsAre("zero starts"));
  EXPECT_THAT(relay.tail(1), ElementsAre("one", "prompt: "));
}

TEST(OutputRelay, LosesNothingWhenTheReaderIsSlow) {
  TestPipe rank, terminal;
  OutputRelay relay(terminal.ends[1], 20);
  relay.add(rank.ends[0]);
  std::string sent, received;
  const std::string line(999, 'y');
  for (int i = 0; i < 300; ++i) {
    for (int tries = 0; tries < 100; ++tries) {
      if (::write(rank.ends[1], (line + "\n").data(), 1000) == 1000) break;
      relay.pump();
      received += terminal.take();
    }
    sent += line + "\n";
    relay.pump();
  }
  for (int i = 0; i < 300 && received.size() < sent.size(); ++i) {
    relay.pump();
    received += terminal.take();
  }
  EXPECT_EQ(received, sent);
}

}  // namespace
}  // namespace deepspeed::launcher
