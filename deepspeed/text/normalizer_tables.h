// What tokenizers' normalizers and pre-tokenizers take each code point for: generated from the library
// itself, as unicode_tables.h.
#pragma once

#include "deepspeed/text/unicode_tables.h"

namespace deepspeed::text {

extern const CodePointRange kClusterExtendRanges[];  // joins the grapheme cluster before it
extern const size_t kClusterExtendRangeCount;
extern const CodePointRange
    kClusterControlRanges[];  // is a cluster of its own (up to U+FFFF; U+0000 as well)
extern const size_t kClusterControlRangeCount;
extern const CodePointRange kClusterPrependRanges[];  // joins the cluster after it (up to U+FFFF)
extern const size_t kClusterPrependRangeCount;
extern const CodePointRange kMarkRanges[];  // StripAccents leaves them out
extern const size_t kMarkRangeCount;
extern const CodePointRange kNmtRemovedRanges[];  // Nmt leaves them out
extern const size_t kNmtRemovedRangeCount;
extern const CodePointRange kNmtSpaceRanges[];  // Nmt makes them spaces
extern const size_t kNmtSpaceRangeCount;

}  // namespace deepspeed::text
