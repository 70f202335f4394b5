#include "deepspeed/engine/resume.h"

#include <algorithm>

#include "deepspeed/base/error.h"
#include "deepspeed/observe/crc32c.h"

namespace deepspeed::engine {
namespace {

constexpr int64_t kProbes = 9;  // samples that are looked at, evenly spread

uint32_t probe(const data::Dataset& dataset) {
  std::string bytes;
  const int64_t last = dataset.size() - 1, probes = std::min(kProbes, dataset.size());
  for (int64_t i = 0; i < probes; ++i)
    for (const auto& column : dataset.get(probes == 1 ? 0 : last * i / (probes - 1))) {
      const at::Tensor values = column.contiguous();
      bytes.append(static_cast<const char*>(values.const_data_ptr()), values.nbytes());
    }
  return observe::crc32c(bytes);
}

}  // namespace

DataOrder data_order(const TrainOptions& options, const data::Dataset& dataset, bool drop_last) {
  return {.seed = options.seed,
          .seq_length = options.seq_length,
          .shuffle = options.shuffle,
          .drop_last = drop_last,
          .samples = dataset.size(),
          .crc = probe(dataset)};
}

nlohmann::ordered_json to_json(const DataOrder& order) {
  return {{"seed", order.seed},
          {"seq_length", order.seq_length},
          {"shuffle", order.shuffle},
          {"drop_last", order.drop_last},
          {"samples", order.samples},
          {"crc", order.crc},
          {"begin_samples", order.begin_samples},
          {"begin_step", order.begin_step}};
}

std::optional<DataOrder> data_order_of(const nlohmann::ordered_json& client_state) {
  if (!client_state.is_object() || !client_state.contains(kDataOrderKey)) return std::nullopt;
  const auto& saved = client_state[kDataOrderKey];
  try {
    DataOrder order{.seed = saved.at("seed").get<uint64_t>(),
                    .seq_length = saved.at("seq_length").get<int64_t>(),
                    .shuffle = saved.at("shuffle").get<bool>(),
                    .drop_last = saved.at("drop_last").get<bool>(),
                    .samples = saved.at("samples").get<int64_t>(),
                    .crc = saved.at("crc").get<uint32_t>(),
                    .begin_samples = saved.at("begin_samples").get<int64_t>(),
                    .begin_step = saved.at("begin_step").get<int64_t>()};
    DS_CHECK(order.begin_samples >= 0 && order.begin_step >= 0,
             "state.json: client_state.{} counts below zero", kDataOrderKey);
    return order;
  } catch (const nlohmann::json::exception& error) {
    base::fail("state.json: client_state.{} is damaged: {}", kDataOrderKey, error.what());
  }
}

std::vector<std::string> differences(const DataOrder& saved, const DataOrder& now) {
  std::vector<std::string> found;
  const auto compare = [&](const char* what, const auto& was, const auto& is) {
    if (was != is) found.push_back(fmt::format("{} was {}, is {}", what, was, is));
  };
  compare("--seed", saved.seed, now.seed);
  compare("--seq-length", saved.seq_length, now.seq_length);
  if (saved.shuffle != now.shuffle)
    found.push_back(saved.shuffle ? "samples were shuffled, now --no-shuffle is given"
                                  : "--no-shuffle was given, now samples are shuffled");
  compare("dataloader_drop_last", saved.drop_last, now.drop_last);
  compare("the number of --data's samples", saved.samples, now.samples);
  // Another seed masks other tokens, another length cuts elsewhere: that is said already.
  if (found.empty() && saved.crc != now.crc)
    found.push_back(fmt::format("--data's {} samples hold something else (checksum was {:08x}, is {:08x})",
                                now.samples, saved.crc, now.crc));
  return found;
}

}  // namespace deepspeed::engine
