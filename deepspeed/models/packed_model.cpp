#include "deepspeed/models/packed_model.h"

#include "deepspeed/models/vocabulary_head.h"

namespace deepspeed::models {

nn::PackedLinears pack_heads(torch::nn::Module& model, const PackModelOptions& options) {
  nn::PackedLinears done;
  if (!options.head) return done;
  for (const auto& [name, block] : nn::blocks_of(model)) {
    auto* head = dynamic_cast<VocabularyHead*>(block);
    if (head == nullptr || head->packed() != nullptr || (options.linears.keep && options.linears.keep(name)))
      continue;
    const std::vector<nn::TorchLayer> layers = head->torch_layers();
    for (const at::Tensor& t : layers.at(0).parameters) done.dense_bytes += static_cast<int64_t>(t.nbytes());
    head->pack(*options.head);
    done.packed_bytes += head->packed()->bytes();
    ++done.products;
  }
  return done;
}

nn::PackedLinears pack_model(torch::nn::Module& model, const PackModelOptions& options) {
  nn::PackedLinears done = nn::pack_linears(model, options.linears);
  const nn::PackedLinears heads = pack_heads(model, options);
  done.products += heads.products;
  done.dense_bytes += heads.dense_bytes;
  done.packed_bytes += heads.packed_bytes;
  return done;
}

}  // namespace deepspeed::models
