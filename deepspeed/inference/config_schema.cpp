#include "deepspeed/inference/config_schema.h"

#include "deepspeed/base/error.h"
#include "deepspeed/config/not_yet.h"
#include "deepspeed/inference/checkpoint_files.h"
#include "deepspeed/zero/schema.h"

namespace deepspeed::inference {
namespace {

using config::Field;
using config::Json;
using config::Node;
using config::NotYetRow;
using config::Rules;
using config::Warnings;

using Words = std::vector<std::pair<std::string, WeightType>>;
const Words& type_words() {
  static const Words words = {{"fp16", WeightType::kFp16},
                              {"float16", WeightType::kFp16},
                              {"half", WeightType::kFp16},
                              {"torch.float16", WeightType::kFp16},
                              {"torch.half", WeightType::kFp16},
                              {"fp32", WeightType::kFp32},
                              {"float32", WeightType::kFp32},
                              {"float", WeightType::kFp32},
                              {"torch.float32", WeightType::kFp32},
                              {"torch.float", WeightType::kFp32},
                              {"bf16", WeightType::kBf16},
                              {"bfloat16", WeightType::kBf16},
                              {"bfloat", WeightType::kBf16},
                              {"torch.bfloat16", WeightType::kBf16},
                              {"int8", WeightType::kInt8},
                              {"torch.int8", WeightType::kInt8},
                              {"fp8", WeightType::kFp8},
                              {"float8_e4m3fn", WeightType::kFp8},
                              {"torch.float8_e4m3fn", WeightType::kFp8}};
  return words;
}

template <class T>
Field& idle(config::Schema<T>& s, const NotYetRow& row, const char* doc) {
  return s.add(config::not_yet_field(row, row.path)).doc(doc);
}

config::Schema<TensorParallelConfig> tensor_parallel_schema() {
  config::Schema<TensorParallelConfig> s("Over how many ranks a model's weights are split.");
  s.strict();
  s.field("enabled", &TensorParallelConfig::enabled).doc("false: they are not, whatever tp_size says.");
  s.field("tp_size", &TensorParallelConfig::tp_size).at_least(1).doc("Ranks that share a model.");
  s.field("tp_grain_size", &TensorParallelConfig::tp_grain_size)
      .at_least(1)
      .doc("MLPs and heads are split in multiples of it.");
  s.field("check_against_one_rank", &TensorParallelConfig::check_against_one_rank)
      .doc(
          "Whether loading ends with a prompt that all ranks and one rank answer; where they differ, it "
          "fails. "
          "Not DeepSpeed's.");
  idle(s, {"mpu", "null", "null", "", ""}, "Groups of ranks come from the launcher alone.").nullable = true;
  idle(s, {"tp_group", "null", "null", "", ""}, "Likewise.").nullable = true;
  return s;
}

void quant_target_fields(config::Schema<QuantTargetConfig>& s) {
  s.strict();
  s.field("enabled", &QuantTargetConfig::enabled).doc("Whether they are quantized.");
  s.field("num_bits", &QuantTargetConfig::num_bits).range(1, 16).doc("Bits of a value.");
  s.choice<QuantType>("q_type", &QuantTargetConfig::q_type,
                      {{"symmetric", QuantType::kSymmetric}, {"asymmetric", QuantType::kAsymmetric}})
      .doc("Whether zero lies in the middle of the values.");
  s.field("q_groups", &QuantTargetConfig::q_groups)
      .at_least(1)
      .doc("Parts of a tensor with a scale of their own.");
}

config::Schema<QuantConfig> quant_schema() {
  config::Schema<QuantTargetConfig> activation("Of what goes into projections."), weight("Of weights.");
  quant_target_fields(activation);
  quant_target_fields(weight);
  for (const char* key : {"quantized_initialization", "post_init_quant"})
    idle(weight, {key, "object", "{}", "=", "quantized weights (ZeRO-Inference)"}, "");
  config::Schema<QuantConfig> s("How weights of dtype int8 are quantized; without effect for others.");
  s.strict();
  s.field("enabled", &QuantConfig::enabled).doc("false: int8 is refused.");
  s.object("activation", &QuantConfig::activation, activation);
  s.object("weight", &QuantConfig::weight, weight);
  config::Schema<QuantConfig> qkv("Of the projections to queries, keys and values.");
  qkv.strict();
  qkv.field("enabled", &QuantConfig::qkv).doc("Whether they are quantized, too.");
  s.same_object("qkv", qkv);
  return s;
}

// The block `zero_optimization` of training under another name, what is not built of it included.
config::Schema<zero::ZeroConfig> zero_schema() {
  struct Root {
    zero::ZeroConfig zero;
  };
  config::Schema<zero::ZeroConfig> block = zero::schema();
  config::Schema<Root> root("");
  root.object("zero_optimization", &Root::zero, block);
  config::add_not_yet_rows(*root.table(), config::not_yet_zero_rows());
  return block;
}

// Old forms of keys that lie in blocks now.
void read_mp_size(const Node& node, InferenceConfig& config, const Rules& rules, Warnings& warnings) {
  Rules positive = rules;
  positive.limits.min = 1;
  const int64_t size = config::read_int(node, positive);
  const auto block =
      node.root().find("tensor_parallel") ? node.root().find("tensor_parallel") : node.root().find("tp");
  const auto today = block && block->json().is_object() ? block->find("tp_size") : std::nullopt;
  DS_CHECK(!today || today->json() == size, "{} and its old form {} differ; keep tp_size", today->describe(),
           node.describe());
  config.tensor_parallel.tp_size = size;
  warnings.push_back(
      fmt::format("{}: this key is deprecated; use 'tensor_parallel.tp_size'", node.describe()));
}

// Only experts that no rank shares are built: every rank holds all of a model's.
std::vector<NotYetRow> rows() {
  constexpr const char* kExperts = "expert parallelism";
  return {
      {"enable_cuda_graph", "bool", "false", "=", "CUDA graphs"},
      {"use_triton", "bool", "false", "=", "Triton's kernels, which a native program has no compiler for"},
      {"triton_autotune", "bool", "false", "", "Triton's kernels"},
      {"triangular_masking/tm", "bool", "true", "=", "another mask than the model's own"},
      {"moe", "block", "{}", "", ""},
      {"moe.enabled", "bool", "true", "", ""},
      {"moe.ep_size", "int", "1", "=", kExperts},
      {"moe.moe_experts/num_experts", "list", "[1]", "", ""},
      {"moe.type", "standard|residual", "\"standard\"", "=", "experts beside a dense layer (residual)"},
      {"moe.ep_mp_group", "null", "null", "", ""},
      {"moe.ep_group/expert_group", "null", "null", "", ""},
      {"save_mp_checkpoint_path", "text|null", "null", "null", "checkpoints that are split for inference"},
      {"checkpoint_config/ckpt_config", "strict", "{}", "",
       "Names of the same for what 'checkpoint' and 'base_dir' say."},
      {"checkpoint_config.checkpoint_dir", "text|null", "null", "null", "'checkpoint' under this name"},
      {"checkpoint_config.save_mp_checkpoint_path", "text|null", "null", "null",
       "checkpoints that are split for inference"},
      {"checkpoint_config.base_dir", "text|null", "null", "null", "'base_dir' under this name"},
      {"training_mp_size", "int", "1", "=", "checkpoints that training has split"},
      {"injection_policy/injection_dict", "object|null", "null", "null",
       "policies for models without a row in docs/models.md"},
      {"injection_policy_tuple", "any", "null", "null",
       "policies for models without a row in docs/models.md"},
      {"config/args", "object|null", "null", "", ""},
      {"transposed_mode", "bool", "false", "=", "transposed kernels"},
      {"replace_method", "text", "\"auto\"", "", ""},
      {"mpu", "null", "null", "", ""},
      {"ep_size", "int", "1", "=", kExperts},
      {"ep_group/expert_group", "null", "null", "", ""},
      {"ep_mp_group/expert_mp_group", "null", "null", "", ""},
      {"moe_experts", "list", "[1]", "", ""},
      {"moe_type", "standard|residual", "\"standard\"", "=", "experts beside a dense layer (residual)"}};
}

void add_own_fields(config::Schema<InferenceConfig>& s) {
  using C = InferenceConfig;
  s.choice<WeightType>("dtype", &C::dtype, type_words())
      .doc("What weights are held and multiplied as. fp8 (e4m3): on GPUs that multiply it.");
  s.field("replace_with_kernel_inject", &C::replace_with_kernel_inject)
      .alias("kernel_inject")
      .doc(
          "Weights in the layout of this processor's kernels. Attention, norms and activations are fused "
          "either way.");
  s.object("tensor_parallel", &C::tensor_parallel, tensor_parallel_schema()).alias("tp");
  s.object("quant", &C::quant, quant_schema());
  s.object("zero", &C::zero, zero_schema())
      .doc(
          "With stage 3 and offload_param.device nvme weights are read as they are used. What adjusts "
          "training "
          "has no effect.");
  s.field("keep_module_on_host", &C::keep_module_on_host)
      .doc("Without effect: models are read where they are used.");
  s.custom("checkpoint", "text | object | null", nullptr,
           [](const Node& node, C& config, const Rules& rules, Warnings&) {
             if (node.json().is_object())
               config.checkpoint_files =
                   parse_checkpoint_files(node.json(), fmt::format("{} at {}", node.path(), node.where()));
             else
               config.checkpoint = config::read_text(node, rules);
           })
      .doc(
          "Where the weights lie, in place of the model's folder: a folder, a file, an index of files "
          "(.json), or "
          "DeepSpeed's {type, checkpoints, version} with a list of files, as an object or in a .json.")
      .nullable = true;
  s.field("base_dir", &C::base_dir).doc("The folder that 'checkpoint' is relative to.");
  s.field("set_empty_params", &C::set_empty_params)
      .doc("Without effect: weights are never made before they are read.");
  s.field("return_tuple", &C::return_tuple).doc("Without effect: it is Python's.");
  s.field("max_out_tokens", &C::max_out_tokens)
      .alias("max_tokens")
      .above(0)
      .doc("Most tokens of a sequence, prompt and answer. Longer prompts are refused, answers end there.");
  s.field("min_out_tokens", &C::min_out_tokens)
      .alias("min_tokens")
      .at_least(0)
      .doc("Prompts that leave no room for so many tokens are refused.");
  s.custom("mp_size", "int", 1, read_mp_size).doc("Deprecated form of tensor_parallel.tp_size.");
}

}  // namespace

const char* weight_type_name(WeightType type) {
  switch (type) {
    case WeightType::kFp32:
      return "fp32";
    case WeightType::kFp16:
      return "fp16";
    case WeightType::kBf16:
      return "bf16";
    case WeightType::kInt8:
      return "int8";
    case WeightType::kFp8:
      return "fp8";
  }
  return "";
}

config::Schema<InferenceConfig> inference_schema() {
  config::Schema<InferenceConfig> s("What deepspeed::init_inference is asked for.");
  s.strict();
  add_own_fields(s);
  config::add_not_yet_rows(*s.table(), rows());
  s.table()->find("moe")->rewrite = [](const Node& node, const Node&, Warnings&) -> std::optional<Json> {
    if (!node.json().is_boolean()) return std::nullopt;
    return Json{{"enabled", node.json()}};
  };
  s.finish([](const Node& root, InferenceConfig& config, Warnings& warnings) {
    DS_CHECK(config.min_out_tokens <= config.max_out_tokens,
             "min_out_tokens is {}, above max_out_tokens, which is {}", config.min_out_tokens,
             config.max_out_tokens);
    if (config.zero.offload_param.device != zero::Home::kDevice && config.zero.stage < 3)
      warnings.push_back("zero.offload_param has no effect below stage 3: weights stay in memory");
    if (root.find("quant") && config.dtype != WeightType::kInt8)
      warnings.push_back(fmt::format("quant has no effect with dtype {} (int8 is what it describes)",
                                     weight_type_name(config.dtype)));
    const TensorParallelConfig& tp = config.tensor_parallel;
    if (tp.check_against_one_rank && !(tp.enabled && tp.tp_size > 1))
      warnings.push_back("tensor_parallel.check_against_one_rank has no effect with one rank");
    DS_CHECK(
        !tp.check_against_one_rank || config.dtype != WeightType::kInt8,
        "tensor_parallel.check_against_one_rank compares with weights that are not quantized, from which "
        "dtype int8 differs by its rounding (check with dtype fp32)");
  });
  return s;
}

InferenceConfig parse_inference_config(std::string_view source, const Json& arguments) {
  DS_CHECK(arguments.is_object(), "arguments of init_inference must be a JSON object");
  config::Document document =
      source.empty() ? config::from_json(Json::object(), "arguments") : config::load(source);
  for (const auto& [key, value] : arguments.items()) {
    if (!document.json.contains(key)) continue;
    DS_CHECK(document.json[key] == value, "conflicting values of '{}': {} in {} and {} as an argument", key,
             document.json[key].dump(), document.name, value.dump());
  }
  if (!arguments.empty()) {
    Json merged = document.json;
    for (const auto& [key, value] : arguments.items()) merged[key] = value;
    // Places in the text belong to its own keys, which come first.
    document.json = std::move(merged);
    document.positions.children.resize(document.json.size());
  }
  return parse_inference_config(document);
}

InferenceConfig parse_inference_config(const config::Document& document) {
  Warnings warnings;
  InferenceConfig config = inference_schema().parse(Node(document), warnings);
  config.warnings = std::move(warnings);
  return config;
}

Json default_inference_config() {
  const std::function<Json(const config::Table&)> defaults = [&](const config::Table& table) {
    Json out = Json::object();
    for (const Field& field : table.fields)
      out[field.key] = field.table && !field.nullable ? defaults(*field.table) : field.initial;
    return out;
  };
  return defaults(*inference_schema().table());
}

}  // namespace deepspeed::inference
