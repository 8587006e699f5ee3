#ifndef HOLDFAST_BOUNDS_H_
#define HOLDFAST_BOUNDS_H_

#include <cstddef>

namespace holdfast {

// One huge write in a thread can stall for a tenth of a second and more; pieces do not, and let a cancellation in.
constexpr size_t kPiece = 512 * 1024;

// So many times a step is made that others have spoilt by what they did in between: not for ever, should they go on.
constexpr int kMaxRounds = 100;

}  // namespace holdfast

#endif  // HOLDFAST_BOUNDS_H_
