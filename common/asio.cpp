// Boost.Asio's own code: with BOOST_ASIO_SEPARATE_COMPILATION its headers only declare it.
#include <boost/asio/impl/src.hpp>
