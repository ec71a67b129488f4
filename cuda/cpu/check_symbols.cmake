# Fails if an object file of one instruction set defines a weak symbol, since the linker would keep one copy for all instruction
# sets (see simd.h).
#   cmake -DNM=nm -DOBJECTS=a.o|b.o -P check_symbols.cmake
string(REPLACE "|" ";" OBJECTS "${OBJECTS}")
foreach(object ${OBJECTS})
  execute_process(COMMAND "${NM}" --defined-only "${object}" OUTPUT_VARIABLE symbols ERROR_QUIET RESULT_VARIABLE status)
  if(status EQUAL 0 AND symbols MATCHES " [WVu] ([^\n]+)")
    message(FATAL_ERROR "${object} defines the weak symbol ${CMAKE_MATCH_1}: kernels must have internal linkage")
  endif()
endforeach()
