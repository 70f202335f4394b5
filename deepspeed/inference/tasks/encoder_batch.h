// Texts as encoders take them.
#pragma once

#include <span>
#include <vector>

#include "deepspeed/models/encoder.h"
#include "deepspeed/text/encoding.h"

namespace deepspeed::inference {

/// The rows as one batch on the device, padded at their ends. Error for rows longer than the model's
/// positions.
models::EncoderInput encoder_batch(std::span<const text::Encoding* const> rows, const models::ArchSpec& spec,
                                   at::Device device);
models::EncoderInput encoder_batch(const text::Encoding& row, const models::ArchSpec& spec,
                                   at::Device device);

/// What a model gives, contiguous fp32 on the CPU, where answers are made of it.
inline at::Tensor to_host(const at::Tensor& t) { return t.to(at::kCPU, at::kFloat).contiguous(); }

/// softmax(scores) in fp32, as numpy computes it for a pipeline's answers.
std::vector<float> softmax(std::span<const float> scores);

/// How a result names class `id`: by the model, else "LABEL_<id>".
std::string label_name(const models::ArchSpec& spec, size_t id);

}  // namespace deepspeed::inference
