// What a run's place in its data depends on: saved with each checkpoint, so that a resumed run which would go
// on somewhere else is told instead of training on the wrong samples.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "deepspeed/data/loader.h"
#include "deepspeed/engine/train.h"

namespace deepspeed::engine {

/// The order of a run's samples is a function of these, its place in it one of the samples taken since
/// `begin_samples`.
struct DataOrder {
  uint64_t seed = 1;
  int64_t seq_length = 0;
  bool shuffle = true, drop_last = false;
  int64_t samples = 0;  // of the data set
  uint32_t crc = 0;     // CRC-32C of the tensors of a few of them, the first and the last included
  /// Engine counters when the data began at its first sample: zeros, but for runs that --restart-data.
  int64_t begin_samples = 0, begin_step = 0;
};

DataOrder data_order(const TrainOptions& options, const data::Dataset& dataset, bool drop_last);

/// Under which name a checkpoint's client_state holds to_json().
inline constexpr const char* kDataOrderKey = "ds_train";
nlohmann::ordered_json to_json(const DataOrder& order);
/// Nothing where the checkpoint does not say (it was saved through the library); base::Error where what it
/// says is damaged.
std::optional<DataOrder> data_order_of(const nlohmann::ordered_json& client_state);

/// A phrase for each difference that moves samples, with both values: "--seed was 1, is 2". Where data began
/// is no difference.
std::vector<std::string> differences(const DataOrder& saved, const DataOrder& now);

}  // namespace deepspeed::engine
