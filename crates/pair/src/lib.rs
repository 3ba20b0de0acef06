//! The pair protocol: a pure engine, arbiters, and a driver with threads and sockets.
