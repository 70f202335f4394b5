// The training engine: composes ZeRO's model states, the optimizer, the schedule, loss scaling and
// checkpoints around a user's model. It contains no maths of its own. Mirrors DeepSpeed's runtime/engine.py
// (contract 2.3).
//
//   auto ready = deepspeed::initialize({.model = net, .config = "ds.json"});
//   for (...) {
//     auto loss = ready.engine->forward([&] { return net->forward(x).mean(); });
//     ready.engine->backward(loss);
//     ready.engine->step();
//   }
#pragma once

#include <torch/nn/module.h>

#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "deepspeed/accel/autocast.h"
#include "deepspeed/accel/rng.h"
#include "deepspeed/comm/group.h"
#include "deepspeed/engine/config.h"
#include "deepspeed/engine/engine_report.h"
#include "deepspeed/engine/model_states.h"
#include "deepspeed/engine/whole_values.h"
#include "deepspeed/nn/grad_hooks.h"
#include "deepspeed/nn/visit_tensors.h"
#include "deepspeed/ops/linear_cross_entropy.h"
#include "deepspeed/optim/loss_scaler.h"
#include "deepspeed/optim/norm.h"
#include "deepspeed/optim/scheduler.h"
#include "deepspeed/zero/optimizer_home.h"

namespace deepspeed::checkpoint {
class Reader;
struct PieceStates;
}  // namespace deepspeed::checkpoint

namespace deepspeed::engine {

using SchedulerFactory = std::function<std::unique_ptr<optim::LrScheduler>(optim::Optimizer&)>;

struct EngineParts {
  std::shared_ptr<torch::nn::Module> model;
  DeepspeedConfig config;
  comm::GroupPtr group;                // data-parallel
  std::shared_ptr<accel::Rng> rng;     // dropout's random state; may be null
  std::vector<ParameterGroup> groups;  // empty: one group of all trainable parameters
  optim::OptimizerFactory optimizer;   // instead of the configuration's
  SchedulerFactory scheduler;          // instead of the configuration's
  /// Values of parameters that have no memory yet (nn/materializer.h): stage 3 takes this rank's parts alone.
  std::shared_ptr<const nn::ParameterSource> values;
  bool same_on_all_ranks = false;  // parameters came from one source: no broadcast at the start
  PrintLine print;                 // rank 0's progress and timing lines
};

struct SaveOptions {
  std::string tag;  // empty: "global_step<N>"
  nlohmann::ordered_json client_state = nlohmann::ordered_json::object();
  bool save_latest = true;
};

struct LoadOptions {
  std::string tag;  // empty: what `latest` names
  bool optimizer_states = true;
  bool lr_scheduler_states = true;
  bool module_only = false;
};

struct BackwardOptions {
  bool retain_graph = false;
  /// Divide the loss by the accumulation steps.
  bool scale_wrt_gas = true;
};

struct Loaded {
  std::filesystem::path path;
  nlohmann::ordered_json client_state;
};

/// One a rank. Collective calls (every rank of the group, same order): the constructor, backward() and step()
/// of each micro-batch, the setters of batch sizes and boundary, save_checkpoint(), load_checkpoint().
class Engine {
 public:
  explicit Engine(EngineParts parts);
  ~Engine();
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  /// Runs one micro-batch's forward: gives the dropout sites their step, then calls `compute` and returns its
  /// result.
  /// `inputs`, tensors or what holds some (nn/visit_tensors.h), are handed to it, floating-point ones in fp16
  /// where fp16.auto_cast says so. Runs under autocast where torch_autocast is enabled.
  template <class Compute, class... Inputs>
  auto forward(Compute&& compute, Inputs... inputs) {
    begin_forward();
    const EngineReport::MemoryAfter memory(report_, "Engine after forward");
    const observe::PhaseTimer timed(report_.timers(), observe::Phase::kForward);
    const ops::LossFactor factor(loss_factor());
    const auto region = autocast();
    if (config().fp16.enabled && config().fp16.auto_cast) (cast_tensors(inputs, at::kHalf), ...);
    return compute(std::move(inputs)...);
  }
  /// What forward() computes under, for what is computed outside it (an evaluation): a region of autocast
  /// where torch_autocast is enabled. Without it, nothing: the caller's own autocast stays.
  [[nodiscard]] std::unique_ptr<accel::Autocast> autocast() const;
  /// Gradients of a scalar loss, divided by the accumulation steps and multiplied by the loss scale; reduces
  /// over the ranks as the ZeRO stage wants. Returns the loss divided by the accumulation steps.
  at::Tensor backward(const at::Tensor& loss, const BackwardOptions& options = {});
  /// The loss times the loss scale, for callers that run `loss.backward()` themselves.
  at::Tensor scale(const at::Tensor& loss);
  /// Counts a micro-batch; at the accumulation boundary clips, updates the parameters (unless the gradients
  /// overflowed) and advances the schedule. Gradients that no backward has reduced yet are reduced first.
  void step();

  /// While it lives, backward() leaves its gradients on this rank; the next backward() outside (or step())
  /// reduces them with its own. Not at stage 2, which keeps no whole gradients. base::Error from step()
  /// inside, and when nested.
  class NoSync {
   public:
    explicit NoSync(Engine& engine);
    ~NoSync() { engine_.in_no_sync_ = false; }
    NoSync(const NoSync&) = delete;
    NoSync& operator=(const NoSync&) = delete;

   private:
    Engine& engine_;
  };
  [[nodiscard]] NoSync no_sync() { return NoSync(*this); }

  /// Whether step() will update. With managed_gradient_accumulation false every step() does, and no backward
  /// does.
  bool is_gradient_accumulation_boundary() const;
  /// Says it from now on, in place of counting. base::Error where accumulation is not managed.
  void set_gradient_accumulation_boundary(bool boundary);
  /// Changes the accumulation steps alone; base::Error unless it is a multiple of micro-batch times ranks.
  void set_train_batch_size(int64_t samples);
  /// Changes the micro-batch, and the batch with it.
  void set_train_micro_batch_size(int64_t samples);
  void zero_grad();
  void train(bool on = true) { parts_.model->train(on); }
  void eval() { train(false); }

  /// One a parameter group.
  std::vector<double> get_lr() const;
  std::vector<std::array<double, 2>> get_mom() const;
  std::string get_type() const { return optimizer_->type(); }
  /// Milliseconds of forward, backward and step by DeepSpeed's names ("fwd", "bwd_microstep", ...) as they
  /// stood at the last step(); empty unless wall_clock_breakdown is on.
  const std::map<std::string, double>& get_wall_clock_timers() const { return report_.last_timings(); }
  /// Unclipped, unscaled L2 norm of the last step's gradients over all ranks; nothing before the first step
  /// or when the configuration does not compute it.
  std::optional<double> get_global_grad_norm() const { return grad_norm_; }
  double loss_scale() const { return scaler_.scale(); }
  /// Whether the last step() changed parameters.
  bool was_step_applied() const { return step_applied_; }

  int64_t train_batch_size() const { return config().engine.train_batch_size; }
  int64_t train_micro_batch_size_per_gpu() const { return config().engine.train_micro_batch_size_per_gpu; }
  int64_t gradient_accumulation_steps() const { return config().engine.gradient_accumulation_steps; }
  int64_t global_steps() const { return global_steps_; }
  int64_t global_samples() const { return global_samples_; }
  int64_t micro_steps() const { return micro_steps_; }
  int64_t skipped_steps() const { return skipped_steps_; }

  const DeepspeedConfig& config() const { return parts_.config; }
  torch::nn::Module& module() { return *parts_.model; }
  optim::Optimizer& optimizer() { return *optimizer_; }
  optim::LrScheduler* lr_scheduler() { return scheduler_.get(); }
  comm::Group& group() { return *parts_.group; }
  /// Stage 3: parameters whole for code outside any Block, while the result lives; elsewhere they always are.
  /// With `modifier`, what that rank wrote to them becomes everyone's. Collective, outside forward and
  /// backward; the result is destroyed on every rank as well. As DeepSpeed's zero.GatheredParameters.
  [[nodiscard]] zero::GatheredParameters gathered(std::vector<at::Tensor> parameters,
                                                  std::optional<int> modifier = std::nullopt) {
    return {states_->fetcher(), std::move(parameters), modifier, *parts_.group};
  }
  /// What this rank's model states take now. Not collective.
  zero::StateBytes state_bytes() const;
  /// Gathers and releases sharded parameters; what it has counted can be read.
  const zero::ParameterFetcher& fetcher() const { return states_->fetcher(); }
  /// What this rank keeps of the model, and where its optimizer's states live: for engine/full_values.h.
  const ModelStates& model_states() const { return *states_; }
  zero::OptimizerHome& optimizer_home() { return *home_; }

  /// Writes <folder>/<tag>/ and then <folder>/latest (checkpoint/writer.h). Keys of client_state are the
  /// caller's own.
  void save_checkpoint(const std::filesystem::path& folder, const SaveOptions& options = {});
  /// Restores what was saved, on any number of ranks and any stage. Nothing when no tag is given and there is
  /// no `latest`. An accumulation window that was under way when saving starts anew.
  std::optional<Loaded> load_checkpoint(const std::filesystem::path& folder, const LoadOptions& options = {});
  /// Parameters and buffers, whole and in the model's format under the model's names: copies on rank 0,
  /// nothing on the others. Collective, outside forward and backward. At stage 3 as DeepSpeed's
  /// _zero3_consolidated_16bit_state_dict.
  std::vector<zero::NamedParameter> module_state_dict();
  /// Writes parameters and buffers, whole and in the model's format under the model's names, to
  /// <folder>/<file> (safetensors), one after the other: rank 0 holds one whole, the others none. False, with
  /// a warning and nothing written, at stage 3 unless stage3_gather_16bit_weights_on_model_save is set.
  /// Collective.
  bool save_16bit_model(const std::filesystem::path& folder, const std::string& file = "model.safetensors");
  /// For other exports: whole_values.h. Collective.
  void with_whole_values(const std::string& what, const std::function<void(const WholeValues&)>& use);

 private:
  struct Decision {  // what the gradients' norm means for this step
    bool overflow = false;
    double grad_scale = 1;
  };

  template <class T>
  static void cast_tensors(T& value, at::ScalarType dtype) {
    nn::visit_tensors(value, [dtype](at::Tensor& tensor) {
      if (tensor.defined() && tensor.is_floating_point()) tensor = tensor.to(dtype);
    });
  }
  void make_optimizer();
  void take_first_step();
  void listen_to_gradients();
  void begin_forward();
  // What backward() multiplies a micro-batch's loss by.
  double loss_factor() const;
  void on_gradient(size_t group, size_t index, const at::Tensor& parameter);
  void open_backward();
  void end_backward();
  void finish_reductions();
  Decision judge_gradients();
  void place_optimizer_states();
  void apply_step(const Decision& decision);
  void update();  // the optimizer step that ends a window of accumulation
  StepState step_state() const;
  std::vector<std::pair<std::string, std::string>> attributes() const;  // for dump_state
  nlohmann::ordered_json state_json(const SaveOptions& options, const std::string& tag) const;
  checkpoint::PieceStates saved_piece(size_t states, size_t piece) const;
  void load_parameters(const class LoadContext& context);
  void load_pieces(const class LoadContext& context);
  void load_frozen(const checkpoint::Reader& reader);
  void load_reduction_memory(const class LoadContext& context);
  void load_counters(const nlohmann::ordered_json& state, const LoadOptions& options);

  EngineParts parts_;
  EngineReport report_;
  std::unique_ptr<ModelStates> states_;
  std::unique_ptr<optim::Optimizer> optimizer_;
  std::unique_ptr<zero::OptimizerHome> home_;  // of its states
  std::unique_ptr<optim::LrScheduler> scheduler_;
  optim::LossScaler scaler_;
  std::vector<nn::GradSubscription> subscriptions_;

  bool backward_open_ = false;  // gradients of a backward have come and it has not been ended
  bool backward_is_ours_ =
      false;  // backward() runs and will end it; else libtorch's end-of-backward callback does
  std::optional<bool> boundary_;  // set_gradient_accumulation_boundary
  bool in_no_sync_ = false, in_step_ = false;
  bool scaled_ = false;  // scale() was called for the backward that comes
  bool step_applied_ = false;
  std::optional<double> grad_norm_;
  int64_t global_steps_ = 0, global_samples_ = 0, micro_steps_ = 0, skipped_steps_ = 0;
  int64_t forward_passes_ = 0;   // in training; what dropout is keyed by
  int64_t backward_passes_ = 0;  // since the last update
};

}  // namespace deepspeed::engine
