// How a Hugging Face tensor holds parameters of ours: pure functions from rows (of the first dimension) of
// ours to rows of the file's, used slice by slice when loading and whole when exporting.
#pragma once

#include <cstdint>
#include <vector>

namespace deepspeed::models {

enum class RowOrder {
  kSame,        // the file's tensor is ours
  kFirstHalf,   // ours is the first half of the file's rows (gate_up_proj holds gate, then up)
  kSecondHalf,  // ours is the second half
  kByHead,  // ours: all heads' queries, keys, values; the file's: every key-value head's queries, key, value
  kExpertOfAll,  // ours is one expert's; the file's tensor has a dimension more, and holds those of all
                 // experts
  kNeighbours,   // what rotary positions turn together, rows i and i + dim / 2 of a head of ours, are the
                 // file's rows 2 i and 2 i + 1 (llama.cpp's order)
};

struct HeadCounts {
  int64_t heads, kv_heads;
  int64_t dim = 0;  // rows of a head; needed for kNeighbours
};

/// Elements that lie one after the other in both: `count` from `ours` in our flattened parameter stand at
/// `file` in the file's flattened tensor.
struct Run {
  int64_t ours, file, count;
};

/// Rows of the file's tensor that holds our parameter of `rows` rows; with kExpertOfAll, of an expert.
int64_t file_rows(RowOrder order, int64_t rows);
/// The file's row that holds row `row` of our `rows`; with kExpertOfAll, within the expert's. With kByHead
/// `rows` must be a multiple of heads + 2 kv_heads.
int64_t file_row(RowOrder order, int64_t row, int64_t rows, HeadCounts heads);
/// Where elements [begin, begin + count) of our parameter, `rows` rows of `width` elements, stand: the fewest
/// runs, in our order.
std::vector<Run> file_runs(RowOrder order, int64_t rows, int64_t width, HeadCounts heads, int64_t begin,
                           int64_t count);

}  // namespace deepspeed::models
