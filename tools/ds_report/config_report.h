// A configuration file as the library understands it.
#pragma once

#include <string>

namespace deepspeed::report {

/// JSON with every key that is in force, defaults filled in and batch sizes resolved for `world_size`
/// data-parallel ranks; keys of features to come only where the file gives them. Lines that begin with "//"
/// repeat the warnings of parsing. Errors: those of engine::parse_config.
std::string config_report(const std::string& path, int world_size);

}  // namespace deepspeed::report
