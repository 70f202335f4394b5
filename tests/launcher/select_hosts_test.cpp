#include "deepspeed/launcher/select_hosts.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "deepspeed/base/error.h"

namespace deepspeed::launcher {
namespace {

const Machine kCpu{"cpu", 1, 4};
const Machine kGpus{"cuda", 4, 4};
const HostPool kHosts = {{"a", {0, 1}}, {"b", {0, 1}}, {"c", {0, 1}}};

TEST(SelectHosts, ACpuStartsOneRankWhenNothingIsSaid) {
  EXPECT_EQ(select_hosts({}, std::nullopt, kCpu, "").hosts, (HostPool{{"localhost", {0}}}));
}

TEST(SelectHosts, GpusStartOneRankEach) {
  EXPECT_EQ(select_hosts({}, std::nullopt, kGpus, "").hosts, (HostPool{{"localhost", {0, 1, 2, 3}}}));
}

TEST(SelectHosts, AnAcceleratorCountIsNotCheckedAgainstSlots) {
  LaunchOptions options;
  options.num_accelerators = 6;
  EXPECT_EQ(select_hosts(options, std::nullopt, kCpu, "").hosts,
            (HostPool{{"localhost", {0, 1, 2, 3, 4, 5}}}));
}

TEST(SelectHosts, FiltersChooseAmongTheCoresOfThisMachine) {
  LaunchOptions options;
  options.include = "localhost:1,3";
  EXPECT_EQ(select_hosts(options, std::nullopt, kCpu, "").hosts, (HostPool{{"localhost", {1, 3}}}));
  options.include.clear();
  options.exclude = "localhost:0";
  EXPECT_EQ(select_hosts(options, std::nullopt, kCpu, "").hosts, (HostPool{{"localhost", {1, 2, 3}}}));
}

TEST(SelectHosts, NumNodesTakesTheFirstHosts) {
  LaunchOptions options;
  options.num_nodes = 2;
  options.num_accelerators = 1;
  EXPECT_EQ(select_hosts(options, kHosts, kCpu, "").hosts, (HostPool{{"a", {0}}, {"b", {0}}}));
}

TEST(SelectHosts, RefusesWhatCannotBe) {
  LaunchOptions options;
  options.num_nodes = 4;
  EXPECT_THROW(select_hosts(options, kHosts, kCpu, ""), base::Error);
  options.num_nodes = 1;
  options.include = "a";
  EXPECT_THROW(select_hosts(options, kHosts, kCpu, ""), base::Error);
  options = {};
  options.exclude = "a@b@c";
  EXPECT_THROW(select_hosts(options, kHosts, kCpu, ""), base::Error);
}

TEST(SelectHosts, VisibleDevicesBecomeAFilterWithoutHostfile) {
  EXPECT_EQ(select_hosts({}, std::nullopt, kGpus, "2,0").hosts, (HostPool{{"localhost", {0, 2}}}));
  EXPECT_THROW(select_hosts({}, std::nullopt, kGpus, "7"), base::Error);
  EXPECT_EQ(select_hosts({}, kHosts, kGpus, "0").hosts, kHosts);
}

TEST(SelectHosts, VisibleDevicesGiveWayToFlags) {
  LaunchOptions options;
  options.num_accelerators = 2;
  const Selection selection = select_hosts(options, std::nullopt, kGpus, "3");
  EXPECT_EQ(selection.hosts, (HostPool{{"localhost", {0, 1}}}));
  EXPECT_THAT(selection.note, testing::HasSubstr("overruled"));
}

TEST(SelectHosts, HidingGpusFromACpuRunChangesNothing) {
  EXPECT_EQ(select_hosts({}, std::nullopt, kCpu, "-1").hosts, (HostPool{{"localhost", {0}}}));
}

}  // namespace
}  // namespace deepspeed::launcher
