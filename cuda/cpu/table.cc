// The launchers by number, one table an instruction set.
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
