// The table of launchers by kernel number. Each instruction set compiles one.
#include "cpu/kernels.h"

namespace specattn {
namespace SPECATTN_ISA {

extern const Launcher kLaunchers[];
const Launcher kLaunchers[] = {
#define KERNEL(name, half) name,
#include "kernels.def"
#undef KERNEL
};

}  // namespace SPECATTN_ISA
}  // namespace specattn
