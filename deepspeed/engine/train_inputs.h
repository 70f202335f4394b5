// What a run of ds_train is made from: configuration, architecture, data, and the model with the source of
// its weights. Opened before anything is trained, so that what is wrong with it is said first.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "deepspeed/comm/group.h"
#include "deepspeed/config/json.h"
#include "deepspeed/engine/auto_values.h"
#include "deepspeed/engine/config.h"
#include "deepspeed/engine/objective.h"
#include "deepspeed/nn/materializer.h"

namespace deepspeed::engine {

class TrainInputs {
 public:
  /// Reads configuration and architecture, and opens the data. base::Error on the first thing that is wrong.
  TrainInputs(const TrainOptions& options, comm::Group& group);
  TrainInputs(const TrainInputs&) = delete;
  TrainInputs& operator=(const TrainInputs&) = delete;

  /// The configuration as `initialize` takes it: with overrides its text, without them the file itself, which
  /// messages can name.
  std::string engine_config() const;
  /// The configuration with its overrides.
  const config::Document& document() const { return document_; }
  const AutoFacts& auto_facts() const { return auto_facts_; }
  const models::ArchSpec& spec() const { return spec_; }
  at::ScalarType dtype() const { return dtype_; }
  const std::shared_ptr<accel::Rng>& rng() const { return rng_; }
  Objective& objective() const { return *objective_; }
  /// The model folder's; read when first asked for.
  const text::Tokenizer& tokenizer();
  const data::Samples& training_data() const { return training_data_; }
  /// Its dataset is null without --eval-data.
  const data::Samples& eval_data() const { return eval_data_; }

  /// Lists the model's parameters, without memory, and opens the source of their values: the folder's
  /// weights, or else their initialisation. Both are checked against one another.
  void open_model();
  const std::shared_ptr<torch::nn::Module>& model() const { return model_; }
  const std::shared_ptr<const nn::ParameterSource>& values() const { return values_; }
  /// Elements of the model's parameters.
  int64_t parameters() const;
  /// What a user should know about weights and data, a line each.
  std::vector<std::string> notes() const;

 private:
  void open_data();
  void note_weights(const char* what, const std::vector<std::string>& names);

  const TrainOptions& options_;
  config::Document document_;
  AutoFacts auto_facts_;
  models::ArchSpec spec_;
  at::ScalarType dtype_ = at::kFloat;
  std::shared_ptr<accel::Rng> rng_;
  std::unique_ptr<Objective> objective_;
  std::optional<text::Tokenizer> tokenizer_;
  data::Samples training_data_, eval_data_;
  std::shared_ptr<torch::nn::Module> model_;
  std::shared_ptr<const nn::ParameterSource> values_;
  std::vector<std::string> weight_notes_;
};

}  // namespace deepspeed::engine
