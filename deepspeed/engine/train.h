// What ds_train does: one model trained from a Hugging Face folder and a data file under a
// DeepSpeed configuration, with logs, evaluation, checkpoints, export and sampling. One call a rank.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

namespace deepspeed::engine {

/// Flags of ds_train by their names; DESIGN's "Commands" is their contract.
struct TrainOptions {
  std::filesystem::path model;         // Hugging Face folder
  std::string objective = "clm";       // engine/objective.h
  std::filesystem::path data;          // data/open_tokens.h, data/open_sequences.h
  std::string data_dtype = "u16";      // of .bin: u16 or u32
  std::string text_field = "text";     // of .jsonl
  std::string packing = "auto";        // data/open_samples.h
  int64_t data_workers = 2;            // threads that prepare micro-batches
  std::string config;                  // DeepSpeed configuration
  std::vector<std::string> overrides;  // config/overrides.h
  int64_t seq_length = 256;
  int64_t steps = 0;  // optimizer steps to reach; 0: by epochs
  int64_t epochs = 1;
  uint64_t seed = 1;
  bool shuffle = true;
  bool activation_checkpointing = false;  // recompute the layers' activations in backward

  std::filesystem::path eval_data;
  int64_t eval_every = 0;       // steps; 0: at the end only
  bool eval_baselines = false;  // also print what a unigram and a trigram model of the training data reach

  std::filesystem::path save;
  int64_t save_every = 0;  // steps; 0: at the end only
  std::filesystem::path load;
  std::string load_tag;
  bool restart_data = false;  // resume, but begin with the data's first sample
  std::filesystem::path export_to;

  std::string generate;  // prompt
  int64_t generate_tokens = 64;
  std::filesystem::path log_jsonl;
  std::filesystem::path report;  // HTML page
  std::string command_line;      // shown on it
  bool quiet = false;
  bool dry_run = false;  // print the plan, train and write nothing
  /// Asked between steps: true ends the run there, without what is done at the end but for the report.
  std::function<bool()> stop_requested;
};

/// Trains; throws base::Error on the first thing that is wrong. Collective over the launcher's world.
void train(const TrainOptions& options);

}  // namespace deepspeed::engine
