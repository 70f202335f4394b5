#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>
#include <sstream>

#include "deepspeed/launcher/listen_socket.h"
#include "tests/support/command.h"

namespace deepspeed::launcher {
namespace {

using test_support::Command;
using test_support::run_command;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

const std::string kDeepspeed = DS_BIN_DIR "/deepspeed";

std::vector<std::string> helper(const std::vector<std::string>& flags,
                                const std::vector<std::string>& action) {
  std::vector<std::string> argv = {kDeepspeed, "-q", "--num_accelerators", "2"};
  argv.insert(argv.end(), flags.begin(), flags.end());
  argv.push_back("launcher_rank_helper");  // found beside deepspeed
  argv.insert(argv.end(), action.begin(), action.end());
  return argv;
}

/// Local addresses in hexadecimal of the sockets that listen on `port`, of both address families.
std::vector<std::string> listeners(int port) {
  std::vector<std::string> found;
  char suffix[8];
  std::snprintf(suffix, sizeof(suffix), ":%04X", static_cast<unsigned>(port));
  for (const char* table : {"/proc/net/tcp", "/proc/net/tcp6"}) {
    std::ifstream in(table);
    std::string line;
    for (std::getline(in, line); std::getline(in, line);) {
      std::istringstream fields(line);
      std::string number, local, remote, state;
      fields >> number >> local >> remote >> state;
      if (state == "0A" && local.ends_with(suffix)) found.push_back(local.substr(0, local.find(':')));
    }
  }
  return found;
}

TEST(Rendezvous, RankZeroIsHandedAListeningSocketAndOthersConnectAtOnce) {
  const auto result = run_command(helper({"--master_port", "0"}, {"socket"}));
  EXPECT_EQ(result.exit_code, 0) << result.out << result.err;
  EXPECT_THAT(result.out, HasSubstr("connected at the first try\n"));
  EXPECT_THAT(result.out, HasSubstr("rank 0 accepted on 127.0.0.1 MASTER_PORT\n"));
}

TEST(Rendezvous, WithNoListenAProgramBindsThePortItself) {
  const auto result = run_command(helper({"--master_port", "0", "--no_listen"}, {"bind"}));
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_EQ(result.out, "bound the port itself\n");
}

TEST(Rendezvous, NothingListensBeyondTheLoopbackInterfaceAndThePortCloses) {
  Command command(helper({"--master_port", "0"}, {"hold", "300"}));
  ASSERT_TRUE(command.wait_for_output("port "));
  const std::string out = command.out();
  const int port = std::stoi(out.substr(out.find("port ") + 5));
  EXPECT_THAT(listeners(port), ::testing::ElementsAre("0100007F"));
  EXPECT_EQ(command.wait().exit_code, 0);
  EXPECT_THAT(listeners(port), IsEmpty());
}

TEST(Rendezvous, AGivenAddressIsTheOneListenedOn) {
  Command command(helper({"--master_port", "0", "--master_addr", "127.0.0.2"}, {"hold", "300"}));
  ASSERT_TRUE(command.wait_for_output("port "));
  const std::string out = command.out();
  EXPECT_THAT(listeners(std::stoi(out.substr(out.find("port ") + 5))), ::testing::ElementsAre("0200007F"));
  EXPECT_EQ(command.wait().exit_code, 0);
}

TEST(Rendezvous, APortInUseIsOneLineThatSaysWhatToDo) {
  const ListenSocket taken("127.0.0.1", 0);
  const std::string port = std::to_string(taken.port());
  for (const char* program : {"launcher_rank_helper", "bash"}) {
    const auto result =
        run_command({kDeepspeed, "-q", "--num_gpus", "2", "--master_port", port, program, "hold", "1"});
    EXPECT_EQ(result.exit_code, 1);
    EXPECT_EQ(test_support::count_lines(result.err), 1u) << result.err;
    EXPECT_THAT(result.err, HasSubstr("port " + port + " on 127.0.0.1 is in use"));
    EXPECT_THAT(result.err, HasSubstr("--master_port"));
  }
}

TEST(Rendezvous, APortCanBeUsedAgainAtOnce) {
  int port = 0;
  {
    const ListenSocket probe("127.0.0.1", 0);
    port = probe.port();
  }
  for (int i = 0; i < 3; ++i)
    EXPECT_EQ(run_command(helper({"--master_port", std::to_string(port)}, {"socket"})).exit_code, 0);
}

}  // namespace
}  // namespace deepspeed::launcher
