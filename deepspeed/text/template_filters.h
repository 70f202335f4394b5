// What the files of filters share.
#pragma once

#include <map>
#include <string>
#include <string_view>

#include "deepspeed/text/template_renderer.h"

namespace deepspeed::text {

using TemplateFilter = TemplateValue (*)(TemplateRenderer&, const TemplateValue&,
                                         const TemplateCallArguments&);

/// Filters of texts and numbers by their names.
const std::map<std::string_view, TemplateFilter>& scalar_template_filters();

/// An argument as a truth value, as a whole number (Error where it is none), or what it is when absent.
bool template_flag(const TemplateCallArguments& arguments, size_t place, std::string_view name,
                   bool otherwise);
int64_t template_whole(const TemplateCallArguments& arguments, size_t place, std::string_view name,
                       int64_t otherwise);
/// A value as text, counted against the renderer's limits.
std::string template_text(TemplateRenderer& renderer, const TemplateValue& value);

}  // namespace deepspeed::text
