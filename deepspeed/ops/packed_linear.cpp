#include "deepspeed/ops/packed_linear.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include "deepspeed/base/cpu_features.h"
#include "deepspeed/base/error.h"
#include "deepspeed/ops/kernels.h"
#include "deepspeed/ops/packed_device.h"
#include "deepspeed/ops/packed_paths.h"
#include "deepspeed/ops/parallel.h"
#include "deepspeed/ops/scratch.h"

namespace deepspeed::ops {
namespace {

using cpu::PackedProduct;

constexpr int64_t kRowsAtOnce = 32;  // of a tile product

int64_t filled_up(int64_t n, int64_t to) { return (n + to - 1) / to * to; }

at::Tensor bytes(int64_t count) { return at::empty({count}, at::kByte); }

struct Rows {
  cpu::Element element;
  const void* data;
  int64_t count, stride;
};

// Rows of numbers, or of words as large as fp32, that PackedKernels::widen lays side by side.
struct ToLayOut {
  Rows rows;
  int64_t in;
  bool round;
};

// x in the form that the path multiplies, and what keeps it alive.
struct Prepared {
  at::Tensor first, second, third;
  std::optional<ToLayOut> to_lay_out{};  // into PackedProduct::x, which is still to be set
};

// Rows of x that one thread takes at least.
constexpr int64_t kGrainNumbers = 16384;

template <class Body>
void for_rows(const Rows& x, int64_t in, Body&& body) {
  parallel_ranges(x.count, std::max<int64_t>(1, kGrainNumbers / in), body);
}

Prepared wide(const PackedPath&, const Rows& x, PackedProduct& p) {
  const PackedFormat& f = p.format;
  const bool fp32 = f.scheme == PackedScheme::kFp32;
  if (fp32 && x.element == cpu::Element::kFp32 && x.count == 1 && f.in % 2 == 0) {
    p.x = static_cast<const float*>(x.data);
    return {};
  }
  p.x_stride = f.padded_in();
  return {.to_lay_out = ToLayOut{x, f.in, !fp32}};
}

// Rows of bf16, filled up with zeros, in room for a multiple of `step`.
at::Tensor rounded(const PackedPath& path, const Rows& x, const PackedFormat& f, int64_t step) {
  at::Tensor made = at::empty({filled_up(x.count, step), f.padded_in()}, at::kBFloat16);
  auto* to = static_cast<uint16_t*>(made.data_ptr());
  for_rows(x, f.in, [&](int64_t begin, int64_t end) {
    path.kernels->narrow(x.element, x.data, x.stride, f.in, to, f.padded_in(), begin, end);
  });
  return made;
}

Prepared narrow(const PackedPath& path, const Rows& x, PackedProduct& p) {
  const PackedFormat& f = p.format;
  if (x.element == cpu::Element::kBf16 && x.count % kRowsAtOnce == 0 && f.in % 32 == 0) {
    p.x_bf16 = static_cast<const uint16_t*>(x.data);
    p.x_stride = x.stride;
    return {};
  }
  p.x_stride = f.padded_in();
  Prepared made{rounded(path, x, f, kRowsAtOnce), {}, {}};
  p.x_bf16 = static_cast<const uint16_t*>(made.first.const_data_ptr());
  return made;
}

// Two numbers of bf16 are one word, moved as fp32 is.
Prepared pair(const PackedPath& path, const Rows& x, PackedProduct& p) {
  const PackedFormat& f = p.format;
  p.x_stride = f.padded_in() / 2;
  const bool whole_words = x.element == cpu::Element::kBf16 && f.in % 2 == 0 && x.stride % 2 == 0 &&
                           reinterpret_cast<uintptr_t>(x.data) % sizeof(float) == 0;
  if (whole_words && x.count == 1) {
    p.x = static_cast<const float*>(x.data);
    return {};
  }
  const at::Tensor own = whole_words ? at::Tensor() : rounded(path, x, f, 1);
  const Rows words{cpu::Element::kFp32, whole_words ? x.data : own.const_data_ptr(), x.count,
                   whole_words ? x.stride / 2 : p.x_stride};
  return {.first = own, .to_lay_out = ToLayOut{words, (f.in + 1) / 2, false}};
}

Prepared code(const PackedPath& path, const Rows& x, PackedProduct& p) {
  const PackedFormat& f = p.format;
  const int64_t rows = filled_up(x.count, path.kind == PackedPath::kInt8Tiles ? kRowsAtOnce : 1);
  Prepared made{bytes(rows * path.kernels->words(f) * 4), bytes(x.count * f.x_groups() * 4),
                bytes(x.count * f.x_groups() * 4)};
  p.coded = {static_cast<int32_t*>(made.first.data_ptr()), static_cast<float*>(made.second.data_ptr()),
             static_cast<int32_t*>(made.third.data_ptr())};
  for_rows(x, f.in, [&](int64_t begin, int64_t end) {
    path.kernels->code(f, x.element, x.data, x.stride, p.coded, begin, end);
  });
  p.x_bytes = static_cast<const uint8_t*>(made.first.const_data_ptr());
  if (path.kind == PackedPath::kInt8Tiles) p.x_stride = f.padded_in();
  return made;
}

// Rows that are multiplied by all panels before the next ones are looked at. x's stay in the second cache
// with the result's, of which each panel writes a little; a weight that is decoded for every chunk wants
// many.
int64_t chunk_of(const PackedPath& path, const PackedFormat& f, int64_t step) {
  constexpr int64_t kBytes = 448 << 10, kDecodedBytes = 768 << 10;
  const bool decodes = path.kind == PackedPath::kBf16Tiles && cpu::packed_amx_scratch(f) > 0;
  if (path.tiles() && !decodes) return 8 * kRowsAtOnce;
  const int64_t number = path.kind == PackedPath::kBf16Pairs ? 2 : 4;
  const int64_t rows = decodes ? kDecodedBytes / (2 * f.padded_in()) : kBytes / (number * f.padded_in());
  return std::max<int64_t>(96, rows / step * step);  // a multiple of either step
}

const char* row_of(const void* base, int64_t row, int64_t stride, cpu::Element element) {
  return static_cast<const char*>(base) + row * stride * (element == cpu::Element::kFp32 ? 4 : 2);
}

// Blocks [begin, end) of x's rows.
void lay_out(const PackedPath& path, const ToLayOut& x, int64_t width, float* to, int64_t begin,
             int64_t end) {
  path.kernels->widen(x.rows.element, x.rows.data, x.rows.stride, x.rows.count, x.in, x.round, to, width,
                      begin, end);
}

int64_t blocks_of(const PackedPath& path, const ToLayOut& x) {
  return (x.rows.count + path.kernels->rows_at_once - 1) / path.kernels->rows_at_once;
}

// All of x's rows, on all threads.
at::Tensor laid_out(const PackedPath& path, const ToLayOut& x, int64_t width) {
  at::Tensor made = at::empty({x.rows.count, width}, at::kFloat);
  float* to = made.data_ptr<float>();
  const int64_t grain = std::max<int64_t>(1, kGrainNumbers / (x.in * path.kernels->rows_at_once));
  parallel_ranges(blocks_of(path, x), grain,
                  [&](int64_t begin, int64_t end) { lay_out(path, x, width, to, begin, end); });
  return made;
}

ToLayOut part_of(ToLayOut x, int64_t row, int64_t count) {
  x.rows.data = row_of(x.rows.data, row, x.rows.stride, x.rows.element);
  x.rows.count = count;
  return x;
}

// The product of `count` rows from `row` on, x's laid out in `x`.
PackedProduct part_of(const PackedProduct& p, int64_t row, int64_t count, const float* x) {
  PackedProduct part = p;
  part.x = x;
  part.rows = count;
  if (p.residual != nullptr) part.residual = row_of(p.residual, row, p.residual_stride, p.element);
  part.out = const_cast<char*>(row_of(p.out, row, p.out_stride, p.element));
  return part;
}

void multiply_rows(const PackedPath& path, const PackedProduct& p, int64_t first, int64_t last, int64_t row,
                   int64_t row_end) {
  switch (path.kind) {
    case PackedPath::kRows:
      return path.kernels->multiply(p, first, last, row, row_end);
    case PackedPath::kBf16Pairs:
      return cpu::packed_bf16_pairs(p, first, last, row, row_end);
    case PackedPath::kBf16Tiles: {
      const int64_t scratch = cpu::packed_amx_scratch(p.format);
      return cpu::packed_bf16_amx(p, first, last, row, row_end,
                                  scratch > 0 ? thread_scratch(scratch) : nullptr);
    }
    case PackedPath::kInt8Tiles:
      return cpu::packed_int8_amx(p, first, last, row, row_end);
  }
}

void multiply(const PackedPath& path, const Prepared& x, PackedProduct& p) {
  constexpr int64_t kItemsPerThread = 3, kStepsPerThread = 8;
  constexpr int64_t kGrainBytes = 32768;  // starting a team takes as long as reading this much
  const PackedFormat& f = p.format;
  const int64_t pairs = f.panels() / 2, threads = at::get_num_threads();
  const int64_t step = path.tiles() ? kRowsAtOnce : cpu::kPackedRowStep;
  int64_t chunk = chunk_of(path, f, step);
  if (p.rows < 2 * chunk) chunk = filled_up(p.rows, step);  // threads share the panels alone
  const int64_t wanted = kItemsPerThread * threads;
  if (pairs < wanted) chunk = std::min(chunk, filled_up(p.rows * pairs / wanted + 1, step));
  // Where threads have chunks of their own (the last may be shared) each lays rows out itself, in its cache.
  const bool by_chunks = x.to_lay_out && p.rows > threads * chunk;
  at::Tensor all;
  if (x.to_lay_out && !by_chunks) {
    all = laid_out(path, *x.to_lay_out, p.x_stride);
    p.x = all.const_data_ptr<float>();
  }
  // Chunk by chunk, and pair by pair in each; a place is counted in rows times pairs, so that threads get as
  // much of them where the last chunk is short.
  const auto place = [&](int64_t at) {
    const int64_t c = at / (chunk * pairs), rows = std::min(chunk, p.rows - c * chunk);
    return std::pair(c, rows > 0 ? (at - c * chunk * pairs) / rows : 0);
  };
  const int64_t work = 2 * f.panel_bytes() * (1 + std::min(p.rows, chunk) / 4);
  const int64_t grain = std::max<int64_t>(1, kGrainBytes / work) * std::min(p.rows, chunk);
  const int64_t step_places = std::max(grain, pairs * p.rows / (kStepsPerThread * threads) + 1);
  // The chunk in each thread's scratch.
  std::vector<int64_t> laid(static_cast<size_t>(by_chunks ? threads : 0), -1);
  parallel_steps(pairs * p.rows, grain, step_places, [&](int64_t thread, int64_t begin, int64_t end) {
    auto [c, first] = place(begin);
    const auto [last_chunk, last_pair] = place(end);
    for (; c <= last_chunk; ++c, first = 0) {
      const int64_t last = c == last_chunk ? last_pair : pairs;
      if (first >= last) continue;
      const int64_t row = c * chunk, row_end = std::min(p.rows, row + chunk);
      if (by_chunks) {
        auto* scratch = static_cast<float*>(thread_scratch(chunk * p.x_stride * 4));
        if (std::exchange(laid[static_cast<size_t>(thread)], c) != c) {
          const ToLayOut own = part_of(*x.to_lay_out, row, row_end - row);
          lay_out(path, own, p.x_stride, scratch, 0, blocks_of(path, own));
        }
        multiply_rows(path, part_of(p, row, row_end - row, scratch), first, last, 0, row_end - row);
      } else {
        multiply_rows(path, p, first, last, row, row_end);
      }
    }
  });
}

void check(const at::Tensor& x, const PackedWeight& weight, const PackedEpilogue& epilogue,
           at::IntArrayRef shape) {
  DS_CHECK(!wants_grad({x, epilogue.residual}),
           "packed_linear: packed weights have no gradients; run under a no-gradient guard");
  const bool on_gpu = !weight.device().is_cpu();
  DS_CHECK(
      x.device() == weight.device() && (x.scalar_type() == at::kFloat || x.scalar_type() == at::kBFloat16 ||
                                        (on_gpu && x.scalar_type() == at::kHalf)),
      "packed_linear: x is {} on {}; want float{} bfloat16 on {}", c10::toString(x.scalar_type()),
      x.device().str(), on_gpu ? ", half or" : " or", weight.device().str());
  DS_CHECK(x.dim() > 0 && x.size(-1) == weight.format().in,
           "packed_linear: a weight of {} inputs was given x of [{}]", weight.format().in,
           fmt::join(x.sizes(), ", "));
  DS_CHECK(!weight.format().gated || epilogue.activation != PackedActivation::kNone,
           "packed_linear: a gated weight needs an activation");
  const at::Tensor& r = epilogue.residual;
  DS_CHECK(
      !r.defined() || (r.device() == x.device() && r.scalar_type() == x.scalar_type() && r.sizes() == shape),
      "packed_linear: the residual must be where x is, of its type and of [{}]", fmt::join(shape, ", "));
}

}  // namespace

at::Tensor packed_linear_by(const PackedPath& path, const at::Tensor& x, const PackedWeight& weight,
                            const PackedEpilogue& epilogue) {
  DS_CHECK(x.defined(), "packed_linear: x is undefined");
  auto shape = x.sizes().vec();
  if (!shape.empty()) shape.back() = weight.width();
  check(x, weight, epilogue, shape);
  const PackedFormat& f = weight.format();
  const at::Tensor out = at::empty(shape, x.options().requires_grad(false));
  at::Tensor rows = x.dim() == 2 ? x : x.reshape({-1, f.in});
  if (rows.stride(1) != 1 && f.in > 1) rows = rows.contiguous();
  const at::Tensor residual = epilogue.residual.defined() ? epilogue.residual.contiguous() : at::Tensor();
  PackedProduct p;
  p.format = f;
  p.codes = weight.packed().const_data_ptr<uint8_t>();
  if (f.quantized()) p.scales = static_cast<const uint16_t*>(weight.packed_scales().const_data_ptr());
  if (weight.packed_bias().defined()) p.bias = weight.packed_bias().const_data_ptr<float>();
  p.rows = rows.size(0);
  if (p.rows == 0) return out;
  p.activation = epilogue.activation;
  p.element = checked_element("packed_linear", "x", x);
  if (residual.defined()) p.residual = residual.const_data_ptr();
  p.out = out.data_ptr();
  p.residual_stride = p.out_stride = weight.width();
  const Rows from{p.element, rows.const_data_ptr(), p.rows, rows.stride(0)};
  const auto prepare = path.kind == PackedPath::kBf16Tiles   ? narrow
                       : path.kind == PackedPath::kBf16Pairs ? pair
                       : f.quantized()                       ? code
                                                             : wide;
  const Prepared made = prepare(path, from, p);
  multiply(path, made, p);
  return out;
}

at::Tensor packed_linear(const at::Tensor& x, const PackedWeight& weight, const PackedEpilogue& epilogue) {
  DS_CHECK(x.defined() && x.dim() > 0, "packed_linear: x must have at least one dimension");
  if (!weight.device().is_cpu()) {
    auto shape = x.sizes().vec();
    shape.back() = weight.width();
    check(x, weight, epilogue, shape);
    return packed_linear_on_device(x, weight, epilogue);
  }
  const int64_t rows = x.numel() / std::max<int64_t>(1, x.size(-1));
  return packed_linear_by(packed_path(weight.format(), rows), x, weight, epilogue);
}

}  // namespace deepspeed::ops
