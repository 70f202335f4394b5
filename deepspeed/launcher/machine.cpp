#include "deepspeed/launcher/machine.h"

#include <sched.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <string_view>
#include <thread>

#include "deepspeed/base/env.h"
#include "deepspeed/base/error.h"

namespace deepspeed::launcher {
namespace {

constexpr bool kWithCuda = DS_WITH_CUDA != 0;

int count_gpus() {
  int count = 0;
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator("/dev", ignored)) {
    std::string name = entry.path().filename().string();
    std::string_view digits = std::string_view(name).substr(std::min<size_t>(name.size(), 6));
    if (name.starts_with("nvidia") && !digits.empty() &&
        digits.find_first_not_of("0123456789") == std::string_view::npos)
      ++count;
  }
  return count;
}

int count_cores() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (::sched_getaffinity(0, sizeof(set), &set) == 0) return std::max(1, CPU_COUNT(&set));
  return std::max(1u, std::thread::hardware_concurrency());
}

std::string chosen_accelerator() {
  constexpr std::array kOthers = {"xpu", "npu", "mps", "hpu", "mlu", "sdaa", "supa", "klxpu"};
  std::string name = base::env("DS_ACCELERATOR").value_or("");
  if (name.empty()) return kWithCuda && count_gpus() > 0 ? "cuda" : "cpu";
  DS_CHECK(std::ranges::find(kOthers, name) == kOthers.end(),
           "not available yet: DS_ACCELERATOR={}; use cpu or cuda", name);
  DS_CHECK(name == "cpu" || name == "cuda", "DS_ACCELERATOR='{}' is not an accelerator; use cpu or cuda",
           name);
  DS_CHECK(
      name != "cuda" || kWithCuda,
      "not available yet: DS_ACCELERATOR=cuda in a build without CUDA; build the cuda preset or use cpu");
  return name;
}

}  // namespace

Machine this_machine() {
  Machine machine{chosen_accelerator()};
  if (machine.accelerator == "cuda") {
    machine.slots = machine.default_slots = count_gpus();
    DS_CHECK(machine.slots > 0,
             "DS_ACCELERATOR=cuda but /dev holds no nvidia device; set DS_ACCELERATOR=cpu to use the CPU");
  } else {
    machine.slots = count_cores();
  }
  return machine;
}

}  // namespace deepspeed::launcher
