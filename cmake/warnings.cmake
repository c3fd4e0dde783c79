# The warnings every target of ours is built with, and how it is linked.
add_compile_options(-Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wsign-conversion -Wnon-virtual-dtor
                    -Woverloaded-virtual -Wold-style-cast -fno-omit-frame-pointer)
# GCC 12 warns of overlapping copies inside std::string's operator+ (GCC bug 105651)
add_compile_options($<$<CXX_COMPILER_ID:GNU>:-Wno-restrict>)
if(QUERN_WERROR)
  add_compile_options(-Werror)
endif()
if(QUERN_SANITIZE)
  add_compile_options(-fsanitize=${QUERN_SANITIZE} -fno-sanitize-recover=all)
  # GCC 12 takes the frames of Asio's coroutines for freed by the wrong function (GCC bug 109224)
  add_compile_options($<$<CXX_COMPILER_ID:GNU>:-Wno-mismatched-new-delete>)
  # and instrumented code for reading what was never written (its manual says so)
  add_compile_options($<$<CXX_COMPILER_ID:GNU>:-Wno-maybe-uninitialized>)
  add_link_options(-fsanitize=${QUERN_SANITIZE})
endif()
if(QUERN_SANITIZE MATCHES thread)
  # ThreadSanitizer can't follow bare fences. Asio's guard nothing that its own mutexes don't; in our
  # code GCC refuses them (-Wtsan).
  add_compile_definitions(BOOST_ASIO_DISABLE_FENCED_BLOCK)
endif()
# Symbols are bound before main(), and what was bound is read-only from then on: a worker's memory is its input's to
# overwrite, and a fresh one should not look up a name in the middle of its first job.
add_link_options(LINKER:-z,relro,-z,now)
