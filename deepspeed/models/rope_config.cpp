#include "deepspeed/models/rope_config.h"

#include <cmath>

#include "deepspeed/base/error.h"

namespace deepspeed::models {
namespace {

// One rope_scaling or rope_parameters of a configuration.
class Reader {
 public:
  Reader(const ConfigReader& config, const ConfigReader& parameters, std::string key, const RopeKeys& keys,
         ArchSpec& spec)
      : config_(config), parameters_(parameters), key_(std::move(key)), keys_(keys), spec_(spec) {}

  void read() {
    Rope& rope = spec_.rope;
    rope.theta = positive("rope_theta", rope.theta);
    if (keys_.partial != nullptr) turn(parameters_.number("partial_rotary_factor", partial_));
    // "type" is how it was spelled first.
    std::string type = parameters_.text("rope_type", parameters_.text("type", "default"));
    if (keys_.yarn_means_longrope && (type == "yarn" || type == "su")) type = "longrope";
    if (type == "default") return;
    if (type == "linear") return read_linear();
    if (type == "dynamic") return read_dynamic();
    if (type == "yarn") return read_yarn();
    if (type == "llama3") return read_llama3();
    if (type == "longrope") return read_longrope();
    base::fail(
        "{}: '{}' of type \"{}\" is not available yet (default, linear, dynamic, yarn, llama3, longrope)",
        config_.where(), key_, formats::shown(type));
  }

  void turn(double partial) {
    partial_ = partial;
    spec_.rope.dim = static_cast<int64_t>(static_cast<double>(spec_.head_dim) * partial);
  }

 private:
  double positive(const char* name, std::optional<double> fallback = std::nullopt) const {
    DS_CHECK(fallback || parameters_.present(name), "{}: '{}.{}' is missing", config_.where(), key_, name);
    const double value = parameters_.number(name, fallback.value_or(0));
    DS_CHECK(value > 0 && std::isfinite(value), "{}: '{}.{}' is {}; it must be positive", config_.where(),
             key_, name, value);
    return value;
  }

  std::vector<double> divisors(const char* name) const {
    const auto wanted = static_cast<size_t>(spec_.rope.dim / 2);
    const auto* list = parameters_.present(name) ? &parameters_.at(name) : nullptr;
    DS_CHECK(list != nullptr && list->is_array() && list->size() == wanted,
             "{}: '{}.{}' must be a list of {} numbers, one a pair of a head's elements", config_.where(),
             key_, name, wanted);
    std::vector<double> numbers;
    for (const auto& entry : *list) {
      DS_CHECK(entry.is_number() && entry.get<double>() > 0,
               "{}: '{}.{}' holds {}; all must be positive numbers", config_.where(), key_, name,
               shown(entry));
      numbers.push_back(entry.get<double>());
    }
    return numbers;
  }

  // config.json's own key comes first, as in transformers.
  int64_t original_positions() const {
    const char* name = "original_max_position_embeddings";
    if (keys_.original_positions > 0) return config_.size(name, keys_.original_positions);
    return config_.present(name) ? config_.size(name) : parameters_.size(name, spec_.max_positions);
  }

  double factor_or_ratio() const {
    if (parameters_.present("factor")) return positive("factor");
    return static_cast<double>(spec_.max_positions) / static_cast<double>(spec_.rope.original_positions);
  }

  void read_linear() {
    spec_.rope.stretch = RopeStretch::kLinear;
    spec_.rope.factor = positive("factor");
  }

  void read_dynamic() {
    spec_.rope.stretch = RopeStretch::kDynamic;
    spec_.rope.factor = positive("factor");
    spec_.rope.original_positions = spec_.max_positions;
    spec_.max_positions =
        static_cast<int64_t>(static_cast<double>(spec_.max_positions) * std::max(1.0, spec_.rope.factor));
  }

  void read_yarn() {
    Rope& rope = spec_.rope;
    rope.stretch = RopeStretch::kYarn;
    rope.original_positions = original_positions();
    rope.factor = factor_or_ratio();
    const auto growth = [&](double scale) {
      return rope.factor <= 1 ? 1 : 0.1 * scale * std::log(rope.factor) + 1;
    };
    const double scale = parameters_.number("mscale", 0), all = parameters_.number("mscale_all_dim", 0);
    rope.amplitude =
        positive("attention_factor", scale != 0 && all != 0 ? growth(scale) / growth(all) : growth(1));
    rope.fast_turns = positive("beta_fast", 32);
    rope.slow_turns = positive("beta_slow", 1);
    rope.whole_pairs = parameters_.flag("truncate", true);
  }

  void read_llama3() {
    Rope& rope = spec_.rope;
    rope.stretch = RopeStretch::kLlama3;
    rope.original_positions = original_positions();
    rope.factor = positive("factor");
    rope.low_frequency = positive("low_freq_factor");
    rope.high_frequency = positive("high_freq_factor");
    DS_CHECK(rope.low_frequency < rope.high_frequency,
             "{}: '{}.high_freq_factor' must be larger than low_freq_factor", config_.where(), key_);
  }

  void read_longrope() {
    Rope& rope = spec_.rope;
    rope.stretch = RopeStretch::kLongrope;
    rope.original_positions = original_positions();
    rope.factor = factor_or_ratio();
    rope.short_factors = divisors("short_factor");
    rope.long_factors = divisors("long_factor");
    const double grown =
        std::sqrt(1 + std::log(rope.factor) / std::log(static_cast<double>(rope.original_positions)));
    rope.amplitude = positive("attention_factor", rope.factor <= 1 ? 1 : grown);
  }

  const ConfigReader& config_;
  const ConfigReader& parameters_;
  std::string key_;
  const RopeKeys& keys_;
  ArchSpec& spec_;
  double partial_ = 1;
};

}  // namespace

void read_rope_parameters(const ConfigReader& config, const ConfigReader& parameters, const std::string& key,
                          const RopeKeys& keys, ArchSpec& spec) {
  spec.rope.theta = config.number(keys.theta, keys.default_theta);
  Reader reader(config, parameters, key, keys, spec);
  reader.turn(keys.partial == nullptr ? 1 : config.number(keys.partial, keys.default_partial));
  reader.read();
}

void read_rope(const ConfigReader& config, const RopeKeys& keys, ArchSpec& spec) {
  const auto filled = [&](const char* key) { return config.present(key) && !config.at(key).empty(); };
  static const nlohmann::json kNothing = nlohmann::json::object();
  const char* key = filled("rope_scaling") ? "rope_scaling" : "rope_parameters";
  const nlohmann::json& object = filled(key) ? config.at(key) : kNothing;
  DS_CHECK(object.is_object(), "{}: '{}' must be an object", config.where(), key);
  read_rope_parameters(config, ConfigReader(object, config.where()), key, keys, spec);
}

}  // namespace deepspeed::models
