#include "deepspeed/engine/train.h"

#include <ATen/ops/zeros.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>

#include "deepspeed/accel/dtype.h"
#include "deepspeed/accel/memory.h"
#include "deepspeed/accel/threads.h"
#include "deepspeed/base/env.h"
#include "deepspeed/base/error.h"
#include "deepspeed/base/log.h"
#include "deepspeed/comm/rendezvous.h"
#include "deepspeed/config/overrides.h"
#include "deepspeed/data/ngram_baseline.h"
#include "deepspeed/engine/dry_run.h"
#include "deepspeed/engine/initialize.h"
#include "deepspeed/engine/objective.h"
#include "deepspeed/engine/parse_config.h"
#include "deepspeed/engine/step_log.h"
#include "deepspeed/engine/train_page.h"
#include "deepspeed/models/generate.h"
#include "deepspeed/models/size.h"
#include "deepspeed/models/weights.h"
#include "deepspeed/recompute/recompute.h"
#include "deepspeed/text/tokenizer.h"

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
  void build_model();
  void note_weights(const char* what, const std::vector<std::string>& names);
  void open_data();
  const text::Tokenizer& tokenizer();
  void start_engine();
  std::string engine_config() const;
  void start_page();
  double train_step();  // returns the mean loss over all samples of the step
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
  config::Document document_;  // the configuration with its overrides
  comm::GroupPtr group_;
  AutoFacts auto_facts_;
  models::ArchSpec spec_;
  at::ScalarType dtype_ = at::kFloat;
  std::shared_ptr<accel::Rng> rng_;
  std::unique_ptr<Objective> objective_;
  std::shared_ptr<torch::nn::Module> model_;
  std::vector<std::string> notes_;  // on the weights
  std::optional<text::Tokenizer> tokenizer_;
  data::Samples training_data_, eval_data_;  // eval_data_.dataset is null without --eval-data
  Initialized ready_;
  std::unique_ptr<StepLog> log_;
  std::unique_ptr<TrainPage> page_;
  std::optional<double> start_s_;
  bool started_ = false;
  int64_t last_step_ = 0;
  std::string saved_tag_;
};

Training::Training(const TrainOptions& options)
    : options_(options), document_(config::with_overrides(config::load(options.config), options.overrides)) {
  const auto rendezvous = comm::rendezvous_from_env();
  accel::set_compute_threads(rendezvous.local_world_size);
  group_ = comm::init_world(rendezvous);
  spec_ = models::read_arch_spec(options.model / "config.json");
  auto_facts_ = facts_of_model(options.model / "config.json");
  if (options.steps > 0) auto_facts_.total_steps = options.steps;
  dtype_ = accel::scalar_type(parse_config(document_, group_->size(), auto_facts_).model_dtype());
  models::check_fits_memory(spec_, dtype_ == at::kFloat ? 4 : 2, (options.model / "config.json").string());
  rng_ = std::make_shared<accel::Rng>(options.seed, static_cast<uint64_t>(group_->rank()));
  objective_ = make_objective(
      spec_, {.options = options, .rng = rng_, .tokenizer = [this]() -> const text::Tokenizer& {
                return tokenizer();
              }});
  if (options.dry_run) {
    open_data();
    return;
  }
  check_destinations();
  open_data();
  build_model();
  start_engine();
}

// What would only fail once everything is trained.
void Training::check_destinations() {
  if (!options_.generate.empty())
    DS_CHECK(static_cast<int64_t>(tokenizer().encode_ids(options_.generate).size()) < spec_.max_positions,
             "--generate: the prompt leaves no room in the model's {} positions", spec_.max_positions);
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

void Training::build_model() {
  model_ = objective_->model();
  auto specs = nn::list_parameters(*model_);
  for (auto& spec : specs) spec.dtype = dtype_;
  nn::DenseMaterializer materializer;
  if (formats::SafetensorsModel::present(options_.model)) {
    const models::WeightSource weights(formats::SafetensorsModel::open(options_.model), spec_, options_.seed);
    weights.check(specs);
    note_weights("initialised from --seed, since the weights lack them: ", weights.initialised(specs));
    if (spec_.bidirectional) note_weights("weights without a use here: ", weights.unused(specs));
    materializer.materialize(specs, weights);
  } else {
    materializer.materialize(specs, nn::InitSource(options_.seed));
  }
}

void Training::note_weights(const char* what, const std::vector<std::string>& names) {
  constexpr size_t kNamed = 8;
  if (names.empty()) return;
  std::string note = what;
  for (size_t i = 0; i < std::min(names.size(), kNamed); ++i) note += (i > 0 ? ", " : "") + names[i];
  if (names.size() > kNamed) note += fmt::format(" and {} more", names.size() - kNamed);
  notes_.push_back(std::move(note));
}

const text::Tokenizer& Training::tokenizer() {
  if (!tokenizer_) {
    const auto path = options_.model / "tokenizer.json";
    DS_CHECK(std::filesystem::exists(path),
             "'{}' is missing: make one with ds_tokenizer train, or give .bin data", path.string());
    tokenizer_ = text::Tokenizer::from_file(path);
  }
  return *tokenizer_;
}

void Training::open_data() {
  DS_CHECK(options_.seq_length <= spec_.max_positions,
           "--seq-length {} is longer than the model's {} positions", options_.seq_length,
           spec_.max_positions);
  training_data_ = objective_->open(options_.data);
  if (options_.eval_data.empty()) return;
  eval_data_ = objective_->open(options_.eval_data);
  DS_CHECK(
      !options_.eval_baselines || (training_data_.store && eval_data_.store),
      "--eval-baselines counts over a stream of tokens; it does not go with --packing documents or single");
}

void Training::start_engine() {
  ready_ = initialize({.model = model_,
                       .config = engine_config(),
                       .auto_facts = auto_facts_,
                       .group = group_,
                       .training_data = training_data_.dataset,
                       .shuffle = options_.shuffle,
                       .seed = options_.seed,
                       .data_workers = static_cast<int>(options_.data_workers),
                       .rng = rng_,
                       .same_on_all_ranks = true,
                       .print = [this](const std::string& line) {
                         if (log_)
                           log_->say(line);
                         else
                           base::log_info("{}", line);
                       }});
  Engine& engine = *ready_.engine;
  if (options_.activation_checkpointing)
    recompute::recompute_blocks(*model_, recompute::layers_of(*model_),
                                {.config = engine.config().activation_checkpointing, .rng = rng_});
  if (!options_.load.empty()) {
    DS_CHECK(!options_.load_tag.empty() || std::filesystem::exists(options_.load / "latest"),
             "--load '{}': there is no checkpoint to resume from (no file 'latest')", options_.load.string());
    engine.load_checkpoint(options_.load, {.tag = options_.load_tag});
    ready_.loader->seek_samples(engine.global_samples());
  }
  last_step_ =
      options_.steps > 0
          ? options_.steps
          : options_.epochs * ready_.loader->sampler().steps_per_epoch(engine.gradient_accumulation_steps());
  DS_CHECK(engine.global_steps() <= last_step_, "--load '{}' is at step {} already, beyond --steps {}",
           options_.load.string(), engine.global_steps(), last_step_);
  if (!first()) return;
  log_ = std::make_unique<StepLog>(options_.log_jsonl, last_step_, options_.quiet,
                                   /*append=*/!options_.load.empty());
  if (!options_.report.empty()) start_page();
  if (options_.quiet) return;
  int64_t parameters = 0;
  for (const auto& p : model_->parameters()) parameters += p.numel();
  log_->say(fmt::format(
      "{} with {:.2f}M parameters in {}, {} rank{}, ZeRO stage {}, {} samples of {} tokens, steps {} to {}",
      spec_.model_type, static_cast<double>(parameters) / 1e6, engine.config().precision_text(),
      group_->size(), group_->size() > 1 ? "s" : "", engine.config().zero.stage,
      training_data_.dataset->size(), options_.seq_length, engine.global_steps() + 1, last_step_));
  for (const auto& note : {training_data_.note, eval_data_.note})
    if (!note.empty()) log_->say(note);
  for (const auto& note : notes_) log_->say(note);
}

// Overrides are merged in; without them the file itself, which messages can name.
std::string Training::engine_config() const {
  return options_.overrides.empty() ? options_.config : document_.json.dump();
}

void Training::start_page() {
  const Engine& engine = *ready_.engine;
  int64_t parameters = 0;
  for (const auto& p : model_->parameters()) parameters += p.numel();
  observe::RunReport about{
      .title = fmt::format("{}, {:.2f}M parameters", spec_.model_type, static_cast<double>(parameters) / 1e6),
      .facts = {{"Model", options_.model.string()},
                {"Data", options_.data.string()},
                {"Precision", engine.config().precision_text()},
                {"Ranks", std::to_string(group_->size())},
                {"ZeRO stage", std::to_string(engine.config().zero.stage)},
                {"Batch",
                 fmt::format("{} samples of {} tokens: {} a rank and micro-batch, {} accumulated",
                             engine.train_batch_size(), options_.seq_length,
                             engine.train_micro_batch_size_per_gpu(), engine.gradient_accumulation_steps())},
                {"Steps", fmt::format("{} to {}", engine.global_steps() + 1, last_step_)},
                {"Seed", std::to_string(options_.seed)}},
      .command_line = options_.command_line,
      .config = document_.json.dump(2)};
  page_ = std::make_unique<TrainPage>(options_.report, last_step_, std::move(about));
}

double Training::train_step() {
  Engine& engine = *ready_.engine;
  double total = 0;
  for (int64_t g = 0; g < engine.gradient_accumulation_steps(); ++g) {
    const auto batch = ready_.loader->next();
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
    const at::Tensor loss = engine.forward([&] { return objective_->loss(batch); });
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
  const StepRecord record{.step = engine.global_steps(),
                          .loss = loss,
                          .lr = engine.get_lr()[0],
                          .grad_norm = engine.get_global_grad_norm(),
                          .loss_scale = engine.loss_scale(),
                          .skipped = engine.skipped_steps(),
                          .tokens = engine.train_batch_size() * options_.seq_length,
                          .step_ms = step_ms,
                          .rss_bytes = mine,
                          .rss_bytes_all_ranks = peak.item<int64_t>(),
                          .eval_loss = score ? std::optional(score->mean_loss()) : std::nullopt,
                          .eval_accuracy = score && objective_->counts_correct()
                                               ? std::optional(score->correct / score->predictions)
                                               : std::nullopt,
                          .start_s = std::exchange(start_s_, std::nullopt)};
  log_->add(record);
  if (page_) page_->add(record);
}

Score Training::evaluate() {
  const auto autocast = ready_.engine->autocast();
  return held_out_score(*objective_, *eval_data_.dataset, *group_,
                        ready_.engine->train_micro_batch_size_per_gpu());
}

bool Training::evaluates(int64_t step) const {
  if (!eval_data_.dataset) return false;
  return step == last_step_ || (options_.eval_every > 0 && step % options_.eval_every == 0);
}

void Training::say_evaluation(const Score& score) {
  if (first())
    log_->say(fmt::format("step {}: {}", ready_.engine->global_steps(), objective_->describe(score)));
}

void Training::say_baselines() {
  auto ids = [](const data::TokenStore& store) {
    std::vector<int64_t> all(static_cast<size_t>(store.tokens()));
    store.read(0, all);
    return std::vector<int32_t>(all.begin(), all.end());
  };
  const auto p = data::NgramBaseline(ids(*training_data_.store), spec_.vocab)
                     .evaluate(ids(*eval_data_.store), options_.seq_length);
  log_->say(fmt::format(
      "baselines on the same held-out tokens: unigram perplexity {:.2f}, trigram perplexity {:.2f}",
      p.unigram, p.trigram));
}

void Training::save() {
  const std::string tag = "global_step" + std::to_string(ready_.engine->global_steps());
  if (tag == saved_tag_) return;
  ready_.engine->save_checkpoint(options_.save);
  saved_tag_ = tag;
  if (first() && !options_.quiet) log_->say(fmt::format("saved {}", (options_.save / tag).string()));
}

void Training::finish() {
  if (!options_.save.empty()) save();
  if (first() && options_.eval_baselines && eval_data_.store) say_baselines();
  if (first() && !options_.export_to.empty()) {
    models::export_hugging_face(options_.export_to, objective_->spec(), *model_,
                                {.source = options_.model, .dtype = dtype_});
    if (!options_.quiet) log_->say(fmt::format("exported {}", options_.export_to.string()));
  }
  if (first() && !options_.generate.empty()) {
    const auto prompt = tokenizer().encode_ids(options_.generate);
    const auto made = models::generate(*objective_->decoder(), prompt,
                                       {.max_new_tokens = options_.generate_tokens, .seed = options_.seed});
    log_.reset();
    std::printf("%s%s\n", options_.generate.c_str(), tokenizer().decode(made).c_str());
  }
  group_->barrier();
}

void Training::run() {
  try {
    train_steps();
    if (!stopped()) finish();
  } catch (const std::exception& error) {
    if (page_) page_->write(stopped() ? "stopped by a signal" : fmt::format("failed: {}", error.what()));
    throw;
  }
  if (page_) page_->write(stopped() ? "stopped by a signal" : "finished");
}

void Training::say_plan() {
  if (!first()) return;
  models::Decoder model(spec_, nullptr);  // lists its parameters and allocates none
  const DeepspeedConfig config = parse_config(document_, group_->size(), auto_facts_);
  const int64_t per_epoch = data::Sampler({.samples = training_data_.dataset->size(),
                                           .micro_batch = config.engine.train_micro_batch_size_per_gpu,
                                           .world_size = group_->size(),
                                           .drop_last = config.engine.dataloader_drop_last})
                                .steps_per_epoch(config.engine.gradient_accumulation_steps);
  const std::string text =
      plan_text(config, {.model_type = spec_.model_type,
                         .parameters = nn::sizes_of(nn::list_parameters(model)),
                         .world_size = group_->size(),
                         .samples = training_data_.dataset->size(),
                         .seq_length = options_.seq_length,
                         .steps = options_.steps > 0 ? options_.steps : options_.epochs * per_epoch,
                         .steps_per_epoch = per_epoch});
  std::fputs(text.c_str(), stdout);
}

void Training::train_steps() {
  Engine& engine = *ready_.engine;
  engine.train();
  if (engine.global_steps() >= last_step_ && eval_data_.dataset) say_evaluation(evaluate());
  while (engine.global_steps() < last_step_ && !stopped()) {
    const auto begin = Clock::now();
    const double loss = train_step();
    const double step_ms = std::chrono::duration<double, std::milli>(Clock::now() - begin).count();
    const int64_t step = engine.global_steps();
    std::optional<Score> score;
    if (evaluates(step)) score = evaluate();
    log_step(loss, step_ms, score);
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
