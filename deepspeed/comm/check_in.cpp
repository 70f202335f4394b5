#include "deepspeed/comm/check_in.h"

#include <fmt/ranges.h>

#include <charconv>

#include "deepspeed/base/error.h"

namespace deepspeed::comm {
namespace {

std::vector<int> parse_ranks(const std::vector<uint8_t>& text) {
  std::vector<int> ranks;
  const char* at = reinterpret_cast<const char*>(text.data());
  const char* const end = at + text.size();
  for (int rank = 0; at < end; ++at) {
    const auto parsed = std::from_chars(at, end, rank);
    if (parsed.ec != std::errc()) break;
    ranks.push_back(rank);
    at = parsed.ptr;
  }
  return ranks;
}

std::vector<int> absent(const StorePtr& store, const std::vector<std::string>& keys) {
  std::vector<int> ranks;
  for (size_t r = 0; r < keys.size(); ++r) {
    if (!store->check({keys[r]})) ranks.push_back(static_cast<int>(r));
  }
  return ranks;
}

// The store ends with rank 0's process, so rank 0 stays until the others have had their answers. A rank that
// dies in between is noticed by whatever comes next.
void leave(const StorePtr& store, const std::string& key, int rank, int size) {
  if (rank != 0) return store->set(fmt::format("{}/left{}", key, rank), std::vector<uint8_t>{1});
  std::vector<std::string> keys;
  for (int r = 1; r < size; ++r) keys.push_back(fmt::format("{}/left{}", key, r));
  try {
    if (!keys.empty()) store->wait(keys, std::chrono::seconds(5));
  } catch (...) {
  }
}

}  // namespace

std::vector<int> check_in(const StorePtr& store, const std::string& key, int rank, int size,
                          std::chrono::milliseconds timeout) {
  const auto verdict = key + "/missing";
  std::vector<std::string> keys;
  for (int r = 0; r < size; ++r) keys.push_back(fmt::format("{}/{}", key, r));
  store->add(keys[rank], 1);
  // A late rank learns that the others have given up.
  if (store->check({verdict})) return parse_ranks(store->get(verdict));
  try {
    store->wait(keys, timeout);
  } catch (...) {
    auto missing = absent(store, keys);
    if (missing.empty()) throw;
    if (!store->check({verdict})) {
      const auto text = fmt::format("{}", fmt::join(missing, ","));
      store->set(verdict, std::vector<uint8_t>(text.begin(), text.end()));
    }
    return missing;
  }
  leave(store, key, rank, size);
  return {};
}

void connect_group(GroupState& state, const StorePtr& store) {
  try {
    state.backend = state.connect(store, state.rank, state.size, state.timeout);
    state.policy = policy_for(state.backend->getBackendName());
    if (!store) return;
    const auto missing = check_in(store, "connected", state.rank, state.size, state.timeout);
    DS_CHECK(missing.empty(), "rank{} {} did not arrive", missing.size() > 1 ? "s" : "",
             fmt::join(missing, ", "));
  } catch (...) {
    state.backend.reset();
    base::fail("group '{}' could not be connected on rank {} (limit {:.1f} s): {}", state.name, state.rank,
               std::chrono::duration<double>(state.timeout).count(), reason_of(std::current_exception()));
  }
}

}  // namespace deepspeed::comm
