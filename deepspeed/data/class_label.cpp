#include "deepspeed/data/class_label.h"

#include <algorithm>

#include "deepspeed/base/error.h"
#include "deepspeed/text/utf8.h"

namespace deepspeed::data {

int64_t class_of(const text::Label& label, int64_t classes, const std::vector<std::string>& names,
                 const std::string& where) {
  if (const auto* name = std::get_if<std::string>(&label)) {
    const auto found = std::find(names.begin(), names.end(), *name);
    DS_CHECK(found != names.end(), "{}: label {} is none of the model's classes (id2label in config.json)",
             where, text::quote(*name));
    return found - names.begin();
  }
  const auto* id = std::get_if<int64_t>(&label);
  DS_CHECK(id != nullptr, "{}: label {:#.3g} is a fraction; write a class as a whole number or by its name",
           where, std::get<double>(label));
  DS_CHECK(*id >= 0 && *id < classes,
           "{}: label {} is none of the model's {} classes (id2label in config.json)", where, *id, classes);
  return *id;
}

}  // namespace deepspeed::data
