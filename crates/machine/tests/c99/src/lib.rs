//! The types of `stdint.h` that softfloat-sys names, as the C library of x86-64 Linux defines them.
//!
//! Stands in for the crate of this name, which generates them with CMake: the tests shall need a C compiler and nothing else.

#![no_std]
#![allow(non_camel_case_types, missing_docs)]

pub type uint_fast8_t = u8;
pub type uint_fast32_t = u64;
pub type uint_fast64_t = u64;
pub type int_fast32_t = i64;
pub type int_fast64_t = i64;
