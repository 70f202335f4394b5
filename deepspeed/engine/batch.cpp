#include "deepspeed/engine/batch.h"

#include "deepspeed/base/error.h"

namespace deepspeed::engine {
namespace {

// More is a slip of the pen; it also keeps products of two counts within 63 bits.
constexpr int64_t kMostSamples = (int64_t{1} << 31) - 1;

int64_t product(int64_t micro, int64_t accumulation, int64_t world) {
  int64_t out = 0;
  bool overflow =
      __builtin_mul_overflow(micro, accumulation, &out) || __builtin_mul_overflow(out, world, &out);
  DS_CHECK(!overflow,
           "batch size too large: train_micro_batch_size_per_gpu {} * gradient_accumulation_steps {} * {} "
           "ranks is more "
           "than 2^63",
           micro, accumulation, world);
  return out;
}

void check_positive(const char* key, const std::optional<int64_t>& value) {
  DS_CHECK(!value || *value > 0, "{} must be > 0, not {}", key, *value);
}

BatchSizes complete(const GivenBatch& given, int64_t world) {
  auto [train, micro, accumulation] = given;
  if (train && micro) return {*train, *micro, accumulation ? *accumulation : *train / *micro / world};
  if (train && accumulation) return {*train, *train / world / *accumulation, *accumulation};
  if (micro && accumulation) return {product(*micro, *accumulation, world), *micro, *accumulation};
  if (train) return {*train, *train / world, 1};
  DS_CHECK(micro, "a batch size is missing: give train_batch_size or train_micro_batch_size_per_gpu{}",
           accumulation ? " beside gradient_accumulation_steps" : "");
  return {product(*micro, 1, world), *micro, 1};
}

}  // namespace

BatchSizes resolve_batch(const GivenBatch& given, int64_t world) {
  DS_CHECK(world >= 1, "the data-parallel world size must be >= 1, not {}", world);
  check_positive("train_batch_size", given.train);
  check_positive("train_micro_batch_size_per_gpu", given.micro);
  check_positive("gradient_accumulation_steps", given.accumulation);
  BatchSizes sizes = complete(given, world);
  bool even = sizes.micro > 0 && sizes.accumulation > 0 &&
              product(sizes.micro, sizes.accumulation, world) == sizes.train;
  DS_CHECK(even,
           "batch sizes do not agree: train_batch_size {} != train_micro_batch_size_per_gpu {}{} * "
           "gradient_accumulation_steps {}{} * {} ranks ({} != {} * {} * {}); change one of them or the "
           "number of ranks",
           sizes.train, sizes.micro, given.micro ? "" : " (computed)", sizes.accumulation,
           given.accumulation ? "" : " (computed)", world, sizes.train, sizes.micro, sizes.accumulation,
           world);
  DS_CHECK(sizes.train <= kMostSamples,
           "train_batch_size {}{}: a step of more than {} samples would never end", sizes.train,
           given.train ? "" : " (computed)", kMostSamples);
  return sizes;
}

}  // namespace deepspeed::engine
