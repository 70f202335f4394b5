// Saving and loading the engine: what of it belongs into a checkpoint, in terms of pieces and counters.
#include <ATen/ops/empty.h>
#include <torch/csrc/autograd/grad_mode.h>

#include "deepspeed/base/error.h"
#include "deepspeed/base/log.h"
#include "deepspeed/checkpoint/reader.h"
#include "deepspeed/checkpoint/writer.h"
#include "deepspeed/comm/together.h"
#include "deepspeed/engine/engine.h"

namespace deepspeed::engine {
namespace {

using nlohmann::ordered_json;

constexpr int kFormat = 1;                     // of state.json
constexpr const char* kMaster = "fp32";        // the state of a piece that is its parameter
constexpr const char* kFrozenState = "value";  // of parameters that are sharded and not trained
constexpr const char* kReductionMemory = "reduction_memory";

// Where a rank's memory of reductions is among its own tensors.
std::string memory_prefix(size_t states) { return fmt::format("reductions/{}/", states); }

// For which ranks and buckets that memory is good, by group states; empty where none has any.
ordered_json memory_of(const ModelStates& states) {
  ordered_json all = ordered_json::array();
  bool any = false;
  for (const auto& group : states.all()) {
    all.push_back(group->gradients().memory_of());
    any = any || !all.back().get<std::string>().empty();
  }
  return any ? all : ordered_json::array();
}

ordered_json groups_json(const optim::Optimizer& optimizer) {
  ordered_json groups = ordered_json::array();
  for (const auto& g : optimizer.groups())
    groups.push_back({{"lr", g.lr},
                      {"betas", g.betas},
                      {"eps", g.eps},
                      {"weight_decay", g.weight_decay},
                      {"bias_correction", g.bias_correction}});
  return groups;
}

// Before anything is changed.
void check_optimizer(const ordered_json& saved, const optim::Optimizer& optimizer) {
  DS_CHECK(saved.at("type") == optimizer.type(), "the checkpoint was made by optimizer {}, not {}",
           saved["type"].dump(), optimizer.type());
  const size_t groups = saved.at("groups").size();
  DS_CHECK(groups == optimizer.groups().size(),
           "state.json: {} parameter groups were saved, the optimizer has {}", groups,
           optimizer.groups().size());
}

void load_groups(const ordered_json& saved, optim::Optimizer& optimizer) {
  for (size_t i = 0; i < saved.size(); ++i) {
    auto& g = optimizer.groups()[i];
    g.lr = saved[i].at("lr").get<double>();
    g.betas = saved[i].at("betas").get<std::array<double, 2>>();
    g.eps = saved[i].at("eps").get<double>();
    g.weight_decay = saved[i].at("weight_decay").get<double>();
    g.bias_correction = saved[i].at("bias_correction").get<bool>();
  }
}

// A counter of state.json; more than kMost steps is damage.
int64_t counter(const ordered_json& state, const char* key) {
  constexpr int64_t kMost = int64_t{1} << 53;
  const auto& value = state.at(key);
  const bool whole = value.is_number_unsigned() || (value.is_number_integer() && value.get<int64_t>() >= 0);
  DS_CHECK(whole && value.get<uint64_t>() <= static_cast<uint64_t>(kMost),
           "state.json: '{}' is {}, which is no count", key, value.dump());
  return value.get<int64_t>();
}

}  // namespace

ordered_json Engine::state_json(const SaveOptions& options, const std::string& tag) const {
  ordered_json parameters = ordered_json::object();
  for (const auto& states : states_->all())
    for (const auto& p : states->parameters()) parameters[p.name] = p.tensor.sizes().vec();
  ordered_json state = {{"format", kFormat},
                        {"global_steps", global_steps_},
                        {"global_samples", global_samples_},
                        {"micro_steps", micro_steps_},
                        {"forward_passes", forward_passes_},
                        {"skipped_steps", skipped_steps_},
                        {"dp_world_size", parts_.group->size()},
                        {"zero_stage", config().zero.stage},
                        {"optimizer",
                         {{"type", optimizer_->type()},
                          {"step_count", optimizer_->step_count()},
                          {"groups", groups_json(*optimizer_)}}},
                        {"loss_scaler", scaler_.state()},
                        {"parameters", parameters},
                        {"client_state", options.client_state},
                        {"ds_config", config().raw}};
  if (auto memory = memory_of(*states_); !memory.empty()) state[kReductionMemory] = std::move(memory);
  if (scheduler_) state["lr_scheduler"] = {{"type", scheduler_->type()}, {"state", scheduler_->state_dict()}};
  return state;
}

void Engine::save_checkpoint(const std::filesystem::path& folder, const SaveOptions& options) {
  at::NoGradGuard no_grad;
  comm::together(*parts_.group, "save_checkpoint", [this] { home_->check(); });
  const std::string tag = options.tag.empty() ? "global_step" + std::to_string(global_steps_) : options.tag;
  checkpoint::RankPart part;
  const bool first = parts_.group->rank() == 0;
  for (size_t g = 0; g < states_->all().size(); ++g) {
    // Whole states are the same everywhere: rank 0 alone writes them. So are those of MiCS' replicas.
    if (!first && config().zero.stage == 0) break;
    if (!states_->groups().saves()) break;
    for (size_t i = 0; i < states_->all()[g]->owned().size(); ++i) part.pieces.push_back(saved_piece(g, i));
  }
  if (const auto* frozen = states_->frozen(); frozen != nullptr && states_->groups().saves())
    for (const auto& piece : frozen->layout().pieces(states_->groups().shard->rank()))
      part.pieces.push_back({frozen->parameters()[piece.param].name,
                             piece.begin,
                             {{kFrozenState, frozen->part(piece.param).narrow(0, 0, piece.count)}}});
  for (size_t g = 0; g < states_->all().size(); ++g)
    for (const auto& [name, tensor] : states_->all()[g]->gradients().reduction().memory())
      part.own[memory_prefix(g) + name] = tensor;
  if (first)
    for (const auto& tensor : states_->whole()) part.whole[tensor.name] = tensor.tensor;
  checkpoint::save({.folder = folder,
                    .tag = tag,
                    .save_latest = options.save_latest,
                    .tag_validation = config().checkpoint.tag_validation},
                   part, state_json(options, tag), *parts_.group);
}

// One piece's states; those on a disk are read when they are written.
checkpoint::PieceStates Engine::saved_piece(size_t states, size_t piece) const {
  const auto& owner = *states_->all()[states];
  const auto& owned = owner.owned()[piece];
  const auto& place = states_->place(states);
  const size_t group = place.group, number = place.first_piece + piece;
  checkpoint::PieceStates saved{owner.parameters()[owned.param].name, owned.begin, {}};
  const at::Tensor& param = optimizer_->groups()[group].pieces[number].param;
  const auto store = [&](const std::string& name, at::ScalarType dtype, const std::string& state) {
    saved.stored[name] = {dtype, owned.count, [this, group, number, state](std::span<std::byte> out) {
                            home_->read(group, number, state, out);
                          }};
  };
  if (home_->is_in_memory(group, number))
    saved.states = optimizer_->piece_state(group, number);
  else
    for (const auto& spec : optimizer_->state_specs(group, number)) store(spec.name, spec.dtype, spec.name);
  if (home_->has_stored_master(group, number))
    store(kMaster, param.scalar_type(), zero::kMasterCopy);
  else
    saved.states[kMaster] = param;
  return saved;
}

// What load_parameters needs of the file and the caller's wishes.
class LoadContext {
 public:
  const checkpoint::Reader& reader;
  bool optimizer_states;
};

void Engine::load_parameters(const LoadContext& context) {
  for (size_t g = 0; g < states_->all().size(); ++g) {
    auto& states = *states_->all()[g];
    // Module weights first, all that a rank keeps of them; a 16-bit parameter is its fp32 value rounded.
    for (const auto& p : states.parameters()) {
      const auto& shapes = context.reader.state().at("parameters");
      DS_CHECK(shapes.contains(p.name), "'{}' has no parameter '{}'", context.reader.path().string(), p.name);
      DS_CHECK(shapes[p.name].get<std::vector<int64_t>>() == p.tensor.sizes().vec(),
               "'{}': parameter '{}' was saved with shape {}, the model's is {}",
               context.reader.path().string(), p.name, shapes[p.name].dump(),
               nlohmann::json(p.tensor.sizes().vec()).dump());
    }
    states.load_values([&](size_t param, int64_t begin, const at::Tensor& values) {
      context.reader.read(kMaster, states.parameters()[param].name, begin, values);
    });
  }
  load_pieces(context);
  load_frozen(context.reader);
  load_reduction_memory(context);
}

// LoCo's errors go on where they were made; elsewhere they start from zero.
void Engine::load_reduction_memory(const LoadContext& context) {
  const ordered_json own = memory_of(*states_);
  if (own.empty()) return;
  const auto& state = context.reader.state();
  const bool same = state.contains(kReductionMemory) && state[kReductionMemory] == own;
  if (!same && context.optimizer_states && parts_.group->rank() == 0)
    base::log_info("'{}' {}: LoCo's errors start from zero", context.reader.path().string(),
                   state.contains(kReductionMemory) ? "was saved with other ranks or other gradient buckets"
                                                    : "holds no errors of quantized gradients");
  for (size_t g = 0; g < states_->all().size(); ++g)
    states_->all()[g]->gradients().reduction().set_memory(
        same && context.optimizer_states ? context.reader.read_own(parts_.group->rank(), memory_prefix(g))
                                         : zero::ReductionMemory());
}

// Masters are read, or made of the parameters that were.
void Engine::load_pieces(const LoadContext& context) {
  const bool exact = context.optimizer_states && config().zero.load_from_fp32_weights;
  home_->change(
      [&](const zero::PieceInMemory& piece) {
        const auto [states, i] = states_->owner(piece.group, piece.piece);
        const auto& place = states->owned()[i];
        const std::string& name = states->parameters()[place.param].name;
        if (exact)
          context.reader.read(kMaster, name, place.begin, piece.param);
        else if (const at::Tensor values = states->values_of(i); !piece.param.is_alias_of(values))
          piece.param.copy_(values);
        if (!context.optimizer_states) return;
        for (const auto& [state, tensor] : piece.states)
          context.reader.read(state, name, place.begin, tensor);
      },
      context.optimizer_states ? zero::OptimizerHome::Replaces::kEverything
                               : zero::OptimizerHome::Replaces::kSome);
}

// What is not trained was saved whole or, where parameters were sharded, in parts.
void Engine::load_frozen(const checkpoint::Reader& reader) {
  for (const auto& tensor : states_->whole()) {
    const at::Tensor values = tensor.tensor.detach();
    if (reader.has_state(kFrozenState, tensor.name))
      reader.read(kFrozenState, tensor.name, 0, values.view({-1}));
    else
      DS_CHECK(reader.read_whole(tensor.name, values), "'{}' has no '{}'", reader.path().string(),
               tensor.name);
  }
  auto* frozen = states_->frozen();
  if (frozen == nullptr) return;
  for (const auto& piece : frozen->layout().pieces(states_->groups().shard->rank())) {
    const auto& parameter = frozen->parameters()[piece.param];
    const at::Tensor whole_part = frozen->part(piece.param), part = whole_part.narrow(0, 0, piece.count);
    if (reader.has_state(kFrozenState, parameter.name)) {
      reader.read(kFrozenState, parameter.name, piece.begin, part);
      frozen->set_part(piece.param, whole_part);
      continue;
    }
    const at::Tensor values = at::empty(parameter.tensor.sizes(), part.options());
    DS_CHECK(reader.read_whole(parameter.name, values), "'{}' has no '{}'", reader.path().string(),
             parameter.name);
    part.copy_(values.view({-1}).narrow(0, piece.begin, piece.count));
    frozen->set_part(piece.param, whole_part);
  }
  frozen->refresh();
}

void Engine::load_counters(const ordered_json& state, const LoadOptions& options) {
  global_steps_ = counter(state, "global_steps");
  global_samples_ = counter(state, "global_samples");
  skipped_steps_ = counter(state, "skipped_steps");
  // Gradients of an unfinished window are not saved: it starts anew.
  const int64_t saved = counter(state, "micro_steps");
  micro_steps_ = saved / gradient_accumulation_steps() * gradient_accumulation_steps();
  forward_passes_ =
      (state.contains("forward_passes") ? counter(state, "forward_passes") : saved) - (saved - micro_steps_);
  if (options.optimizer_states) {
    optimizer_->set_step_count(counter(state["optimizer"], "step_count"));
    load_groups(state["optimizer"].at("groups"), *optimizer_);
    const auto scaler = state.at("loss_scaler").get<std::map<std::string, double>>();
    if (scaler_.dynamic() && !scaler.contains("cur_iter")) {
      if (parts_.group->rank() == 0)
        base::log_info("the checkpoint holds no dynamic loss scale: it starts at {}", scaler_.scale());
    } else {
      scaler_.load_state(scaler);
    }
  }
  if (options.lr_scheduler_states && scheduler_ && state.contains("lr_scheduler"))
    scheduler_->load_state_dict(state["lr_scheduler"].at("state").get<std::map<std::string, double>>());
}

std::optional<Loaded> Engine::load_checkpoint(const std::filesystem::path& folder,
                                              const LoadOptions& options) {
  at::NoGradGuard no_grad;
  std::string tag = options.tag;
  if (tag.empty()) {
    const auto latest = checkpoint::latest_tag(folder);
    if (!latest) {
      base::log_warning(
          "'{}' has no file 'latest': nothing is loaded; give a tag to load a certain checkpoint",
          folder.string());
      return std::nullopt;
    }
    tag = *latest;
  }
  const checkpoint::Reader reader(folder, tag);
  const auto& state = reader.state();
  try {
    DS_CHECK(state.at("format").get<int>() == kFormat, "'{}' has format {}, this program reads {}",
             reader.path().string(), state["format"].dump(), kFormat);
    const bool optimizer_states = options.optimizer_states && !options.module_only;
    if (optimizer_states) check_optimizer(state.at("optimizer"), *optimizer_);
    load_parameters({reader, optimizer_states});
    if (!options.module_only) load_counters(state, options);
    return Loaded{reader.path(), state.value("client_state", ordered_json::object())};
  } catch (const nlohmann::json::exception& error) {
    base::fail("'{}' is damaged: {}", (reader.path() / "state.json").string(), error.what());
  }
}

}  // namespace deepspeed::engine
