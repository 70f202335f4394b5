#include "deepspeed/engine/train_inputs.h"

#include "deepspeed/accel/dtype.h"
#include "deepspeed/base/error.h"
#include "deepspeed/config/overrides.h"
#include "deepspeed/engine/accelerator.h"
#include "deepspeed/engine/parse_config.h"
#include "deepspeed/models/size.h"
#include "deepspeed/models/weights.h"

namespace deepspeed::engine {
namespace {

// Weights that would be left aside without a word: of other formats, links to what is gone, parts of a set.
void refuse_other_weights(const std::filesystem::path& folder) {
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    const std::string name = entry.path().filename().string(), kind = entry.path().extension().string();
    if (kind != ".safetensors" && kind != ".gguf" && !name.starts_with("pytorch_model")) continue;
    base::fail(
        "'{}' cannot be read as weights: a model folder holds model.safetensors or pytorch_model.bin, or "
        "parts "
        "with their index (.index.json); move it away to start from random weights",
        (folder / name).string());
  }
}

// Flags that would have no effect.
void check_flags(const TrainOptions& options) {
  DS_CHECK(options.save_every == 0 || !options.save.empty(), "--save-every needs --save");
  DS_CHECK(options.eval_every == 0 || !options.eval_data.empty(), "--eval-every needs --eval-data");
  DS_CHECK(!options.eval_baselines || !options.eval_data.empty(), "--eval-baselines needs --eval-data");
  DS_CHECK(options.load_tag.empty() || !options.load.empty(), "--load-tag needs --load");
  DS_CHECK(!options.restart_data || !options.load.empty(), "--restart-data needs --load");
}

}  // namespace

TrainInputs::TrainInputs(const TrainOptions& options, comm::Group& group)
    : options_(options),
      document_(config::with_overrides(config::load(options.config), options.overrides)),
      auto_facts_(facts_of_model(options.model / "config.json")),
      spec_(models::read_arch_spec(options.model / "config.json")) {
  check_flags(options);
  if (options.steps > 0) auto_facts_.total_steps = options.steps;
  const DeepspeedConfig config = parse_config(document_, group.size(), auto_facts_);
  DS_CHECK(config.optimizer.type,
           "{}: there is no 'optimizer', without which nothing is trained; write "
           "\"optimizer\": {{\"type\": \"AdamW\"}}",
           document_.name);
  check_accelerator(config, group.device());
  dtype_ = accel::scalar_type(config.model_dtype());
  // Of sharded parameters every rank holds a part; those of other hosts count as if they were here.
  const double share = config.zero.stage >= 3 ? 1.0 / group.size() : 1;
  models::check_fits_memory(spec_, (dtype_ == at::kFloat ? 4 : 2) * share,
                            (options.model / "config.json").string());
  rng_ = std::make_shared<accel::Rng>(options.seed, static_cast<uint64_t>(group.rank()));
  objective_ = make_objective(
      spec_, {.options = options, .rng = rng_, .tokenizer = [this]() -> const text::Tokenizer& {
                return tokenizer();
              }});
  open_data();
}

std::string TrainInputs::engine_config() const {
  return options_.overrides.empty() ? options_.config : document_.json.dump();
}

const text::Tokenizer& TrainInputs::tokenizer() {
  if (!tokenizer_) {
    const auto path = options_.model / "tokenizer.json";
    DS_CHECK(std::filesystem::exists(path),
             "'{}' is missing: make one with ds_tokenizer train, or give .bin data", path.string());
    tokenizer_ = text::Tokenizer::from_file(path);
  }
  return *tokenizer_;
}

void TrainInputs::open_data() {
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

void TrainInputs::open_model() {
  model_ = objective_->model();
  const auto specs = nn::list_parameters(*model_);
  if (!formats::SafetensorsModel::present(options_.model) && !formats::TorchModel::present(options_.model)) {
    refuse_other_weights(options_.model);
    values_ = std::make_shared<nn::InitSource>(options_.seed);
    weight_notes_.push_back("the model folder holds no weights: initialised from --seed");
    return;
  }
  auto weights =
      std::make_shared<models::WeightSource>(formats::ModelFiles::open(options_.model), spec_, options_.seed);
  weights->check(specs);
  note_weights("initialised from --seed, since the weights lack them: ", weights->initialised(specs));
  if (spec_.bidirectional) note_weights("weights without a use here: ", weights->unused(specs));
  values_ = std::move(weights);
}

int64_t TrainInputs::parameters() const {
  int64_t sum = 0;
  for (const auto& p : model_->parameters()) sum += p.numel();
  return sum;
}

void TrainInputs::note_weights(const char* what, const std::vector<std::string>& names) {
  constexpr size_t kNamed = 8;
  if (names.empty()) return;
  std::string note = what;
  for (size_t i = 0; i < std::min(names.size(), kNamed); ++i) note += (i > 0 ? ", " : "") + names[i];
  if (names.size() > kNamed) note += fmt::format(" and {} more", names.size() - kNamed);
  weight_notes_.push_back(std::move(note));
}

std::vector<std::string> TrainInputs::notes() const {
  std::vector<std::string> lines;
  for (const auto& note : {training_data_.note, eval_data_.note})
    if (!note.empty()) lines.push_back(note);
  lines.insert(lines.end(), weight_notes_.begin(), weight_notes_.end());
  return lines;
}

}  // namespace deepspeed::engine
