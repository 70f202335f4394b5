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
    return {};
  } catch (...) {
    std::vector<int> missing;
    for (int r = 0; r < size; ++r) {
      if (!store->check({keys[r]})) missing.push_back(r);
    }
    if (missing.empty()) throw;
    if (!store->check({verdict})) {
      const auto text = fmt::format("{}", fmt::join(missing, ","));
      store->set(verdict, std::vector<uint8_t>(text.begin(), text.end()));
    }
    return missing;
  }
}

}  // namespace deepspeed::comm
