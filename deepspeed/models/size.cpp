#include "deepspeed/models/size.h"

#include "deepspeed/accel/memory.h"
#include "deepspeed/base/error.h"

namespace deepspeed::models {

double layers_with_experts(const ArchSpec& spec) {
  double count = 0;
  for (int64_t i = 0; i < spec.layers && spec.experts.count > 0; ++i) {
    if (spec.experts.layers.empty()) return static_cast<double>(spec.layers);
    count += spec.has_experts(static_cast<size_t>(i)) ? 1 : 0;
  }
  return count;
}

double approximate_parameters(const ArchSpec& spec) {
  const auto hidden = static_cast<double>(spec.hidden);
  const double embeddings =
      static_cast<double>(spec.vocab) * (spec.tied_embeddings ? 1 : 2) +
      (spec.positions == Positions::kLearned ? static_cast<double>(spec.max_positions) : 0);
  const double attention =
      static_cast<double>(2 * (spec.heads + spec.kv_heads)) * static_cast<double>(spec.head_dim);
  const double matrices = nn::is_gated(spec.activation) ? 3 : 2;
  const Experts& e = spec.experts;
  const double dense = matrices * static_cast<double>(spec.intermediate);
  const double sparse = static_cast<double>(e.count) +
                        matrices * (static_cast<double>(e.count) * static_cast<double>(e.intermediate) +
                                    static_cast<double>(e.shared_intermediate));
  const double sparse_layers = layers_with_experts(spec), layers = static_cast<double>(spec.layers);
  const double decoder = static_cast<double>(spec.decoder_layers) * (2 * attention + dense);
  return hidden * (embeddings + layers * attention + (layers - sparse_layers) * dense +
                   sparse_layers * sparse + decoder);
}

void check_fits_memory(const ArchSpec& spec, double bytes_each, const std::string& where) {
  const double count = approximate_parameters(spec), bytes = count * bytes_each;
  const auto memory = static_cast<double>(accel::physical_memory_bytes());
  DS_CHECK(bytes <= memory,
           "{}: a model of {:.3g} parameters takes {:.3g} GB, this machine has {:.3g} GB of memory", where,
           count, bytes / 1e9, memory / 1e9);
}

}  // namespace deepspeed::models
