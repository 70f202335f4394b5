// How large a model a config.json describes, before anything of it is built.
#pragma once

#include <string>

#include "deepspeed/models/arch_spec.h"

namespace deepspeed::models {

/// Elements of all matrices of the model (biases and norms left out), as a floating-point number: a
/// config.json may describe more than any integer holds.
double approximate_parameters(const ArchSpec& spec);

/// How many layers have experts in place of a dense MLP.
double layers_with_experts(const ArchSpec& spec);

/// base::Error naming `where` (the config.json) and both sizes unless the parameters alone, of `bytes_each`
/// bytes, fit into this machine's memory.
void check_fits_memory(const ArchSpec& spec, double bytes_each, const std::string& where);

}  // namespace deepspeed::models
