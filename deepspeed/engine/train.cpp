#include "deepspeed/engine/train.h"

#include <ATen/ops/zeros.h>
#include <fmt/ranges.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>

#include "deepspeed/accel/device.h"
#include "deepspeed/accel/dtype.h"
#include "deepspeed/accel/memory.h"
#include "deepspeed/accel/threads.h"
#include "deepspeed/base/env.h"
#include "deepspeed/base/error.h"
#include "deepspeed/base/log.h"
#include "deepspeed/comm/rendezvous.h"
#include "deepspeed/data/ngram_baseline.h"
#include "deepspeed/engine/accelerator.h"
#include "deepspeed/engine/dry_run.h"
#include "deepspeed/engine/initialize.h"
#include "deepspeed/engine/memory_account.h"
#include "deepspeed/engine/parse_config.h"
#include "deepspeed/engine/resume.h"
#include "deepspeed/engine/step_log.h"
#include "deepspeed/engine/train_inputs.h"
#include "deepspeed/engine/train_page.h"
#include "deepspeed/models/generate.h"
#include "deepspeed/models/weights.h"
#include "deepspeed/recompute/recompute.h"

namespace deepspeed::engine {
namespace {

using Clock = std::chrono::steady_clock;

// One rank's run of ds_train.
class Training {
 public:
  explicit Training(const TrainOptions& options);
  void run();
  void say_plan();

 private:
  void check_destinations();
  void start_engine();
  void resume();
  void say_start();
  void start_page();
  double train_step();  // returns the mean loss over all samples of the step
  void say_memory();
  void log_step(double loss, double step_ms, const std::optional<Score>& score);
  bool evaluates(int64_t step) const;
  Score evaluate();
  void say_evaluation(const Score& score);
  void say_baselines();
  void save();
  void train_steps();
  void finish();
  bool stopped() const { return options_.stop_requested && options_.stop_requested(); }
  bool first() const { return group_->rank() == 0; }

  const TrainOptions& options_;
  comm::GroupPtr group_;
  std::unique_ptr<TrainInputs> in_;
  Initialized ready_;
  std::unique_ptr<StepLog> log_;
  std::unique_ptr<TrainPage> page_;
  DataOrder order_;
  std::optional<double> start_s_;
  bool started_ = false, said_memory_ = false;
  int64_t last_step_ = 0;
  std::string saved_tag_;
};

Training::Training(const TrainOptions& options) : options_(options) {
  const auto rendezvous = comm::rendezvous_from_env();
  accel::set_compute_threads(rendezvous.local_world_size);
  group_ = accelerated_world(rendezvous);
  in_ = std::make_unique<TrainInputs>(options, *group_);
  in_->open_model();
  if (options.dry_run) return;
  check_destinations();
  start_engine();
}

// What would only fail once everything is trained.
void Training::check_destinations() {
  if (!options_.generate.empty())
    DS_CHECK(static_cast<int64_t>(in_->tokenizer().encode_ids(options_.generate).size()) <
                 in_->spec().max_positions,
             "--generate: the prompt leaves no room in the model's {} positions", in_->spec().max_positions);
  if (!first()) return;
  auto check = [](const char* flag, const std::filesystem::path& folder) {
    if (folder.empty()) return;
    std::error_code error;
    std::filesystem::create_directories(folder, error);
    if (!error && ::access(folder.c_str(), W_OK) != 0) error.assign(errno, std::generic_category());
    DS_CHECK(!error, "{} '{}': cannot write there: {}", flag, folder.string(), error.message());
  };
  check("--save", options_.save);
  check("--export", options_.export_to);
}

void Training::start_engine() {
  ready_ = initialize({.model = in_->model(),
                       .config = in_->engine_config(),
                       .auto_facts = in_->auto_facts(),
                       .group = group_,
                       .training_data = in_->training_data().dataset,
                       .shuffle = options_.shuffle,
                       .seed = options_.seed,
                       .data_workers = static_cast<int>(options_.data_workers),
                       .rng = in_->rng(),
                       .values = in_->values(),
                       .same_on_all_ranks = true,
                       .print = [this](const std::string& line) {
                         if (log_)
                           log_->say(line);
                         else
                           base::log_info("{}", line);
                       }});
  Engine& engine = *ready_.engine;
  if (options_.activation_checkpointing)
    recompute::recompute_blocks(*in_->model(), recompute::layers_of(*in_->model()),
                                {.config = engine.config().activation_checkpointing,
                                 .rng = in_->rng(),
                                 .print = first() ? [this](const std::string& line) { log_->say(line); }
                                                  : std::function<void(const std::string&)>()});
  order_ = data_order(options_, *in_->training_data().dataset, engine.config().engine.dataloader_drop_last);
  if (!options_.load.empty()) resume();
  last_step_ = options_.steps > 0
                   ? options_.steps
                   : order_.begin_step + options_.epochs * ready_.loader->sampler().steps_per_epoch(
                                                               engine.gradient_accumulation_steps());
  DS_CHECK(engine.global_steps() <= last_step_, "--load '{}' is at step {} already, beyond --steps {}",
           options_.load.string(), engine.global_steps(), last_step_);
  if (!first()) return;
  log_ = std::make_unique<StepLog>(options_.log_jsonl, last_step_, options_.quiet,
                                   /*append=*/!options_.load.empty());
  if (!options_.report.empty()) start_page();
  if (!options_.quiet) say_start();
}

// The engine's state and the place in the data, which means something only where the data is the same.
void Training::resume() {
  Engine& engine = *ready_.engine;
  const std::string from = options_.load.string();
  DS_CHECK(!options_.load_tag.empty() || std::filesystem::exists(options_.load / "latest"),
           "--load '{}': there is no checkpoint to resume from (no file 'latest')", from);
  const auto loaded = engine.load_checkpoint(options_.load, {.tag = options_.load_tag});
  if (options_.restart_data) {
    order_.begin_samples = engine.global_samples();
    order_.begin_step = engine.global_steps();
    return;
  }
  if (const auto saved = data_order_of(loaded->client_state)) {
    const auto found = differences(*saved, order_);
    DS_CHECK(found.empty(),
             "--load '{}': {}; the run's place in its data means nothing then: give it what it had, or "
             "--restart-data to go on from the first sample",
             from, fmt::join(found, "; "));
    DS_CHECK(saved->begin_samples <= engine.global_samples() && saved->begin_step <= engine.global_steps(),
             "--load '{}': state.json is damaged: its data began at sample {}, of {} taken", from,
             saved->begin_samples, engine.global_samples());
    order_ = *saved;
  }
  ready_.loader->seek_samples(engine.global_samples() - order_.begin_samples);
}

void Training::say_start() {
  const Engine& engine = *ready_.engine;
  const int64_t done = engine.global_steps();
  log_->say(fmt::format(
      "{} with {:.2f}M parameters in {}, {} rank{}, ZeRO stage {}, {} samples of {} tokens, {}",
      in_->spec().model_type, static_cast<double>(in_->parameters()) / 1e6, engine.config().precision_text(),
      group_->size(), group_->size() > 1 ? "s" : "", engine.config().zero.stage,
      in_->training_data().dataset->size(), options_.seq_length,
      done < last_step_ ? fmt::format("steps {} to {}", done + 1, last_step_)
                        : fmt::format("step {} of {} already: nothing is left to train", done, last_step_)));
  for (const auto& note : in_->notes()) log_->say(note);
}

void Training::start_page() {
  const Engine& engine = *ready_.engine;
  observe::RunReport about{
      .title = fmt::format("{}, {:.2f}M parameters", in_->spec().model_type,
                           static_cast<double>(in_->parameters()) / 1e6),
      .facts = {{"Model", options_.model.string()},
                {"Data", options_.data.string()},
                {"Precision", engine.config().precision_text()},
                {"Ranks", std::to_string(group_->size())},
                {"ZeRO stage", std::to_string(engine.config().zero.stage)},
                {"Batch",
                 fmt::format("{} samples of {} tokens: {} a rank and micro-batch, {} accumulated",
                             engine.train_batch_size(), options_.seq_length,
                             engine.train_micro_batch_size_per_gpu(), engine.gradient_accumulation_steps())},
                {"Steps", engine.global_steps() < last_step_
                              ? fmt::format("{} to {}", engine.global_steps() + 1, last_step_)
                              : fmt::format("none: {} are done", last_step_)},
                {"Seed", std::to_string(options_.seed)}},
      .command_line = options_.command_line,
      .config = in_->document().json.dump(2)};
  page_ = std::make_unique<TrainPage>(options_.report, last_step_, std::move(about));
}

double Training::train_step() {
  Engine& engine = *ready_.engine;
  double total = 0;
  for (int64_t g = 0; g < engine.gradient_accumulation_steps(); ++g) {
    const auto batch = on_device(ready_.loader->next(), group_->device());
    if (!started_) {
      started_ = true;
      if (const auto t0 = base::env("DS_LAUNCH_T0")) {
        const double now =
            std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
        char* end = nullptr;
        const double then = std::strtod(t0->c_str(), &end);
        if (end != t0->c_str() && *end == '\0' && then <= now) start_s_ = now - then;
      }
    }
    const at::Tensor loss = engine.forward([&] { return in_->objective().loss(batch); });
    total += engine.backward(loss).item<double>();
    engine.step();
  }
  at::Tensor mean = at::zeros({1}, at::kDouble);
  mean[0] = total / group_->size();
  group_->all_reduce(mean);
  return mean.item<double>();
}

void Training::log_step(double loss, double step_ms, const std::optional<Score>& score) {
  const Engine& engine = *ready_.engine;
  at::Tensor peak = at::zeros({1}, at::kLong);
  peak[0] = accel::peak_resident_bytes();
  const int64_t mine = peak.item<int64_t>();
  group_->all_reduce(peak);
  if (!first()) return;
  const auto norm = engine.get_global_grad_norm();
  const StepRecord record{.step = engine.global_steps(),
                          .loss = plain_nan(loss),
                          .lr = engine.get_lr()[0],
                          .grad_norm = norm ? std::optional(plain_nan(*norm)) : std::nullopt,
                          .loss_scale = engine.loss_scale(),
                          .skipped = engine.skipped_steps(),
                          .tokens = engine.train_batch_size() * options_.seq_length,
                          .step_ms = step_ms,
                          .rss_bytes = mine,
                          .rss_bytes_all_ranks = peak.item<int64_t>(),
                          .device_bytes = accel::peak_device_bytes(group_->device()),
                          .eval_loss = score ? std::optional(score->mean_loss()) : std::nullopt,
                          .eval_accuracy = score && in_->objective().counts_correct()
                                               ? std::optional(score->correct / score->predictions)
                                               : std::nullopt,
                          .start_s = std::exchange(start_s_, std::nullopt)};
  log_->add(record);
  if (page_) page_->add(record);
}

void Training::say_memory() {
  const auto lines = memory_account(ready_.engine->state_bytes(), *group_);
  if (!options_.quiet)
    for (const std::string& line : lines) log_->say(line);
}

Score Training::evaluate() {
  const auto autocast = ready_.engine->autocast();
  return held_out_score(in_->objective(), *in_->eval_data().dataset, *group_,
                        ready_.engine->train_micro_batch_size_per_gpu());
}

bool Training::evaluates(int64_t step) const {
  if (!in_->eval_data().dataset) return false;
  return step == last_step_ || (options_.eval_every > 0 && step % options_.eval_every == 0);
}

void Training::say_evaluation(const Score& score) {
  if (first())
    log_->say(fmt::format("step {}: {}", ready_.engine->global_steps(), in_->objective().describe(score)));
}

void Training::say_baselines() {
  auto ids = [](const data::TokenStore& store) {
    std::vector<int64_t> all(static_cast<size_t>(store.tokens()));
    store.read(0, all);
    return std::vector<int32_t>(all.begin(), all.end());
  };
  const auto p = data::NgramBaseline(ids(*in_->training_data().store), in_->spec().vocab)
                     .evaluate(ids(*in_->eval_data().store), options_.seq_length);
  log_->say(fmt::format(
      "baselines on the same held-out tokens: unigram perplexity {:.2f}, trigram perplexity {:.2f}",
      p.unigram, p.trigram));
}

void Training::save() {
  const std::string tag = "global_step" + std::to_string(ready_.engine->global_steps());
  if (tag == saved_tag_) return;
  ready_.engine->save_checkpoint(options_.save, {.client_state = {{kDataOrderKey, to_json(order_)}}});
  saved_tag_ = tag;
  if (first() && !options_.quiet) log_->say(fmt::format("saved {}", (options_.save / tag).string()));
}

void Training::finish() {
  say_memory();
  if (!options_.save.empty()) save();
  if (first() && options_.eval_baselines && in_->eval_data().store) say_baselines();
  if (!options_.export_to.empty()) {
    ready_.engine->with_whole_values("--export", [this](const WholeValues& values) {
      models::export_hugging_face(options_.export_to, in_->objective().spec(), *in_->model(),
                                  {.source = options_.model, .dtype = in_->dtype(), .values = values});
    });
    if (first() && !options_.quiet) log_->say(fmt::format("exported {}", options_.export_to.string()));
  }
  // Sampling reads the model outside any forward of all ranks.
  const auto whole = ready_.engine->gathered(options_.generate.empty() ? std::vector<at::Tensor>()
                                                                       : in_->model()->parameters());
  if (first() && !options_.generate.empty()) {
    const auto prompt = in_->tokenizer().encode_ids(options_.generate);
    const auto made = models::generate(*in_->objective().decoder(), prompt,
                                       {.max_new_tokens = options_.generate_tokens, .seed = options_.seed});
    log_.reset();
    std::printf("%s%s\n", options_.generate.c_str(), in_->tokenizer().decode(made).c_str());
  }
  group_->barrier();
}

void Training::run() {
  try {
    train_steps();
    if (!stopped()) finish();
  } catch (const std::exception& error) {
    try {
      if (page_) page_->write(stopped() ? "stopped by a signal" : fmt::format("failed: {}", error.what()));
    } catch (const std::exception& also) {
      base::log_error("{}", also.what());
    }
    throw;
  }
  if (page_) page_->write(stopped() ? "stopped by a signal" : "finished");
}

void Training::say_plan() {
  if (!first()) return;
  const DeepspeedConfig config = parse_config(in_->document(), group_->size(), in_->auto_facts());
  // A loader, which refuses micro-batches that no memory holds.
  const data::Loader loader(in_->training_data().dataset,
                            {.micro_batch = config.engine.train_micro_batch_size_per_gpu,
                             .world_size = group_->size(),
                             .drop_last = config.engine.dataloader_drop_last},
                            /*workers=*/0);
  const int64_t per_epoch = loader.sampler().steps_per_epoch(config.engine.gradient_accumulation_steps);
  auto activations = activation_setting(config, options_.seq_length, options_.activation_checkpointing);
  activations.predicted = in_->objective().predicted();
  const std::string text =
      plan_text(config, {.model_type = in_->spec().model_type,
                         .parameters = nn::sizes_of(nn::list_parameters(*in_->model())),
                         .world_size = group_->size(),
                         .samples = in_->training_data().dataset->size(),
                         .seq_length = options_.seq_length,
                         .steps = options_.steps > 0 ? options_.steps : options_.epochs * per_epoch,
                         .steps_per_epoch = per_epoch,
                         .activation_bytes = models::activation_bytes(in_->spec(), activations)});
  std::fputs(text.c_str(), stdout);
}

void Training::train_steps() {
  Engine& engine = *ready_.engine;
  engine.train();
  if (engine.global_steps() >= last_step_ && in_->eval_data().dataset) say_evaluation(evaluate());
  while (engine.global_steps() < last_step_ && !stopped()) {
    const auto begin = Clock::now();
    const double loss = train_step();
    const double step_ms = std::chrono::duration<double, std::milli>(Clock::now() - begin).count();
    const int64_t step = engine.global_steps();
    std::optional<Score> score;
    if (evaluates(step)) score = evaluate();
    log_step(loss, step_ms, score);
    if (!said_memory_) say_memory();
    said_memory_ = true;
    if (score) say_evaluation(*score);
    if (!options_.save.empty() && options_.save_every > 0 && step % options_.save_every == 0) save();
  }
}

}  // namespace

void train(const TrainOptions& options) {
  DS_CHECK(options.data_dtype == "u16" || options.data_dtype == "u32", "--data-dtype '{}' is not u16 or u32",
           options.data_dtype);
  accel::keep_freed_memory();
  Training training(options);
  options.dry_run ? training.say_plan() : training.run();
}

}  // namespace deepspeed::engine
