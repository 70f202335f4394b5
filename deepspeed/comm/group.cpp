#include "deepspeed/comm/group.h"

#include <ATen/ATen.h>
#include <torch/csrc/distributed/c10d/PrefixStore.hpp>

#include <algorithm>
#include <numeric>
#include <utility>

#include "deepspeed/base/error.h"
#include "deepspeed/comm/check_in.h"
#include "deepspeed/comm/group_state.h"
#include "deepspeed/comm/pending_work.h"

namespace deepspeed::comm {

Group::Group(std::shared_ptr<GroupState> state) : state_(std::move(state)) {}
Group::~Group() = default;

int Group::rank() const { return state_->rank; }
int Group::size() const { return state_->size; }
const std::string& Group::name() const { return state_->name; }
const std::vector<int>& Group::global_ranks() const { return state_->global_ranks; }

int Group::ranks_per_host() const { return state_->ranks_per_host > 0 ? state_->ranks_per_host : size(); }

void Group::set_timeout(std::chrono::milliseconds timeout) {
  DS_CHECK(timeout.count() > 0, "group '{}': a timeout must be positive, got {} ms", name(), timeout.count());
  state_->timeout = timeout;
  if (state_->backend && state_->store) state_->backend->setTimeout(timeout);
}

std::chrono::milliseconds Group::timeout() const { return state_->timeout; }

void Group::set_observer(std::function<void(const OpRecord&)> observer) {
  state_->observer = std::move(observer);
}

void Group::start_coalescing() {
  DS_CHECK(!state_->coalesced, "group '{}': start_coalescing inside start_coalescing", name());
  state_->coalesced.emplace();
}

WorkPtr Group::end_coalescing() {
  DS_CHECK(state_->coalesced, "group '{}': end_coalescing without start_coalescing", name());
  auto works = std::move(*state_->coalesced);
  state_->coalesced.reset();
  return join(std::move(works));
}

namespace {

void check_members(const GroupState& parent, const std::vector<int>& ranks) {
  DS_CHECK(!ranks.empty(), "new_group of '{}': no ranks given", parent.name);
  std::vector<bool> seen(parent.size);
  for (const int rank : ranks) {
    DS_CHECK(rank >= 0 && rank < parent.size, "new_group of '{}': rank {} is not in 0 ... {}", parent.name,
             rank, parent.size - 1);
    DS_CHECK(!seen[rank], "new_group of '{}': rank {} is named twice", parent.name, rank);
    seen[rank] = true;
  }
}

}  // namespace

GroupPtr Group::new_group(const std::vector<int>& ranks, std::string name) {
  check_members(*state_, ranks);
  const uint64_t number = state_->children_made++;
  const auto me = std::find(ranks.begin(), ranks.end(), state_->rank);
  if (me == ranks.end()) return nullptr;
  auto child = std::make_shared<GroupState>();
  child->rank = static_cast<int>(me - ranks.begin());
  child->size = static_cast<int>(ranks.size());
  child->name = name.empty() ? fmt::format("{}/{}", state_->name, number) : std::move(name);
  child->global_ranks.clear();
  for (const int rank : ranks) child->global_ranks.push_back(state_->global_ranks[rank]);
  child->device = state_->device;
  child->timeout = state_->timeout;
  child->observer = state_->observer;
  child->connect = state_->connect;
  if (child->size > 1) {
    // Disjoint groups made by one call share its number, so the first member tells their keys apart.
    const auto prefix = fmt::format("g{}.{}", number, ranks.front());
    if (state_->store) child->store = c10::make_intrusive<c10d::PrefixStore>(prefix, state_->store);
    connect_group(*child, child->store);
  } else {
    child->policy = policy_for("gloo");  // whose constructions touch no backend when there are no peers
  }
  state_->children.push_back(child);
  return std::make_shared<Group>(child);
}

GroupPtr single_group() {
  auto state = std::make_shared<GroupState>();
  state->policy = policy_for("gloo");
  return std::make_shared<Group>(state);
}

}  // namespace deepspeed::comm
