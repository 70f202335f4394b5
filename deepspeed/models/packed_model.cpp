#include "deepspeed/models/packed_model.h"

#include "deepspeed/base/error.h"

namespace deepspeed::models {
namespace {

ops::PackedWeight packed_table(torch::nn::Module& model, const VocabularyHead& head,
                               const PackModelOptions& options) {
  const std::vector<nn::ParameterSpec> specs = nn::list_parameters(model);
  const auto spec_of = [&](const at::Tensor& parameter) -> const nn::ParameterSpec& {
    for (const auto& spec : specs)
      if (spec.tensor.is_same(parameter)) return spec;
    base::fail("the vocabulary head multiplies by what is no parameter of the model");
  };
  const nn::ParameterSource* source = options.linears.source;
  const auto in_memory = [&](const at::Tensor& parameter) {
    if (nn::is_materialized(parameter)) return parameter.detach();
    DS_CHECK(source != nullptr, "the vocabulary head cannot be packed: '{}' has no memory yet",
             spec_of(parameter).name);
    return nn::whole_from(*source, spec_of(parameter));
  };
  std::optional<at::Tensor> bias;
  if (head.bias()) bias = in_memory(*head.bias());
  const at::Tensor& weight = head.weight();
  if (nn::is_materialized(weight) || source == nullptr)
    return ops::PackedWeight::pack(in_memory(weight), *options.head, ops::WeightOrder::kOutIn, bias);
  return ops::PackedWeight::pack(weight.size(0), weight.size(1), nn::rows_from(*source, spec_of(weight)),
                                 *options.head, bias);
}

}  // namespace

void pack_head(torch::nn::Module& model, VocabularyHead& head, const PackModelOptions& options) {
  const at::Tensor table = head.weight();
  head.pack(packed_table(model, head, options).to(options.linears.device));
  for (const auto& [name, block] : nn::blocks_of(model))
    if (auto* embedding = dynamic_cast<nn::Embedding*>(block);
        embedding != nullptr && embedding->weight().is_same(table))
      embedding->replace_table(
          [packed = *head.packed(), type = options.embedding_type](const at::Tensor&, const at::Tensor& ids) {
            return packed.rows(ids, type);
          });
}

nn::PackedLinears pack_model(torch::nn::Module& model, const PackModelOptions& options) {
  nn::PackedLinears done = nn::pack_linears(model, options.linears);
  if (!options.head) return done;
  for (const auto& [name, block] : nn::blocks_of(model)) {
    auto* head = dynamic_cast<VocabularyHead*>(block);
    if (head == nullptr || head->packed() != nullptr || (options.linears.keep && options.linears.keep(name)))
      continue;
    const std::vector<nn::TorchLayer> layers = head->torch_layers();
    for (const at::Tensor& t : layers.at(0).parameters) done.dense_bytes += static_cast<int64_t>(t.nbytes());
    pack_head(model, *head, options);
    done.packed_bytes += head->packed()->bytes();
    ++done.products;
  }
  return done;
}

}  // namespace deepspeed::models
