#ifndef HOLDFAST_PIECES_H_
#define HOLDFAST_PIECES_H_

#include <cstddef>

namespace holdfast {

// One huge write in a thread can stall for a tenth of a second and more; pieces do not, and let a cancellation in.
constexpr size_t kPiece = 512 * 1024;

}  // namespace holdfast

#endif  // HOLDFAST_PIECES_H_
