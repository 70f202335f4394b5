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

at::Device Group::device() const { return state_->device; }

int Group::ranks_per_host() const { return state_->ranks_per_host > 0 ? state_->ranks_per_host : size(); }

void Group::set_timeout(std::chrono::milliseconds timeout) {
  DS_CHECK(timeout.count() > 0, "group '{}': a timeout must be positive, got {} ms", name(), timeout.count());
  for (GroupState* state : {state_.get(), state_->host.get()}) {
    if (state == nullptr) continue;
    state->timeout = timeout;
    if (state->backend && state->store) state->backend->setTimeout(timeout);
  }
}

std::chrono::milliseconds Group::timeout() const { return state_->timeout; }

void Group::set_observer(std::function<void(const OpRecord&)> observer) {
  if (state_->host) state_->host->observer = observer;
  state_->observer = std::move(observer);
}

void Group::start_coalescing() {
  DS_CHECK(!state_->coalesced, "group '{}': start_coalescing inside start_coalescing", name());
  state_->coalesced.emplace();
  if (state_->host) state_->host->coalesced.emplace();
}

WorkPtr Group::end_coalescing() {
  DS_CHECK(state_->coalesced, "group '{}': end_coalescing without start_coalescing", name());
  auto works = std::move(*state_->coalesced);
  state_->coalesced.reset();
  if (state_->host) {
    for (auto& work : *state_->host->coalesced) works.push_back(std::move(work));
    state_->host->coalesced.reset();
  }
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

// What one transport of a group hands on to that of some of its ranks; `me` is this rank's place among them.
std::shared_ptr<GroupState> make_child(GroupState& parent, const std::vector<int>& ranks, size_t me,
                                       const std::string& name, uint64_t number) {
  auto child = std::make_shared<GroupState>();
  child->rank = static_cast<int>(me);
  child->size = static_cast<int>(ranks.size());
  child->name = name;
  child->global_ranks.clear();
  for (const int rank : ranks) child->global_ranks.push_back(parent.global_ranks[rank]);
  child->device = parent.device;
  child->timeout = parent.timeout;
  child->observer = parent.observer;
  child->connect = parent.connect;
  if (child->size > 1) {
    // Disjoint groups made by one call share its number, so the first member tells their keys apart.
    const auto prefix = fmt::format("g{}.{}", number, ranks.front());
    if (parent.store) child->store = c10::make_intrusive<c10d::PrefixStore>(prefix, parent.store);
    connect_group(*child, child->store);
  } else {
    child->policy = policy_for("gloo");  // whose constructions touch no backend when there are no peers
  }
  parent.children.push_back(child);
  return child;
}

}  // namespace

GroupPtr Group::new_group(const std::vector<int>& ranks, std::string name) {
  check_members(*state_, ranks);
  const uint64_t number = state_->children_made++;
  const auto found = std::find(ranks.begin(), ranks.end(), state_->rank);
  if (found == ranks.end()) return nullptr;
  const auto me = static_cast<size_t>(found - ranks.begin());
  if (name.empty()) name = fmt::format("{}/{}", state_->name, number);
  auto child = make_child(*state_, ranks, me, name, number);
  if (state_->host) child->host = make_child(*state_->host, ranks, me, name, number);
  return std::make_shared<Group>(child);
}

GroupPtr single_group() {
  auto state = std::make_shared<GroupState>();
  state->policy = policy_for("gloo");
  return std::make_shared<Group>(state);
}

}  // namespace deepspeed::comm
