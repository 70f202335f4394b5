// parity_logits_of FOLDER OUT.safetensors: what our decoder gives for a Hugging Face folder, for
// export_check.py to compare with transformers. Writes input_ids [2, T] (I64), drawn from the whole
// vocabulary, and logits [2, T, V] (F32).
#include <ATen/ATen.h>

#include <cstdio>

#include "deepspeed/base/error.h"
#include "deepspeed/formats/safetensors.h"
#include "deepspeed/models/decoder.h"
#include "deepspeed/models/weights.h"
#include "deepspeed/nn/materializer.h"

namespace deepspeed {
namespace {

constexpr int64_t kLongest = 256;

formats::TensorView view(const std::string& name, formats::Dtype dtype, const at::Tensor& t) {
  return {name, dtype, t.sizes().vec(), {static_cast<const std::byte*>(t.data_ptr()), t.nbytes()}};
}

void write_logits(const std::filesystem::path& folder, const std::filesystem::path& out) {
  const at::NoGradGuard no_grad;
  const auto spec = models::read_arch_spec(folder / "config.json");
  models::Decoder model(spec, nullptr);
  const auto parameters = nn::list_parameters(model);
  const models::WeightSource weights(formats::ModelFiles::open(folder), spec);
  weights.check(parameters);
  nn::DenseMaterializer().materialize(parameters, weights);
  model.eval();
  const int64_t length = std::min(spec.max_positions, kLongest);
  const at::Tensor ids =
      at::arange(2 * length, at::kLong).mul_(7919).remainder_(spec.vocab).view({2, length});
  const at::Tensor logits = model.logits(ids).contiguous();
  formats::write_safetensors(
      out, {view("input_ids", formats::Dtype::kI64, ids), view("logits", formats::Dtype::kF32, logits)});
}

}  // namespace
}  // namespace deepspeed

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(stderr, "usage: parity_logits_of FOLDER OUT.safetensors\n");
    return 2;
  }
  try {
    deepspeed::write_logits(argv[1], argv[2]);
  } catch (const std::exception& e) {
    std::fprintf(stderr, "parity_logits_of: %s\n", e.what());
    return 1;
  }
}
